"""Reads the titles that a model is trained on."""

from collections.abc import Sequence
from pathlib import Path

from ingest.gendered import LabelForms, split_forms
from ingest.reading import read_source
from ingest.sources import EscoSource, SampleSource, Source, TalentClefPairsSource
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.text import fold_title, normalize_title
from jobsearch.types import TitleRecord

SAMPLE = "sample"
TrainingSource = EscoSource | TalentClefPairsSource


def training_source(path: str | Path, languages: Sequence[str] | None = None) -> TrainingSource:
    """The source at a path: the shipped ``sample``, TalentCLEF training pairs, or an ESCO export.

    Args:
        path: folder or zip file, or ``sample``.
        languages: languages to read; all languages of the data if None.

    Raises:
        SourceError: the path holds none of these, or lacks a language.
    """
    if str(path) == SAMPLE:
        return SampleSource(languages)
    if TalentClefPairsSource.is_at(path):
        return TalentClefPairsSource(path, languages)
    return EscoSource(path, languages=languages)


def read_training_titles(sources: Sequence[Source], *, max_rejects: float = 0.01) -> TrainingTitles:
    """Read the titles of all languages of some sources.

    Args:
        sources: titles of the concepts of one taxonomy.
        max_rejects: share of bad rows, from 0 to 1, above which a source is refused.

    Raises:
        SourceError: a source cannot be read.
        TrainingError: no concept has two titles.
    """
    records: list[TitleRecord] = []
    gendered: set[tuple[str, str, str]] = set()
    for source in sources:
        for languages in source.files:
            found = read_source(source, languages, max_rejects=max_rejects, rejects_path=None)
            for language, reading in found.items():
                records += reading.records
                labels: dict[str | None, list[str]] = {}
                for record in reading.records:
                    labels.setdefault(record.concept_id, []).append(record.title)
                forms = LabelForms(language, labels.values())
                for record in reading.records:
                    pair = forms.split(record.title, labels[record.concept_id])
                    if len(pair) == 2:
                        first, second = map(normalize_title, pair)
                        gendered.add((language, first, second))
    return TrainingTitles.of(records, gendered)


def training_titles(path: str | Path) -> frozenset[str]:
    """Every title of training data; see :func:`training_source` and :func:`titles_in`.

    Raises:
        SourceError: the data cannot be read.
    """
    return titles_in([training_source(path)])


def titles_in(sources: Sequence[Source]) -> frozenset[str]:
    """Every title of some sources, normalised and case-folded, including both slash forms.

    Raises:
        SourceError: a source cannot be read.
    """
    titles: set[str] = set()
    for source in sources:
        for language in source.languages:
            for row in source.rows(language):
                for record in row.records:
                    forms = (record.title, *split_forms(record.title, language))
                    titles.update(map(fold_title, forms))
    return frozenset(titles)
