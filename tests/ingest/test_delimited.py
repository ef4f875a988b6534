"""CSV rows: line numbers, and which rows a bad row affects."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources import files
from ingest.sources.files import MAX_ROW_LINES, Cells, read_cells, read_header
from jobsearch.errors import SourceFormatError


def parse(text: str, delimiter: str = ",") -> list[Cells]:
    return list(read_cells(iter(text.splitlines(keepends=True)), delimiter))


def test_line_numbers_count_lines_of_the_file() -> None:
    rows = parse('id,labels\n1,"nurse\nstaff nurse"\n\n2,cook\n')
    assert rows == [
        Cells(1, ["id", "labels"]),
        Cells(2, ["1", "nurse\nstaff nurse"]),
        Cells(5, ["2", "cook"]),
    ]


def test_an_unclosed_quotation_mark_costs_one_line() -> None:
    rows = parse('id,label\n1,"nurse\n2,cook\n3,"waiter"\n')
    assert [(row.line, bool(row.problem)) for row in rows] == [
        (1, False), (2, True), (3, False), (4, False),
    ]  # fmt: skip
    assert rows[1].problem.startswith("broken quoting")
    assert rows[1].cells == ['1,"nurse\n']
    assert rows[3].cells == ["3", "waiter"]


def test_text_after_a_closing_quotation_mark() -> None:
    rows = parse('id,label\n1,"head" waiter\n2,cook\n')
    assert "broken quoting" in rows[1].problem
    assert rows[2].cells == ["2", "cook"]


def test_wrong_number_of_fields() -> None:
    assert parse("a,b\n1\n")[1].problem == "another number of columns than the header"


def test_an_overlong_field_is_broken_quoting() -> None:
    limit = csv.field_size_limit()
    rows = parse(f"a,b\n1,{'x' * (limit + 1)}\n2,cook\n")
    assert "field larger than field limit" in rows[1].problem
    assert rows[2].cells == ["2", "cook"]


def test_empty_file() -> None:
    with pytest.raises(SourceFormatError, match=r"t\.csv is empty"):
        read_header(iter([]), "t.csv", ["title"])


def test_missing_column_lists_the_available_columns() -> None:
    with pytest.raises(SourceFormatError, match="no column 'title': its columns are 'id', 'name'"):
        read_header(iter(parse("id, name \n")), "t.csv", ["title"])


def test_broken_header() -> None:
    with pytest.raises(SourceFormatError, match="line 1: broken quoting"):
        read_header(iter(parse('"id" x,name\n')), "t.csv", ["id"])


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
            min_size=2,
            max_size=2,
        ).filter(any),
        min_size=1,
        max_size=6,
    )
)
def test_written_rows_are_read_back(table: list[list[str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(table)
    lines = io.StringIO(out.getvalue(), newline="")
    assert [row.cells for row in read_cells(iter(lines), ",")] == table


def test_a_row_without_end_costs_one_line() -> None:
    rows = parse('id,label\n2,"cook\n' + "3,waiter\n" * MAX_ROW_LINES)
    assert rows[1] == Cells(2, ['2,"cook\n'], "broken quoting (no end within 1,000 lines)")
    assert rows[2:] == [Cells(line, ["3", "waiter"]) for line in range(3, 3 + MAX_ROW_LINES)]


def test_many_unclosed_quotation_marks_take_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line opens a quotation that could run to the end of the file."""
    step = files._Lines.__next__
    steps = 0

    def counted(self: Any) -> str:
        nonlocal steps
        steps += 1
        return step(self)

    monkeypatch.setattr(files._Lines, "__next__", counted)
    monkeypatch.setattr(files, "MAX_ROW_LINES", 100)
    count = 1000
    rows = parse("id,label\n" + 'a","b\n' * count)
    assert [bool(row.problem) for row in rows] == [False, *[True] * count]
    assert steps < count * 102
