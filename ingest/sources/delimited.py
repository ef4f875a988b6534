"""Rows of CSV and TSV files, with their line numbers and without losing any to a bad one."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.sources.archive import NOT_UTF8, is_undecoded
from jobsearch.errors import SourceFormatError

#: A row that goes on for longer is taken for a quotation mark left open. Each such mark has as many
#: lines read again, so without a limit a file of them would take the square of its length.
MAX_ROW_LINES = 1000


@dataclass(frozen=True, slots=True)
class Cells:
    """One row. ``problem`` says why it cannot be used; its cells are then the raw text.

    Args:
        line: line on which the row begins, from 1.
        cells: its fields.
        problem: empty for a good row.
    """

    line: int
    cells: list[str]
    problem: str = ""


class _Lines:
    """Lines that can be handed back, so that a quotation mark left open costs one line only."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._returned: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) == MAX_ROW_LINES:
            raise csv.Error(f"no end within {MAX_ROW_LINES:,} lines")
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        return line

    def hand_back_all_but_first(self) -> None:
        self._returned.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read_cells(lines: Iterator[str], delimiter: str) -> Iterator[Cells]:
    """Parse CSV (RFC 4180, a quoted field may hold line ends); the header is the first row.

    A row with broken quoting, bytes that are not UTF-8, or another number of fields than the
    header has a ``problem``. Blank lines are no rows. After broken quoting the reading goes on at
    the next line, so a stray quotation mark does not swallow the rows after it.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    line, width = 1, 0
    while True:
        source.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.hand_back_all_but_first()
            # The reader forgets the unfinished row when it is asked for the next.
            yield Cells(line, source.taken.copy(), f"broken quoting ({error})")
        else:
            if cells:
                width = width or len(cells)
                yield Cells(line, cells, _problem(cells, width))
        line += len(source.taken)


def _problem(cells: list[str], width: int) -> str:
    if any(map(is_undecoded, cells)):
        return NOT_UTF8
    if len(cells) != width:
        return "another number of columns than the header"
    return ""


def read_header(rows: Iterator[Cells], where: str, needed: list[str]) -> list[str]:
    """Take the header off ``rows``.

    Raises:
        SourceFormatError: the file is empty, or a needed column is missing.
    """
    first = next(rows, None)
    if first is None:
        raise SourceFormatError(f"{where} is empty: its first line should name the columns")
    if first.problem:
        raise SourceFormatError(f"{where} cannot be read: line {first.line} is {first.problem}")
    header = [name.strip() for name in first.cells]
    check_columns(header, where, needed)
    return header


def check_columns(there: list[str], where: str, needed: list[str]) -> None:
    """Refuse a file that lacks columns.

    Raises:
        SourceFormatError: listing the columns that are there.
    """
    missing = [name for name in needed if name not in there]
    if missing:
        raise SourceFormatError(
            f"{where} has no column {', '.join(map(repr, missing))}: "
            f"its columns are {', '.join(map(repr, there))}"
        )
