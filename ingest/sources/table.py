"""The user's own titles: a CSV, TSV, JSON Lines, Parquet or Excel file with any column names."""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ingest.gendered import RULES_VERSION, LabelForms, needs_labels
from ingest.sources.base import Row
from ingest.sources.cells import cell_text, is_no_value
from ingest.sources.excel import import_openpyxl, read_workbook
from ingest.sources.files import (
    NOT_UTF8,
    check_columns,
    file_sha256,
    is_undecoded,
    read_delimited,
    read_header,
    text_lines,
)
from ingest.sources.parquet import BATCH_ROWS, flat_columns, import_parquet, open_parquet, values_of
from jobsearch.errors import InvalidInput, SourceFormatError, SourceNotFound
from jobsearch.isco import CodeColumn
from jobsearch.languages import check_language, find_language
from jobsearch.text import fold_title
from jobsearch.types import KINDS, TitleRecord

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
# A table with such a name would replace the data set in every collection.
_RESERVED_NAMES = ("esco", "sample", "talentclef-2025")
# The csv module has the same limit for a field.
_MAX_CELL_CHARS = 131_072
_SHOWN_CHARS = 200
# Part of a table's digest; raise it whenever the same cells give other titles.
_RULES_VERSION = 2
# Separators that are hard to type in a shell.
_ESCAPED = {r"\n": "\n", r"\t": "\t"}
_EXCEL = (".xlsx", ".xlsm")
_TEXTS = (*_DELIMITERS, *_JSON_LINES)
_SUFFIXES = (*_TEXTS, ".parquet", *_EXCEL)


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
    """A file with one title per row; a slash form also yields its two titles.

    Slash forms such as "Koch/Köchin" are described in :mod:`ingest.gendered`; in languages without
    rules they are split by the other titles with the same ``concept_id``.

    Args:
        path: of the file; its suffix gives the format: .parquet, .xlsx, .csv, .tsv, .jsonl or
            .ndjson, the last four also with .gz.
        title: column with the title.
        language: language of all titles, as :func:`jobsearch.languages.find_language` reads it;
            beside ``language_column``, the language of titles whose cell is empty.
        language_column: column with the language of each title.
        concept_id: column with the id of the occupation that a title denotes.
        isco: column with an ISCO-08 code of one to four digits; :class:`jobsearch.isco.CodeColumn`
            lists the forms that are understood.
        kind: column with preferred, alternative, hidden or corpus; if None, or if a cell is empty,
            the title is preferred.
        name: of the source; the file's name without its suffix if None. Letters and digits of any
            script are kept, in lower case; all other characters become hyphens.
        split_titles: separator of several titles in one cell, e.g. ``;``; line breaks separate
            titles too. If None, a cell is one title, and a cell with a line break is rejected.

    Raises:
        InvalidInput: neither ``language`` nor ``language_column`` is given, the language is
            unknown, the name has no letter or digit, or is reserved for a data set, or the
            separator is empty.
        SourceNotFound: the path does not exist.
        SourceFormatError: the suffix is another one, or pyarrow or openpyxl is missing.
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
        split_titles: str | None = None,
    ) -> None:
        if language is None and language_column is None:
            raise InvalidInput("give `language`, for all titles, or `language_column`")
        if split_titles == "":
            raise InvalidInput("`split_titles` is empty: give the separator, such as ;")
        self._separator = _ESCAPED.get(split_titles or "", split_titles)
        self._path = Path(path)
        optional = (language_column, concept_id, isco, kind)
        self._columns = _Columns(title.strip(), *(name and name.strip() for name in optional))
        self._language = check_language(language) if language else None
        gzipped = self._path.suffix.lower() == ".gz"
        file = self._path.with_suffix("") if gzipped else self._path
        self.name = _name_of(file.stem if name is None else name)
        # Two files of the same name must not replace each other, if nobody chose the name.
        self.origin = "" if name is not None else os.path.normpath(self._path.absolute())
        if self.name in _RESERVED_NAMES:
            raise InvalidInput(
                f"the name {self.name!r} is reserved for a data set: give the table another `name`"
            )
        if not self._path.is_file():
            raise SourceNotFound(f"{path} is not a file: give a table ({', '.join(_SUFFIXES)})")
        self._suffix = file.suffix.lower()
        if self._suffix not in (_TEXTS if gzipped else _SUFFIXES):
            raise SourceFormatError(
                f"{path} has an unknown format: convert it to one of {', '.join(_SUFFIXES)}"
            )
        if self._suffix == ".parquet":
            import_parquet()
        if self._suffix in _EXCEL:
            import_openpyxl()

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
        return self._language if is_no_value(cell) else find_language(cell)

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """All languages are in one file."""
        return (self.languages,)

    def sha256(self, language: str) -> str:
        """Digest of the file, the mapping of its columns, the language and the splitting rules."""
        content = file_sha256(lambda: self._path.open("rb"), str(self._path))
        options = [astuple(self._columns), self._language, language, self._separator]
        mapping = json.dumps([_RULES_VERSION, RULES_VERSION, content, *options])
        return hashlib.sha256(mapping.encode()).hexdigest()

    def rows(self, *languages: str) -> Iterator[Row]:
        """One row per title of the languages; rows with an unknown language are rejected."""
        concepts = self._concepts(languages)
        forms = {code: LabelForms(code, concepts[code].values()) for code in languages}
        for row in self._whole_titles(languages):
            records = list(row.records)
            for record in row.records:
                labels = concepts[record.language].get(record.concept_id, ())
                titles = forms[record.language].split(record.title, labels)
                # Of "24/24", two equal halves, the half is no title.
                if len(set(map(fold_title, titles))) == 2:
                    records += [replace(record, title=title) for title in titles]
            yield replace(row, records=tuple(records))

    def _whole_titles(self, languages: tuple[str, ...]) -> Iterator[Row]:
        for entry in self._entries():
            row = self._row(entry, languages)
            if row is not None:
                yield row

    def _concepts(self, languages: tuple[str, ...]) -> dict[str, dict[str | None, list[str]]]:
        """Language -> concept id -> its titles, for languages whose slash forms depend on them."""
        concepts: dict[str, dict[str | None, list[str]]] = {code: {} for code in languages}
        needed = tuple(code for code in languages if needs_labels(code))
        for row in self._whole_titles(needed) if needed and self._columns.concept_id else ():
            for record in row.records:
                if record.concept_id:
                    titles = concepts[record.language].setdefault(record.concept_id, [])
                    titles.append(record.title)
        return concepts

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
        return self._titled_row(entry, code)

    def _titled_row(self, entry: _TableRow, language: str) -> Row:
        """A row in a known language: its titles, or the reason why it has none."""
        file, title = str(self._path), entry.fields.get(self._columns.title, "")

        def optional(column: str | None) -> str:
            text = entry.fields.get(column, "") if column else ""
            return "" if is_no_value(text) else text

        def rejected(reason: str, text: str) -> Row:
            return Row.rejected(file, entry.line, reason, text, language)

        isco, kind = optional(self._columns.isco), optional(self._columns.kind) or "preferred"
        codes = self._isco.readings(isco)
        if len(codes) > 1:
            reason = f"ambiguous ISCO-08 code ({' or '.join(codes)}: it may have lost a zero)"
            return rejected(reason, f"{isco} of {title}")
        if isco and not codes:
            return rejected("unknown ISCO-08 code", f"{isco} of {title}")
        if kind not in KINDS:
            return rejected(f"kind is none of {', '.join(KINDS)}", kind)
        titles = self._titles(title)
        if len(titles) > 1 and self._separator is None:
            return rejected("several lines in one title (`split_titles` makes each a title)", title)
        concept = optional(self._columns.concept_id) or None
        isco_code = codes[0] if codes else None
        records = (
            TitleRecord(each, language, self.name, kind, concept_id=concept, isco=isco_code)
            for each in titles or [""]
        )
        return Row(entry.line, tuple(records), (), file)

    def _titles(self, cell: str) -> list[str]:
        """The titles in a cell: its lines, which the separator splits further."""
        lines = cell.splitlines()
        if self._separator is not None:
            lines = [part for line in lines for part in line.split(self._separator)]
        return [title for line in lines if (title := line.strip())]

    @cached_property
    def _isco(self) -> CodeColumn:
        """The column with ISCO-08 codes, which is judged as a whole; reads the file."""
        column = self._columns.isco
        if column is None:
            return CodeColumn(())
        return CodeColumn(entry.fields.get(column, "") for entry in self._entries())

    def _entries(self) -> Iterator[_TableRow]:
        if self._suffix in _DELIMITERS:
            return self._delimited()
        if self._suffix in _EXCEL:
            return self._excel()
        return self._json_lines() if self._suffix in _JSON_LINES else self._parquet()

    def _excel(self) -> Iterator[_TableRow]:
        for number, values in read_workbook(self._path, self._columns.needed()):
            yield _TableRow(number, {name: cell_text(value) for name, value in values.items()})

    def _delimited(self) -> Iterator[_TableRow]:
        cells = read_delimited(self._lines(), _DELIMITERS[self._suffix])
        header = read_header(cells, str(self._path), self._columns.needed())
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
            # Later objects may leave out columns, but none may have a column twice.
            needed = [name for name in self._columns.needed() if not checked or name in values]
            check_columns(values.names, f"{self._path}, line {number},", needed)
            checked = True
            yield _json_row(number, {name: values.get(name) for name in self._columns.needed()})
        if not checked:
            raise SourceFormatError(f"{self._path} has no JSON object: write one per line")

    def _parquet(self) -> Iterator[_TableRow]:
        pyarrow, _ = import_parquet()
        needed = self._columns.needed()
        try:
            with open_parquet(self._path) as file:
                names = [name.strip() for name in file.schema_arrow.names]
                check_columns(names, str(self._path), needed)
                written = dict(zip(names, file.schema_arrow.names, strict=True))
                columns = flat_columns(file, [written[name] for name in needed])
                for name in needed:
                    if written[name] not in columns:
                        raise self._nested(name, file.schema_arrow.field(written[name]).type)
                number = 0
                for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                    read = batch.schema.names
                    values = {name.strip(): values_of(batch.column(name)) for name in read}
                    for row in range(len(batch)):
                        number += 1
                        yield _parquet_row(number, {name: values[name][row] for name in values})
        # Text that is not UTF-8 raises ValueError.
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise SourceFormatError(
                f"{self._path} cannot be read as Parquet ({str(error).splitlines()[0]}): "
                "write the file again"
            ) from error

    def _nested(self, column: str, kind: Any) -> SourceFormatError:
        return SourceFormatError(
            f"{self._path}: column {column!r} holds lists, objects or bytes (Parquet type "
            f"{str(kind)[:_SHOWN_CHARS]}): give a column with one text or number per row"
        )

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


def _parquet_row(number: int, values: dict[str, Any]) -> _TableRow:
    """One row of a Parquet file; it is bad if one of its cells is too long."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if any(len(text) > _MAX_CELL_CHARS for text in texts.values()):
        shown = {name: text[:_SHOWN_CHARS] for name, text in texts.items()}
        return _TableRow(number, shown, f"cell longer than {_MAX_CELL_CHARS:,} characters")
    return _TableRow(number, {name: cell_text(value) for name, value in values.items()})


def _json_row(number: int, values: dict[str, Any]) -> _TableRow:
    """One row of a JSON Lines file; it is bad if one of its cells is a list or an object."""
    for name, value in values.items():
        if isinstance(value, list | dict):
            kind = "a list" if isinstance(value, list) else "an object"
            shown = {name: json.dumps(value, ensure_ascii=False)}
            return _TableRow(number, shown, f"{kind} in column {name!r}")
    return _TableRow(number, {name: cell_text(value) for name, value in values.items()})


class _Object(dict[str, Any]):
    """A JSON object; ``names`` lists its names, of which one may be there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.names = [name.strip() for name, _ in pairs]
        super().__init__(zip(self.names, (value for _, value in pairs), strict=True))


def _json_object(line: str) -> tuple[str, _Object | None]:
    """The problem with a line, empty if there is none, and its JSON object."""
    try:
        value = json.loads(line, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return "broken JSON", None
    return ("", value) if isinstance(value, _Object) else ("not a JSON object", None)
