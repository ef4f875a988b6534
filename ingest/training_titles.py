"""From sources to the titles that a model learns from."""

from collections.abc import Sequence

from ingest.gendered import split_forms
from ingest.reading import read_source
from ingest.sources.base import Source
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.text import normalize_title
from jobsearch.types import TitleRecord


def read_training_titles(sources: Sequence[Source], *, max_rejects: float = 0.01) -> TrainingTitles:
    """Read the titles of all languages of some sources.

    Args:
        sources: their titles denote concepts of one taxonomy.
        max_rejects: share of bad rows, from 0 to 1, above which a source is refused.

    Raises:
        SourceError: a source cannot be read.
        TrainingError: no concept has two titles.
    """
    records: list[TitleRecord] = []
    gendered: set[tuple[str, str, str]] = set()
    for source in sources:
        for language in source.languages:
            found = read_source(source, language, max_rejects=max_rejects, rejects_path=None)
            records += found.records
            for record in found.records:
                forms = [normalize_title(form) for form in split_forms(record.title, language)]
                if len(forms) == 2:
                    gendered.add((language, forms[0], forms[1]))
    return TrainingTitles.of(records, gendered)
