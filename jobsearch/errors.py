"""The exceptions for expected failures.

Every message says what failed, the value that failed, and what to do next. ``exit_code`` is the
exit status of the command line.

    JobSearchError              1
    ├── InvalidInput            2   an argument, a query, a language or an ISCO code
    ├── ModelError              1
    │   ├── ModelNotFound           no such model or directory
    │   ├── ModelNotDownloaded      known model, but not on this machine and no network
    │   └── VariantNotFound         the model has no such variant
    ├── SourceError             1   a source of titles cannot be read
    │   ├── SourceNotFound          missing path
    │   ├── SourceFormatError       not the expected layout
    │   ├── UnsafeArchive           zip bomb, or path outside the target folder
    │   ├── TooManyRejects          more rejected rows than allowed
    │   ├── LanguageMismatch        the titles are clearly in another language
    │   └── DownloadFailed          a data set cannot be downloaded
    ├── StoreError              1
    │   ├── CollectionNotFound
    │   ├── CollectionExists
    │   ├── CollectionInUse         an alias points at it
    │   ├── CollectionMismatch      another model, variant, language or normalisation
    │   ├── CollectionChanged       another build changed the alias or the collection
    │   ├── StoreDamaged            missing or altered files
    │   ├── StoreLocked             another process holds the lock
    │   └── StoreUnavailable    3   Qdrant cannot be reached
    ├── BenchmarkError          1   queries, corpus or judgements do not fit together
    ├── TrainingError           1   a training cannot start, continue, or be published
    └── OutputError             1   a command's output cannot be written
"""

from typing import Any


class JobSearchError(Exception):
    """Base class of all expected failures.

    Attributes:
        done: summaries of the work that was finished before an ingest failed, and that stays.
    """

    exit_code = 1
    done: tuple[Any, ...] = ()


class InvalidInput(JobSearchError):
    """An argument, a query, a language or an ISCO code is invalid."""

    exit_code = 2


class ModelError(JobSearchError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """No such model, directory or Hugging Face id."""


class ModelNotDownloaded(ModelError):
    """The model is known, but it is not on this machine and the network is not available."""


class VariantNotFound(ModelError):
    """The model has no such variant."""


class SourceError(JobSearchError):
    """A source of titles cannot be read."""


class SourceNotFound(SourceError):
    """The path does not exist."""


class SourceFormatError(SourceError):
    """The files do not have the layout expected of the source."""


class UnsafeArchive(SourceError):
    """A zip file would unpack to too many bytes, or outside its target folder."""


class TooManyRejects(SourceError):
    """More rows were rejected than allowed."""


class LanguageMismatch(SourceError):
    """The titles are clearly not in the given language."""


class DownloadFailed(SourceError):
    """A data set cannot be downloaded, or cannot be written to its folder."""


class StoreError(JobSearchError):
    """An operation of the vector store failed."""


class CollectionNotFound(StoreError):
    """No collection or alias has this name."""


class CollectionExists(StoreError):
    """A collection with this name already exists."""


class CollectionInUse(StoreError):
    """The collection cannot be deleted, because an alias points at it."""


class CollectionMismatch(StoreError):
    """The collection was made with another model, variant, language or normalisation."""


class CollectionChanged(StoreError):
    """Another process moved the alias, or took over the build, during this build."""


class StoreDamaged(StoreError):
    """Stored files or points are missing or altered."""


class StoreLocked(StoreError):
    """Another process holds the lock."""


class StoreUnavailable(StoreError):
    """The Qdrant server cannot be reached."""

    exit_code = 3


class BenchmarkError(JobSearchError):
    """Queries, corpus or judgements are missing or do not fit together."""


class TrainingError(JobSearchError):
    """A training cannot start or continue, or its result is too poor to be published."""


class OutputError(JobSearchError):
    """The output of a command cannot be written."""
