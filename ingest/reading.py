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
from ingest.sources.cells import not_a_title
from jobsearch.errors import InvalidInput, SourceError, SourceFormatError, TooManyRejects
from jobsearch.files import delete_file, new_partial, put_in_place
from jobsearch.text import MAX_TITLE_CHARS, normalize_title
from jobsearch.types import KINDS, TitleRecord

_SHOWN_REASONS = 3
# Line separators that JSON may contain as they are, though many programs end a line there.
_LINE_SEPARATORS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


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
            line = json.dumps(asdict(reject), ensure_ascii=False).translate(_LINE_SEPARATORS)
            self._stream.write(line + "\n")
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
        """Refuse files with too many bad rows.

        Raises:
            TooManyRejects: with the most frequent reasons and an example of each.
        """
        if rejected <= limit * rows:
            return
        reasons = "; ".join(
            f"{reason} ({count:,}, e.g. {self._examples[reason].place})"
            for reason, count in self._reasons.most_common(_SHOWN_REASONS)
        )
        listed = f"All are listed in {self.file}. " if self.file else ""
        raise TooManyRejects(
            f"{where}: {rejected:,} of {rows:,} rows ({rejected / rows:.1%}) were rejected, more "
            f"than {limit:.1%}: {reasons}. {listed}Correct the file, or raise `max_rejects`"
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
        rows_read, rows_rejected: rows of the language; a row with one bad title counts as rejected.
        titles: number of usable titles, duplicates included.
        file_rejected: rejected rows of the file: of all languages that were read with this one, and
            rows without a known language.
        rejects_file: list of these rows, None if there are none or no file was requested.
    """

    records: list[TitleRecord]
    texts: list[str]
    ids: list[str]
    rows_read: int
    rows_rejected: int
    titles: int
    file_rejected: int
    rejects_file: Path | None

    @property
    def duplicates(self) -> int:
        """Number of titles dropped because the same title of the same concept is kept."""
        return self.titles - len(self.records)

    @property
    def distinct_texts(self) -> int:
        """Number of texts to encode."""
        return len(set(self.texts))


class _LanguageTitles:
    """Collects the titles of one language: each once per concept or document, as its best kind."""

    def __init__(self) -> None:
        self.rows = self.rejected = self.titles = 0
        self._best: dict[tuple[str, str], tuple[str, TitleRecord]] = {}

    def add(self, text: str, record: TitleRecord) -> TitleRecord | None:
        """Add a title; returns the earlier title that its ISCO-08 code contradicts, if any.

        Args:
            text: the normalised title.
            record: the title; it is left out if it contradicts an earlier one.
        """
        identity = record.identity(text)
        known = self._best.setdefault(identity, (text, record))
        if not _agree(record, known[1]):
            return known[1]
        self.titles += 1
        if known[1] is not record:
            self._best[identity] = _merged(known, (text, record))
        return None

    def reading(self, file_rejected: int, rejects_file: Path | None) -> Reading:
        """The titles that were added."""
        texts = [text for text, _ in self._best.values()]
        records = [record for _, record in self._best.values()]
        ids = [record.point_id_of(text) for record, text in zip(records, texts, strict=True)]
        return Reading(
            records=records,
            texts=texts,
            ids=ids,
            rows_read=self.rows,
            rows_rejected=self.rejected,
            titles=self.titles,
            file_rejected=file_rejected,
            rejects_file=rejects_file,
        )


def read_source(
    source: Source,
    languages: tuple[str, ...] | list[str],
    *,
    max_rejects: float,
    rejects_path: Path | None,
) -> dict[str, Reading]:
    """Read all titles of some languages into memory, in one pass.

    Titles with the same :meth:`~jobsearch.types.TitleRecord.identity` are kept once: the one of the
    best kind, and of several such the first. So two concepts with the same title both keep it, and
    documents are never merged. A title whose ISCO-08 code contradicts an earlier row of the same
    concept and title is rejected.

    Args:
        source: the data set.
        languages: languages that are in one file (:attr:`Source.files`). Rejected rows are counted
            and listed once, and their share is that of all rows read.
        max_rejects: share of bad rows, from 0 to 1, above which the file is refused.
        rejects_path: JSON lines file for the bad rows.

    Returns:
        The titles of each language that has any.

    Raises:
        InvalidInput: ``max_rejects`` is not from 0 to 1.
        TooManyRejects: the share of rejected rows is above ``max_rejects``.
        SourceFormatError: there are no titles, or the file is not in its layout.
        SourceError: the rejects cannot be written.
    """
    # NaN fails this comparison, too.
    if not 0 <= max_rejects <= 1:
        raise InvalidInput(f"`max_rejects` is {max_rejects}: give a share from 0 to 1")
    # Rows without a known language are counted under the empty code.
    found = {language: _LanguageTitles() for language in (*languages, "")}
    with RejectLog(rejects_path) as log:
        for row in source.rows(*languages):
            titles = found[row.records[0].language if row.records else row.language]
            rejects = list(row.rejects)
            for text, record in _usable(row, rejects):
                earlier = titles.add(text, record)
                if earlier is not None:
                    rejects.append(_contradiction(row, record, earlier))
            titles.rows += 1
            titles.rejected += bool(rejects)
            for reject in rejects:
                log.add(reject)
    where = f"{source.name} ({', '.join(languages)})" if languages else source.name
    rows = sum(titles.rows for titles in found.values())
    rejected = sum(titles.rejected for titles in found.values())
    log.check_share(rejected, rows, max_rejects, where)
    if not any(titles.titles for titles in found.values()):
        listed = f" (the rejected rows are listed in {log.file})" if log.file else ""
        raise SourceFormatError(f"{where} has no titles in {rows:,} rows{listed}: check the file")
    return {
        language: titles.reading(rejected, log.file)
        for language, titles in found.items()
        if titles.titles
    }


def _merged(
    known: tuple[str, TitleRecord], other: tuple[str, TitleRecord]
) -> tuple[str, TitleRecord]:
    """The title of the better kind, the known one if both are equal, with the longer code."""
    better, worse = (
        (other, known) if _RANK[other[1].kind] < _RANK[known[1].kind] else (known, other)
    )
    if len(better[1].isco or "") >= len(worse[1].isco or ""):
        return better
    return better[0], replace(better[1], isco=worse[1].isco)


def _agree(one: TitleRecord, other: TitleRecord) -> bool:
    """Whether one ISCO-08 code contains the other; no code agrees with any."""
    shorter, longer = sorted((one.isco or "", other.isco or ""), key=len)
    return longer.startswith(shorter)


def _contradiction(row: Row, record: TitleRecord, known: TitleRecord) -> Reject:
    text = f"{record.isco} of {record.title}, but {known.isco} in an earlier row"
    reason = "another ISCO-08 code for the same concept and title"
    return Reject.of(row.file, row.line, reason, text)


def _usable(row: Row, rejects: list[Reject]) -> Iterator[tuple[str, TitleRecord]]:
    """Normalised title and record of each good title; bad ones are added to ``rejects``."""
    for record in row.records:
        title = " ".join(record.title.split())
        text, problem = _normalized(title)
        # A benchmark ranks all its documents, whatever they say.
        if not problem and record.doc_id is None:
            problem = not_a_title(text)
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
