"""A customer's own titles: CSV, TSV, JSON Lines or Parquet, columns mapped by option."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, cast

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
from jobsearch.languages import NAMES, check_language
from jobsearch.text import slug
from jobsearch.types import KINDS, TitleRecord

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
# A table of that name would take the place of the data set in every collection.
_TAKEN_NAMES = ("esco", "sample", "talentclef-2025")
# As of a field of CSV.
_MAX_CELL_CHARS = 131_072
_SHOWN_CHARS = 200
_SUFFIXES = (*_DELIMITERS, *_JSON_LINES, ".parquet")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column holds what; None where the table has none."""

    title: str
    language: str | None
    concept_id: str | None
    isco: str | None
    kind: str | None

    def needed(self) -> list[str]:
        return [name for name in astuple(self) if name is not None]


@dataclass(frozen=True, slots=True)
class _TableRow:
    line: int
    fields: dict[str, str]
    problem: str = ""


class TableSource:
    """A file with one title a row.

    Args:
        path: its suffix says what it is: .csv, .tsv, .jsonl, .ndjson or .parquet.
        title: column with the title.
        language: code of all titles; or:
        language_column: column with the code.
        concept_id: column with an id of what the title denotes.
        isco: column with an ISCO-08 code of one to four digits.
        kind: column with preferred, alternative, hidden or corpus; without it all are preferred.
        name: of the source; the file's name without its suffix if None.

    Raises:
        InvalidInput: neither or both of a language and a column for it; an unknown language; the
            name of a data set that we know.
        SourceNotFound: the path does not exist.
        SourceFormatError: another suffix, or pyarrow is missing.
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
        if (language is None) == (language_column is None):
            raise InvalidInput(
                "give either the language of all titles or the column that holds it, one of both"
            )
        self._path = Path(path)
        self._columns = _Columns(title, language_column, concept_id, isco, kind)
        self._language = check_language(language) if language else None
        self.name = slug(name or self._path.stem) or "table"
        if self.name in _TAKEN_NAMES:
            raise InvalidInput(
                f"a table cannot have the name {self.name!r} of a data set: give another --name"
            )
        if not self._path.is_file():
            raise SourceNotFound(f"{path} is no file: give a table ({', '.join(_SUFFIXES)})")
        self._suffix = self._path.suffix.lower()
        if self._suffix not in _SUFFIXES:
            raise SourceFormatError(f"{path} is none of {', '.join(_SUFFIXES)}: convert it first")
        if self._suffix == ".parquet":
            import_parquet()

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The fixed language, or the known ones of the column in order of code (reads the file)."""
        if self._language:
            return (self._language,)
        column = cast(str, self._columns.language)
        found = {entry.fields.get(column, "").lower() for entry in self._entries()}
        return tuple(sorted(found & NAMES.keys()))

    def sha256(self, language: str) -> str:
        """Over the file, the mapping of its columns and the language."""
        content = file_sha256(lambda: self._path.open("rb"), str(self._path))
        mapping = json.dumps([content, astuple(self._columns), self._language, language])
        return hashlib.sha256(mapping.encode()).hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        """One row a title of the language; those whose language cannot be told are rejected."""
        for entry in self._entries():
            row = self._row(entry, language)
            if row is not None:
                yield row

    def _row(self, entry: _TableRow, language: str) -> Row | None:
        file, columns = str(self._path), self._columns

        def cell(column: str | None) -> str:
            return entry.fields.get(column, "") if column else ""

        def rejected(reason: str, text: str) -> Row:
            return Row.rejected(file, entry.line, reason, text)

        if entry.problem:
            return rejected(entry.problem, " ".join(entry.fields.values()))
        code = self._language or cell(columns.language).lower()
        if code not in NAMES:
            return rejected("unknown language", f"{code} of {cell(columns.title)}")
        if code != language:
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
        # Where a comma is the decimal sign, spreadsheets write semicolons.
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
            problem, found = (NOT_UTF8, None) if is_undecoded(line) else _json_object(line)
            if found is not None and not checked:
                check_columns(list(found), str(self._path), self._columns.needed())
                checked = True
            fields = {"": line.strip()} if found is None else {k: _cell(found[k]) for k in found}
            yield _TableRow(number, fields, problem)
        if not checked:
            raise SourceFormatError(f"{self._path} has no JSON object: give one a line")

    def _parquet(self) -> Iterator[_TableRow]:
        pyarrow, _ = import_parquet()
        needed = self._columns.needed()
        try:
            with open_parquet(self._path) as file:
                check_columns(file.schema_arrow.names, str(self._path), needed)
                columns = flat_columns(file, needed)
                number = 0
                for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                    found = {name: values_of(batch.column(name)) for name in batch.schema.names}
                    for row in range(len(batch)):
                        number += 1
                        yield _table_row(number, {name: found[name][row] for name in found})
        # Text that is not UTF-8 is a ValueError.
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise SourceFormatError(
                f"{self._path} cannot be read as Parquet ({str(error).splitlines()[0]}): "
                "check the file"
            ) from error

    def _lines(self) -> Iterator[str]:
        return text_lines(lambda: self._path.open("rb"), str(self._path))


def _table_row(number: int, found: dict[str, Any]) -> _TableRow:
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    if any(len(text) > _MAX_CELL_CHARS for text in texts.values()):
        shown = {name: text[:_SHOWN_CHARS] for name, text in texts.items()}
        return _TableRow(number, shown, f"cell longer than {_MAX_CELL_CHARS:,} characters")
    return _TableRow(number, {name: _cell(value) for name, value in found.items()})


def _json_object(line: str) -> tuple[str, dict[str, Any] | None]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "broken JSON", None
    return ("", found) if isinstance(found, dict) else ("not a JSON object", None)


def _cell(value: object) -> str:
    # Neither lists nor "not a number" are titles or codes.
    if value is None or isinstance(value, list | dict | bytes) or value != value:  # noqa: PLR0124
        return ""
    # A column of codes with gaps becomes one of floating-point numbers in many programs.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
