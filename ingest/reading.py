"""From the rows of a source to the titles that are stored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.rejects import RejectLog
from ingest.sources.base import Reject, Row, Source
from jobsearch.errors import SourceFormatError
from jobsearch.text import MAX_TITLE_CHARS, normalize_title
from jobsearch.types import KINDS, TitleRecord

# Kinds from best to worst: a title that is both preferred and alternative is stored as preferred.
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source holds in one language, without duplicates and bad rows.

    Args:
        records: one for each point.
        texts: their normalised titles, side by side with ``records``.
        rows_read, rows_rejected: rows of the file; a row with one bad title of many is rejected.
        titles: usable titles, duplicates included.
        rejects_file: list of the rejects, None if there are none or none was asked for.
    """

    records: list[TitleRecord]
    texts: list[str]
    rows_read: int
    rows_rejected: int
    titles: int
    rejects_file: Path | None

    @property
    def duplicates(self) -> int:
        """Titles that were dropped because the concept or document has them already."""
        return self.titles - len(self.records)

    @property
    def distinct_texts(self) -> int:
        """Texts to encode."""
        return len(set(self.texts))


def read_source(
    source: Source, language: str, *, max_rejects: float, rejects_path: Path | None
) -> Reading:
    """Read all titles of a language into memory.

    Within one concept or document the same normalised title is kept once, as its best kind. Two
    concepts with the same title keep theirs, and documents are never merged.

    Raises:
        TooManyRejects: the share of rejected rows is above ``max_rejects``.
        SourceFormatError: there are no titles, or the file is not in its layout.
        SourceError: the rejects cannot be written.
    """
    best: dict[tuple[str, str], TitleRecord] = {}
    rows = rejected = titles = 0
    with RejectLog(rejects_path) as log:
        for row in source.rows(language):
            rejects = list(row.rejects)
            for text, record in _usable(row, rejects):
                titles += 1
                owner = record.doc_id if record.doc_id is not None else record.concept_id or ""
                known = best.get((owner, text))
                if known is None or _RANK[record.kind] < _RANK[known.kind]:
                    best[owner, text] = record
            rows += 1
            rejected += bool(rejects)
            for reject in rejects:
                log.add(reject)
    where = f"{source.name} ({language})"
    log.check_share(rejected, rows, max_rejects, where)
    if not best:
        raise SourceFormatError(f"{where} has no titles in {rows} rows: check the file")
    texts = [text for _, text in best]
    return Reading(list(best.values()), texts, rows, rejected, titles, log.file)


def _usable(row: Row, rejects: list[Reject]) -> Iterator[tuple[str, TitleRecord]]:
    """Normalised title and record of the good titles; the others are added to ``rejects``."""
    for record in row.records:
        title = " ".join(record.title.split())
        text, problem = _normalized(title)
        if not problem and not _is_unicode((record.concept_id or "") + (record.doc_id or "")):
            problem = "id that is not valid Unicode"
        if problem:
            rejects.append(Reject.of(row.file, row.line, problem, title))
        else:
            yield text, record if title == record.title else replace(record, title=title)


def _normalized(title: str) -> tuple[str, str]:
    """The normalised title, and what is wrong with it if anything."""
    if len(title) > MAX_TITLE_CHARS:
        return "", f"title longer than {MAX_TITLE_CHARS} characters"
    if not _is_unicode(title):
        return "", "not valid Unicode"
    text = normalize_title(title)
    if not text:
        return "", "empty title"
    if not any(map(str.isalnum, text)):
        return "", "title without letter or digit"
    return text, ""


def _is_unicode(text: str) -> bool:
    """Whether it can be stored: lone surrogates, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
