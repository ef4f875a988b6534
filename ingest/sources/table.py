"""The user's own titles: a CSV, TSV, JSON Lines or Parquet file with any column names."""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from ingest.sources.base import Row
from ingest.sources.files import (
    NOT_UTF8,
    check_columns,
    file_sha256,
    is_undecoded,
    read_cells,
    read_header,
    text_lines,
)
from ingest.sources.parquet import BATCH_ROWS, flat_columns, import_parquet, open_parquet, values_of
from jobsearch.errors import InvalidInput, SourceFormatError, SourceNotFound
from jobsearch.isco import CODES
from jobsearch.languages import check_language, find_language
from jobsearch.types import KINDS, TitleRecord

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
# A table with such a name would replace the data set in every collection.
_RESERVED_NAMES = ("esco", "sample", "talentclef-2025")
# The csv module has the same limit for a field.
_MAX_CELL_CHARS = 131_072
_SHOWN_CHARS = 200
_SUFFIXES = (*_DELIMITERS, *_JSON_LINES, ".parquet")
# Part of the digest of a table: increase it whenever the same file gives other titles.
_RULES_VERSION = 2


@dataclass(frozen=True, slots=True)
class _Columns:
    """The names of the columns to read; None for a value that the table does not have."""

    title: str
    language: str | None
    concept_id: str | None
    isco: str | None
    kind: str | None

    def needed(self) -> list[str]:
        return [name for name in astuple(self) if name is not None]


@dataclass(frozen=True, slots=True)
class _TableRow:
    """One row: its values by column, or, if it has a problem, its raw text in any keys."""

    line: int
    fields: dict[str, str]
    problem: str = ""


class TableSource:
    """A file with one title per row.

    Args:
        path: of the file; its suffix gives the format: .csv, .tsv, .jsonl, .ndjson or .parquet.
        title: column with the title.
        language: language of all titles, as :func:`jobsearch.languages.find_language` reads it;
            beside ``language_column``, the language of titles whose cell is empty.
        language_column: column with the language of each title.
        concept_id: column with the id of the occupation that a title denotes.
        isco: column with an ISCO-08 code of one to four digits.
        kind: column with preferred, alternative, hidden or corpus; if None, or if a cell is empty,
            the title is preferred.
        name: of the source; the file's name without its suffix if None. Letters and digits of any
            script are kept, in lower case; all other characters become hyphens.

    Raises:
        InvalidInput: neither ``language`` nor ``language_column`` is given, the language is
            unknown, or the name has no letter or digit, or is reserved for a data set.
        SourceNotFound: the path does not exist.
        SourceFormatError: the suffix is another one, or pyarrow is missing.
    """

    split = ""
    version = ""

    def __init__(
        self,
        path: str | Path,
        *,
        title: str,
        language: str | None = None,
        language_column: str | None = None,
        concept_id: str | None = None,
        isco: str | None = None,
        kind: str | None = None,
        name: str | None = None,
    ) -> None:
        if language is None and language_column is None:
            raise InvalidInput("give `language`, for all titles, or `language_column`")
        self._path = Path(path)
        self._columns = _Columns(title, language_column, concept_id, isco, kind)
        self._language = check_language(language) if language else None
        self.name = _name_of(self._path.stem if name is None else name)
        # Two files of the same name must not replace each other, if nobody chose the name.
        self.origin = "" if name is not None else os.path.normpath(self._path.absolute())
        if self.name in _RESERVED_NAMES:
            raise InvalidInput(
                f"the name {self.name!r} is reserved for a data set: give the table another `name`"
            )
        if not self._path.is_file():
            raise SourceNotFound(f"{path} is not a file: give a table ({', '.join(_SUFFIXES)})")
        self._suffix = self._path.suffix.lower()
        if self._suffix not in _SUFFIXES:
            raise SourceFormatError(
                f"{path} has an unknown format: convert it to one of {', '.join(_SUFFIXES)}"
            )
        if self._suffix == ".parquet":
            import_parquet()

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The fixed language, or the known ones in the language column, sorted; reads the file."""
        if self._language and not self._columns.language:
            return (self._language,)
        return tuple(sorted({code for code in map(self._language_of, self._entries()) if code}))

    def _language_of(self, entry: _TableRow) -> str | None:
        """Code of the language of a row, None if it has none or an unknown one."""
        column = self._columns.language
        if column is None:
            return self._language
        if entry.problem:  # the columns of a broken row are not known
            return None
        cell = entry.fields.get(column, "")
        return find_language(cell) if cell else self._language

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """All languages are in one file."""
        return (self.languages,)

    def sha256(self, language: str) -> str:
        """Digest of the file, the mapping of its columns and the language."""
        content = file_sha256(lambda: self._path.open("rb"), str(self._path))
        columns = astuple(self._columns)
        mapping = json.dumps([_RULES_VERSION, content, columns, self._language, language])
        return hashlib.sha256(mapping.encode()).hexdigest()

    def rows(self, *languages: str) -> Iterator[Row]:
        """One row per title of the languages; rows with an unknown language are rejected."""
        for entry in self._entries():
            row = self._row(entry, languages)
            if row is not None:
                yield row

    def _row(self, entry: _TableRow, languages: tuple[str, ...]) -> Row | None:
        file, columns, code = str(self._path), self._columns, self._language_of(entry)

        def cell(column: str | None) -> str:
            return entry.fields.get(column, "") if column else ""

        def rejected(reason: str, text: str) -> Row:
            return Row.rejected(file, entry.line, reason, text, code or "")

        if entry.problem:
            return rejected(entry.problem, " ".join(entry.fields.values()))
        if code is None:
            given, title = cell(columns.language), cell(columns.title)
            reason = "unknown language" if given else "no language"
            return rejected(reason, f"{given} of {title}" if given else title)
        if code not in languages:
            return None
        isco, kind = cell(columns.isco), cell(columns.kind) or "preferred"
        if isco and isco not in CODES:
            return rejected("unknown ISCO-08 code", f"{isco} of {cell(columns.title)}")
        if kind not in KINDS:
            return rejected(f"kind is none of {', '.join(KINDS)}", kind)
        record = TitleRecord(
            title=cell(columns.title),
            language=code,
            source=self.name,
            kind=kind,
            concept_id=cell(columns.concept_id) or None,
            isco=isco or None,
        )
        return Row(entry.line, (record,), (), file)

    def _entries(self) -> Iterator[_TableRow]:
        if self._suffix in _DELIMITERS:
            return self._delimited()
        return self._json_lines() if self._suffix in _JSON_LINES else self._parquet()

    def _delimited(self) -> Iterator[_TableRow]:
        where = str(self._path)
        lines = self._lines()
        first = next(lines, "")
        delimiter = _DELIMITERS[self._suffix]
        # Spreadsheets write semicolons in countries where the comma is the decimal sign.
        if delimiter == "," and first.count(";") > first.count(","):
            delimiter = ";"
        cells = read_cells(chain([first], lines), delimiter)
        header = read_header(cells, where, self._columns.needed())
        for row in cells:
            names = map(str, range(len(row.cells))) if row.problem else header
            fields = {name: cell.strip() for name, cell in zip(names, row.cells, strict=True)}
            yield _TableRow(row.line, fields, row.problem)

    def _json_lines(self) -> Iterator[_TableRow]:
        checked = False
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            problem, values = (NOT_UTF8, None) if is_undecoded(line) else _json_object(line)
            if values is None:
                yield _TableRow(number, {"": line.strip()}, problem)
                continue
            if not checked:
                check_columns(list(values), str(self._path), self._columns.needed())
                checked = True
            yield _TableRow(number, {name: _cell(value) for name, value in values.items()})
        if not checked:
            raise SourceFormatError(f"{self._path} has no JSON object: write one per line")

    def _parquet(self) -> Iterator[_TableRow]:
        pyarrow, _ = import_parquet()
        needed = self._columns.needed()
        try:
            with open_parquet(self._path) as file:
                check_columns(file.schema_arrow.names, str(self._path), needed)
                columns = flat_columns(file, needed)
                number = 0
                for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                    values = {name: values_of(batch.column(name)) for name in batch.schema.names}
                    for row in range(len(batch)):
                        number += 1
                        yield _table_row(number, {name: values[name][row] for name in values})
        # Text that is not UTF-8 raises ValueError.
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise SourceFormatError(
                f"{self._path} cannot be read as Parquet ({str(error).splitlines()[0]}): "
                "write the file again"
            ) from error

    def _lines(self) -> Iterator[str]:
        return text_lines(lambda: self._path.open("rb"), str(self._path))


def _name_of(text: str) -> str:
    """A name for payloads and file names.

    Raises:
        InvalidInput: the text has no letter or digit.
    """
    lowered = unicodedata.normalize("NFKC", text).lower()
    name = re.sub(r"(?:[^\w-]|_)+", "-", lowered).strip("-")
    if not name:
        raise InvalidInput(f"{text!r} has no letter or digit: give the table another `name`")
    return name


def _table_row(number: int, values: dict[str, Any]) -> _TableRow:
    """One row of a Parquet file; it is bad if one of its cells is too long."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if any(len(text) > _MAX_CELL_CHARS for text in texts.values()):
        shown = {name: text[:_SHOWN_CHARS] for name, text in texts.items()}
        return _TableRow(number, shown, f"cell longer than {_MAX_CELL_CHARS:,} characters")
    return _TableRow(number, {name: _cell(value) for name, value in values.items()})


def _json_object(line: str) -> tuple[str, dict[str, Any] | None]:
    """The problem with a line, empty if there is none, and its JSON object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return "broken JSON", None
    return ("", value) if isinstance(value, dict) else ("not a JSON object", None)


def _cell(value: object) -> str:
    """A value as text; empty if it cannot be a title or a code."""
    # A value that differs from itself is NaN.
    if value is None or isinstance(value, list | dict | bytes) or value != value:  # noqa: PLR0124
        return ""
    # Many programs turn a column of codes with gaps into floating-point numbers.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
