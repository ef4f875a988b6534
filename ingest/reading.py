"""Reads a source: checks its rows, lists the bad ones, and removes duplicate titles."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ingest.sources.base import Reject, Row, Source
from jobsearch.errors import InvalidInput, SourceError, SourceFormatError, TooManyRejects
from jobsearch.files import delete_file, new_partial, put_in_place
from jobsearch.text import MAX_TITLE_CHARS, normalize_title
from jobsearch.types import KINDS, TitleRecord

_SHOWN_REASONS = 3


class RejectLog:
    """Counts rejected rows and writes them to a file, one JSON object per line.

    A context manager. The file appears when all rows have been read. If there are no rejects, the
    file of an earlier run is deleted, because it is no longer true.

    Args:
        path: of the file; None only counts.

    Raises:
        SourceError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._partial: Path | None = None
        self._stream: TextIO | None = None
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, Reject] = {}

    def __enter__(self) -> "RejectLog":
        return self

    def add(self, reject: Reject) -> None:
        """Count and write one reject."""
        self._reasons[reject.reason] += 1
        self._examples.setdefault(reject.reason, reject)
        if self._path is None:
            return
        try:
            if self._stream is None:
                self._partial = new_partial(self._path)
                # Bytes that could not be decoded cannot be encoded either: they become escapes.
                self._stream = self._partial.open("w", encoding="utf-8", errors="backslashreplace")
            self._stream.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._cannot_write(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        try:
            if self._stream is not None:
                self._stream.close()
            if error is not None:
                return
            if self._partial is not None:
                put_in_place(self._partial, self._path)
            else:
                delete_file(self._path)
        except OSError as problem:
            if error is None:
                raise self._cannot_write(problem) from problem
        finally:
            if self._partial is not None:
                with suppress(OSError):
                    self._partial.unlink(missing_ok=True)

    @property
    def file(self) -> Path | None:
        """The file with the rejects, None if there are no rejects."""
        return self._path if self._stream is not None else None

    def check_share(self, rejected: int, rows: int, limit: float, where: str) -> None:
        """Refuse a source with too many bad rows.

        Raises:
            TooManyRejects: with the most frequent reasons and an example of each.
        """
        if rejected <= limit * rows:
            return
        reasons = "; ".join(
            f"{reason} ({count:,}, e.g. {self._examples[reason].file} "
            f"line {self._examples[reason].line})"
            for reason, count in self._reasons.most_common(_SHOWN_REASONS)
        )
        listed = f"All are listed in {self.file}. " if self.file else ""
        raise TooManyRejects(
            f"{where}: {rejected:,} of {rows:,} rows ({rejected / rows:.1%}) were rejected, more "
            f"than {limit:.1%}: {reasons}. {listed}Nothing was stored: correct the file, or "
            "raise `max_rejects`"
        )

    def _cannot_write(self, error: OSError) -> SourceError:
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        return SourceError(
            f"cannot write the rejects to {self._path} ({error.strerror or error}): "
            "choose another folder with `rejects`"
        )


# Kinds from best to worst: a title that is both preferred and alternative is stored as preferred.
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Reading:
    """The titles of a source in one language, without duplicates and bad rows.

    Args:
        records: one for each point to store.
        texts: the normalised titles, parallel to ``records``.
        ids: the ids of the points, parallel to ``records``.
        rows_read, rows_rejected: rows of the file; a row with one bad title counts as rejected.
        titles: number of usable titles, duplicates included.
        rejects_file: list of the rejects, None if there are no rejects or no file was requested.
    """

    records: list[TitleRecord]
    texts: list[str]
    ids: list[str]
    rows_read: int
    rows_rejected: int
    titles: int
    rejects_file: Path | None

    @property
    def duplicates(self) -> int:
        """Number of titles dropped because their concept or document has them already."""
        return self.titles - len(self.records)

    @property
    def distinct_texts(self) -> int:
        """Number of texts to encode."""
        return len(set(self.texts))


def read_source(
    source: Source, language: str, *, max_rejects: float, rejects_path: Path | None
) -> Reading:
    """Read all titles of a language into memory.

    Within one concept or document, the same normalised title is kept once, as its best kind. Two
    concepts with the same title both keep it, and documents are never merged.

    Raises:
        InvalidInput: ``max_rejects`` is not from 0 to 1.
        TooManyRejects: the share of rejected rows is above ``max_rejects``.
        SourceFormatError: there are no titles, or the file is not in its layout.
        SourceError: the rejects cannot be written.
    """
    # NaN fails this comparison, too.
    if not 0 <= max_rejects <= 1:
        raise InvalidInput(f"`max_rejects` is {max_rejects}: give a share from 0 to 1")
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
    records, texts = list(best.values()), [text for _, text in best]
    ids = [record.point_id_of(text) for record, text in zip(records, texts, strict=True)]
    return Reading(records, texts, ids, rows, rejected, titles, log.file)


def _usable(row: Row, rejects: list[Reject]) -> Iterator[tuple[str, TitleRecord]]:
    """Normalised title and record of each good title; bad ones are added to ``rejects``."""
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
    """The normalised title and the problem with it, empty if there is none."""
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
    """Whether a text can be stored: JSON may contain lone surrogates, which cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
