"""The errors that jobsearch raises on purpose.

Every message says what failed, the value that failed, and what to do next. ``exit_code`` is what
the command line exits with.

    JobSearchError              1
    ├── InvalidInput            2   an argument, a query, a language or an ISCO code
    ├── ModelError              1
    │   ├── ModelNotFound           no such model or directory
    │   ├── ModelNotDownloaded      known, but not on this machine and no network
    │   └── VariantNotFound         the model has no such variant
    ├── SourceError             1   titles that cannot be read
    │   ├── SourceNotFound          missing path
    │   ├── SourceFormatError       not the layout that was announced
    │   ├── UnsafeArchive           zip bomb, path that climbs out
    │   ├── TooManyRejects          more bad rows than allowed
    │   ├── LanguageMismatch        the titles are plainly in another language
    │   └── DownloadFailed          a data set that cannot be fetched
    ├── StoreError              1
    │   ├── CollectionNotFound
    │   ├── CollectionExists
    │   ├── CollectionMismatch      another model, variant, language or normalisation
    │   ├── CollectionChanged       another writer was faster
    │   ├── StoreDamaged            files missing or altered
    │   ├── StoreLocked             held by another process
    │   └── StoreUnavailable    3   Qdrant cannot be reached
    ├── BenchmarkError          1   queries, corpus or judgements that do not fit together
    ├── TrainingError           1   a training that cannot begin, go on, or be published
    └── OutputError             1   what a command prints cannot be written
"""


class JobSearchError(Exception):
    """Root of all expected failures."""

    exit_code = 1


class InvalidInput(JobSearchError):
    """An argument, a query, a language or an ISCO code that cannot be used."""

    exit_code = 2


class ModelError(JobSearchError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """No such model, directory or Hugging Face id."""


class ModelNotDownloaded(ModelError):
    """The model is known, but it is not on this machine and there is no network."""


class VariantNotFound(ModelError):
    """The model has no such variant."""


class SourceError(JobSearchError):
    """A source of titles cannot be used."""


class SourceNotFound(SourceError):
    """The path does not exist."""


class SourceFormatError(SourceError):
    """The files are not in the layout that was announced."""


class UnsafeArchive(SourceError):
    """A zip file that would unpack to too much, or outside its folder."""


class TooManyRejects(SourceError):
    """More rows were rejected than allowed."""


class LanguageMismatch(SourceError):
    """The titles are plainly not in the language that was announced."""


class DownloadFailed(SourceError):
    """A data set cannot be fetched, or not be written where it should go."""


class StoreError(JobSearchError):
    """The vector store cannot do what was asked."""


class CollectionNotFound(StoreError):
    """No collection or alias of that name."""


class CollectionExists(StoreError):
    """A collection of that name is there already."""


class CollectionMismatch(StoreError):
    """The collection was made with another model, variant, language or normalisation."""


class CollectionChanged(StoreError):
    """The alias moved while a new build was being made."""


class StoreDamaged(StoreError):
    """Files of the store are missing or altered."""


class StoreLocked(StoreError):
    """Another process holds what was asked for."""


class StoreUnavailable(StoreError):
    """The Qdrant server cannot be reached."""

    exit_code = 3


class BenchmarkError(JobSearchError):
    """Queries, corpus or judgements are missing or do not fit together."""


class TrainingError(JobSearchError):
    """A training cannot begin or go on, or its result is not fit to be published."""


class OutputError(JobSearchError):
    """What a command prints cannot be written."""
