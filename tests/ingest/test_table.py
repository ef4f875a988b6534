"""The user's own table in each format."""

import gzip
import json
import re
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.reading import _usable, read_source
from ingest.sources import Reject, TableSource
from jobsearch.errors import InvalidInput, SourceFormatError, SourceNotFound, TooManyRejects
from jobsearch.types import TitleRecord

Write = Callable[..., Path]

ROWS = [
    {"job": "Nurse", "code": "2221", "id": "a", "lang": "en", "sort": "alternative"},
    {"job": "Köchin", "code": "5120", "id": "b", "lang": "de", "sort": ""},
    {"job": "Cook", "code": None, "id": None, "lang": "EN", "sort": None},
]
MAPPED: dict[str, Any] = {"title": "job", "concept_id": "id", "isco": "code", "kind": "sort"}


def table(path: Path, suffix: str) -> Path:
    """Write the rows to a file in the format of the suffix."""
    if suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path / "jobs.parquet")
    elif suffix == ".jsonl":
        text = "\n".join(json.dumps(row) for row in ROWS)
        (path / "jobs.jsonl").write_text(text + "\n\n", encoding="utf-8")
    else:
        sep = {".csv": ",", ".tsv": "\t"}[suffix]
        lines = [list(ROWS[0]), *([row[c] or "" for c in row] for row in ROWS)]
        text = "\n".join(sep.join(map(str, line)) for line in lines)
        (path / f"jobs{suffix}").write_text(text, encoding="utf-8")
    return path / f"jobs{suffix}"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_formats_give_the_same_titles(tmp_path: Path, suffix: str) -> None:
    source = TableSource(table(tmp_path, suffix), language_column="lang", **MAPPED)
    assert (source.name, source.split, source.languages) == ("jobs", "", ("de", "en"))
    records = [record for row in source.rows("en") for record in row.records]
    assert records == [
        TitleRecord("Nurse", "en", "jobs", "alternative", concept_id="a", isco="2221"),
        TitleRecord("Cook", "en", "jobs", "preferred"),
    ]
    first = 2 if suffix in (".csv", ".tsv") else 1
    assert [row.line for row in source.rows("en")] == [first, first + 2]
    assert source.sha256("en") != source.sha256("de")


def test_slash_forms_are_split(write: Write) -> None:
    path = write(
        "jobs.csv",
        "job,lang,id\nAalräucherer/-räucherin,de,a\nImport-/Exportkaufmann,de,b\n"
        "acteur/actrice,fr,c\nactrice,fr,c\nActeur,fr,c\nacteur/actrice,fr,d\nwaiter/waitress,en,\n",
    )
    source = TableSource(path, title="job", language_column="lang", concept_id="id")
    found = {
        language: [(r.title, r.concept_id) for row in source.rows(language) for r in row.records]
        for language in source.languages
    }
    assert found == {
        "de": [
            ("Aalräucherer/-räucherin", "a"), ("Aalräucherer", "a"), ("Aalräucherin", "a"),
            ("Import-/Exportkaufmann", "b"),
        ],
        "en": [("waiter/waitress", None), ("waiter", None), ("waitress", None)],
        "fr": [
            ("acteur/actrice", "c"), ("acteur", "c"), ("actrice", "c"),
            ("actrice", "c"), ("Acteur", "c"), ("acteur/actrice", "d"),
        ],
    }  # fmt: skip
    assert [len(row.records) for row in source.rows("de")] == [3, 1]


@pytest.mark.parametrize("title", ["24/24", "A/a clerk", "/", "a/" * 250, "/" * 100_000])
def test_other_titles_with_slashes_stay_whole(write: Write, title: str) -> None:
    path = write("jobs.csv", f"job,id\n{title},a\n")
    for language in ("en", "de", "es", "fr"):
        source = TableSource(path, title="job", language=language, concept_id="id")
        assert [r.title for row in source.rows(language) for r in row.records] == [title]


def test_semicolons_as_german_spreadsheets_write_them(write: Write) -> None:
    path = write("jobs.csv", 'job;code\n"Koch; Küche";5120\n"Kellner, Bar";5131\n')
    source = TableSource(path, title="job", isco="code", language="de")
    records = [record for row in source.rows("de") for record in row.records]
    assert [(r.title, r.isco) for r in records] == [
        ("Koch; Küche", "5120"), ("Kellner, Bar", "5131"),
    ]  # fmt: skip
    commas = write("other.csv", 'job,note\ncook,"a; b; c"\n')
    [row] = TableSource(commas, title="job", language="en").rows("en")
    assert row.records[0].title == "cook"


def test_a_fixed_language_and_name(tmp_path: Path) -> None:
    source = TableSource(table(tmp_path, ".csv"), title="job", language="EN", name="Our Jobs!")
    assert (source.name, source.languages) == ("our-jobs", ("en",))
    assert len(list(source.rows("en"))) == 3


def test_languages_as_people_write_them(write: Write) -> None:
    path = write(
        "jobs.csv",
        "job,lang\nnurse,en-US\nKoch,Deutsch\ncook,English\nTischler,de_AT\nkokk,nb\nwelder,\n"
        "sjuksköterska,xx\n",
    )
    source = TableSource(path, title="job", language_column="lang")
    assert source.languages == ("de", "en", "no")
    rows = list(source.rows(*source.languages))
    assert [(r.title, r.language) for row in rows for r in row.records] == [
        ("nurse", "en"), ("Koch", "de"), ("cook", "en"), ("Tischler", "de"), ("kokk", "no"),
    ]  # fmt: skip
    assert [(r.line, r.reason, r.text) for row in rows for r in row.rejects] == [
        (7, "no language", "welder"),
        (8, "unknown language", "xx of sjuksköterska"),
    ]
    # With a language for the others, an empty cell has it, and an unknown one is still unknown.
    source = TableSource(path, title="job", language_column="lang", language="English")
    rows = list(source.rows("en"))
    assert [r.title for row in rows for r in row.records] == ["nurse", "cook", "welder"]
    assert [r.line for row in rows for r in row.rejects] == [8]


def test_bad_rows(write: Write) -> None:
    path = write(
        "jobs.csv",
        b'job,lang,isco,kind\nnurse,xx,,\ncook,en,9999,\ncook,en,,best\n"co"ok,en,,\nK\xf6chin,en,,\n'
        b"clerk,en,4,\n",
    )
    source = TableSource(path, title="job", language_column="lang", isco="isco", kind="kind")
    rows = list(source.rows("en"))
    assert [(r.line, r.reason.split(" (")[0], r.text) for row in rows for r in row.rejects] == [
        (2, "unknown language", "xx of nurse"),
        (3, "unknown ISCO-08 code", "9999 of cook"),
        (4, "kind is none of preferred, alternative, hidden, corpus", "best"),
        (5, "broken quoting", '"co"ok,en,,'),
        (6, "not UTF-8", "K\udcf6chin en  "),
    ]
    assert [record.isco for row in rows for record in row.records] == ["4"]


def test_bad_json_lines(write: Write) -> None:
    path = write(
        "jobs.jsonl",
        b'{"job": "nurse", "isco": 2221.0}\n{"job": \n["nurse"]\n'
        b'{"job": ["a"]}\n{"job": NaN}\nK\xf6chin\n',
    )
    rows = list(TableSource(path, title="job", isco="isco", language="en").rows("en"))
    assert [(row.line, [r.reason.split(" (")[0] for r in row.rejects]) for row in rows] == [
        (1, []),
        (2, ["broken JSON"]),
        (3, ["not a JSON object"]),
        (4, ["a list in column 'job'"]),
        (5, []),
        (6, ["not UTF-8"]),
    ]
    # read_source rejects NaN.
    assert [record.title for row in rows for record in row.records] == ["nurse", "nan"]
    assert rows[0].records[0].isco == "2221"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_missing_column(tmp_path: Path, suffix: str) -> None:
    source = TableSource(table(tmp_path, suffix), title="beruf", language="de")
    with pytest.raises(SourceFormatError, match="no column 'beruf': its columns are 'job', 'code'"):
        next(source.rows("de"))


def test_files_without_rows(write: Write) -> None:
    source = TableSource(write("jobs.jsonl", "[1]\n"), title="job", language="en")
    with pytest.raises(SourceFormatError, match="has no JSON object"):
        list(source.rows("en"))
    source = TableSource(write("jobs.csv", ""), title="job", language="en")
    with pytest.raises(SourceFormatError, match="is empty"):
        list(source.rows("en"))


def test_broken_parquet(write: Write) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    source = TableSource(write("jobs.parquet", "no parquet"), title="job", language="en")
    with pytest.raises(SourceFormatError, match="cannot be read as Parquet"):
        list(source.rows("en"))


def test_parquet_without_pyarrow(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceFormatError, match=r"pip install 'jobsearch\[parquet\]'"):
        TableSource(write("jobs.parquet", "PAR1"), title="job", language="en")


def test_bad_arguments_are_refused_at_once(tmp_path: Path, write: Write) -> None:
    path = write("jobs.csv", "job\nnurse\n")
    with pytest.raises(InvalidInput, match=r"give `language`, .* or `language_column`"):
        TableSource(path, title="job")
    with pytest.raises(InvalidInput, match="unknown language 'xx'"):
        TableSource(path, title="job", language="xx")
    with pytest.raises(InvalidInput, match=r"the name 'esco' is reserved .* another `name`"):
        TableSource(path, title="job", language="en", name="ESCO")
    with pytest.raises(SourceNotFound, match="is not a file: give a table"):
        TableSource(tmp_path, title="job", language="en")
    with pytest.raises(
        SourceFormatError, match=r"unknown format: convert it to one of \.csv, \.tsv"
    ):
        TableSource(write("jobs.xls", "x"), title="job", language="en")
    with pytest.raises(SourceFormatError, match="unknown format"):
        TableSource(write("jobs.parquet.gz", "x"), title="job", language="en")


def test_parquet_with_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = table(tmp_path, ".parquet")
    path.write_bytes(path.read_bytes().replace(b"Nurse", b"N\xffrse"))
    with pytest.raises(SourceFormatError, match=r"jobs\.parquet cannot be read as Parquet"):
        list(TableSource(path, language="en", **MAPPED).rows("en"))


def test_parquet_that_would_unpack_to_gigabytes(tmp_path: Path, little_memory: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    texts = pyarrow.array([1_000_000 * "x", "Cook"])
    rows = pyarrow.array([0, 0, 1] * 1000, pyarrow.int32())
    jobs = pyarrow.table({"job": pyarrow.DictionaryArray.from_arrays(rows, texts)})
    path = tmp_path / "jobs.parquet"
    parquet.write_table(jobs, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 1000
    with little_memory():
        read = list(TableSource(path, title="job", language="en").rows("en"))
    assert [record.title for row in read for record in row.records] == ["Cook"] * 1000
    rejects = [reject for row in read for reject in row.rejects]
    assert len(rejects) == 2000
    assert {(r.reason, r.text) for r in rejects} == {
        ("cell longer than 131,072 characters", 200 * "x")
    }


def test_parquet_columns_with_several_values_per_row(tmp_path: Path, little_memory: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    many = pyarrow.FixedSizeListArray.from_arrays(pyarrow.nulls(10**8, pyarrow.int8()), 100_000)
    columns = {"job": ["Cook"] * 1000, "many": many, "job.title": ["Chef"] * 1000}
    path = tmp_path / "jobs.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    with little_memory():
        for title, expected in (("job", "Cook"), ("job.title", "Chef")):
            rows = list(TableSource(path, title=title, language="en").rows("en"))
            assert [record.title for row in rows for record in row.records] == [expected] * 1000
        for mapped in ({"title": "many"}, {"title": "job", "concept_id": "many"}):
            with pytest.raises(
                SourceFormatError, match=r"column 'many' holds lists, .*type fixed_size_list<"
            ):
                list(TableSource(path, language="en", **mapped).rows("en"))


@pytest.mark.parametrize("text_type", ["string", "large_string", "string_view", "dictionary"])
def test_parquet_text_types(tmp_path: Path, text_type: str) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    texts = pyarrow.array(["Cook", None, "Chef", "Cook"])
    column = texts.dictionary_encode() if text_type == "dictionary" else texts.cast(text_type)
    parquet.write_table(pyarrow.table({"job": column}), tmp_path / "jobs.parquet")
    rows = TableSource(tmp_path / "jobs.parquet", title="job", language="en").rows("en")
    assert [record.title for row in rows for record in row.records] == ["Cook", "", "Chef", "Cook"]


def read_table(path: Path, **mapped: Any) -> tuple[list[TitleRecord], list[Reject]]:
    """The titles and the rejects of a table in English."""
    rows = list(TableSource(path, language="en", **mapped).rows("en"))
    rejects: list[Reject] = []
    titles = []
    for row in rows:
        found = list(row.rejects)
        titles += [record for _, record in _usable(row, found)]
        rejects += found
    return titles, rejects


@pytest.mark.parametrize("header", ["job,isco,job", "job,isco, job", "\ufeffjob,isco,job "])
def test_a_column_that_is_there_twice(write: Write, header: str) -> None:
    path = write("jobs.csv", f"{header}\nnurse,2221,RN-7\n")
    with pytest.raises(SourceFormatError, match=r"jobs\.csv has several columns named 'job': ren"):
        list(TableSource(path, title="job", isco="isco", language="en").rows("en"))
    [record], _ = read_table(path, title="isco")
    assert record.title == "2221"


def test_columns_that_are_not_read_may_have_any_name(write: Write) -> None:
    titles, _ = read_table(write("jobs.csv", "job,,\nnurse,,\n"), title=" job ")
    assert [record.title for record in titles] == ["nurse"]


def test_a_json_key_that_is_there_twice(write: Write) -> None:
    path = write(
        "jobs.jsonl", '{"job": "nurse"}\n{"job": "cook", "x": {"job": 1}, "job ": "C-1"}\n'
    )
    with pytest.raises(SourceFormatError, match=r"jsonl, line 2, has several columns named 'job'"):
        list(TableSource(path, title="job", language="en").rows("en"))


@pytest.mark.parametrize("names", [["job", "job"], ["job", " job"]])
def test_a_parquet_column_that_is_there_twice(tmp_path: Path, names: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    path = tmp_path / "jobs.parquet"
    parquet.write_table(pyarrow.Table.from_arrays([["nurse"], ["RN-7"]], names=names), path)
    with pytest.raises(SourceFormatError, match="has several columns named 'job'"):
        list(TableSource(path, title="job", language="en").rows("en"))


@pytest.mark.parametrize("names", [["job", "isco"], ["job ", " isco"]])
def test_parquet_names_with_spaces(tmp_path: Path, names: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    path = tmp_path / "jobs.parquet"
    parquet.write_table(pyarrow.Table.from_arrays([["nurse"], [2221]], names=names), path)
    [record], _ = read_table(path, title="job", isco="isco")
    assert (record.title, record.isco) == ("nurse", "2221")


def test_the_shared_case_of_a_column_that_is_there_twice(cases: Path) -> None:
    with pytest.raises(SourceFormatError, match="several columns named 'job'"):
        read_table(cases / "05-duplicate-columns" / "twice.csv", title="job")


def test_isco_codes_as_spreadsheets_leave_them(write: Write) -> None:
    path = write(
        "jobs.csv",
        "job,isco\nnurse,2221.0\nwelder,C7212\nofficer,110\nmanager,2200\nguard,31\nhelper,\n"
        "cook,http://data.europa.eu/esco/isco/C5120\nroofer,9999\n",
    )
    titles, rejects = read_table(path, title="job", isco="isco")
    assert {record.title: record.isco for record in titles} == {
        "nurse": "2221", "welder": "7212", "officer": "0110", "manager": "22", "helper": None,
        "cook": "5120",
    }  # fmt: skip
    assert [(r.line, r.reason, r.text) for r in rejects] == [
        (6, "ambiguous ISCO-08 code (31 or 031: it may have lost a zero)", "31 of guard"),
        (9, "unknown ISCO-08 code", "9999 of roofer"),
    ]
    source = TableSource(path, title="job", isco="isco", language="en")
    with pytest.raises(TooManyRejects, match=r"jobs\.csv line 9: '9999 of roofer'"):
        read_source(source, ["en"], max_rejects=0, rejects_path=None)


def test_the_shared_cases_of_isco_codes(cases: Path) -> None:
    folder = cases / "08-isco-codes"
    titles, rejects = read_table(folder / "three-digit-lost-zero.csv", title="job", isco="isco")
    assert [record.isco for record in titles] == ["111", "222", "721", "833", "512", "233", "251"]
    assert [(r.line, r.text) for r in rejects] == [
        (2, "11 of army officer"), (3, "21 of sergeant"), (4, "31 of soldier"),
    ]  # fmt: skip
    titles, rejects = read_table(folder / "pandas-float.csv", title="job", isco="isco")
    assert [record.isco for record in titles] == ["2221", "7212", None, "8331"]
    assert not rejects
    titles, rejects = read_table(folder / "isco.csv", title="job", isco="isco")
    assert [record.isco for record in titles] == [
        "2221", "111", "1", "11", "111", "0110", "0310", "0210", "7212", "7121", "7126", "7531",
        "8160", "5120", "7131", "2641",
    ]  # fmt: skip
    assert [(r.line, r.text) for r in rejects] == [
        (10, "31 of infantry soldier"), (11, "11 of navy officer"), (12, "1 of air force cadet"),
    ]  # fmt: skip


NO_VALUES = [
    "nan", "NULL", "N/A", "None", "-", "#N/A", "#REF!", "#DIV/0!", "<NA>", "(blank)", "#NV", "NaT",
]  # fmt: skip


def test_words_for_no_value_are_no_titles(write: Write) -> None:
    rows = [f"{word},2221,{word},{word}" for word in NO_VALUES]
    rows += ["TRUE,,,", "2024-01-31,,,", "31.01.2024 10:00,,,"]
    rows += [f"nurse {n},{word},{word},{word}" for n, word in enumerate(NO_VALUES)]
    path = write("jobs.csv", "\n".join(["job,isco,id,kind", *rows]))
    titles, rejects = read_table(path, title="job", isco="isco", concept_id="id", kind="kind")
    assert [(r.line, r.text) for r in rejects] == [
        (line, text)
        for line, text in enumerate([*NO_VALUES, "TRUE", "2024-01-31", "31.01.2024 10:00"], start=2)
    ]
    assert {reject.reason for reject in rejects} == {
        'empty title (a word for "no value")', "title without letter or digit",
        "a truth value, not a title", "a date, not a title",
    }  # fmt: skip
    assert titles == [
        TitleRecord(f"nurse {n}", "en", "jobs", "preferred") for n in range(len(NO_VALUES))
    ]


@pytest.mark.parametrize("title", ["Blank", "Nancy", "Infinity pool builder", "24/7 nurse", "C#"])
def test_titles_that_resemble_words_for_no_value(write: Write, title: str) -> None:
    titles, _ = read_table(write("jobs.csv", f"job\n{title}\n"), title="job")
    assert [record.title for record in titles] == [title]


def test_json_values_that_are_no_titles(write: Write) -> None:
    values = [
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "null",
        '["nurse", "cook"]',
        '{"en": "nurse"}',
    ]
    rows = "\n".join(f'{{"job": {value}}}' for value in ['"welder"', *values])
    titles, rejects = read_table(write("jobs.jsonl", rows), title="job")
    assert [record.title for record in titles] == ["welder"]
    assert [(r.line, r.reason.split(" (")[0], r.text) for r in rejects] == [
        (2, "empty title", "nan"),
        (3, "empty title", "inf"),
        (4, "empty title", "-inf"),
        (5, "a truth value, not a title", "True"),
        (6, "empty title", ""),
        (7, "a list in column 'job'", '["nurse", "cook"]'),
        (8, "an object in column 'job'", '{"en": "nurse"}'),
    ]


def test_a_list_in_an_optional_column(write: Write) -> None:
    path = write("jobs.jsonl", '{"job": "nurse", "id": ["a", "b"]}\n{"job": "cook"}\n')
    titles, [reject] = read_table(path, title="job", concept_id="id")
    assert [record.title for record in titles] == ["cook"]
    assert (reject.line, reject.reason, reject.text) == (1, "a list in column 'id'", '["a", "b"]')


def test_parquet_dates_are_no_titles(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    days = pyarrow.array([0, 19_000], pyarrow.date32())
    times = pyarrow.array([0, 10**15], pyarrow.timestamp("us"))
    path = tmp_path / "jobs.parquet"
    parquet.write_table(pyarrow.table({"day": days, "time": times}), path)
    for column in ("day", "time"):
        source = TableSource(path, title=column, language="en")
        with pytest.raises(TooManyRejects, match=r"a date, not a title \(2, .*: '1970-01-01"):
            read_source(source, ["en"], max_rejects=0.01, rejects_path=None)


def test_the_shared_cases_of_words_and_lists(cases: Path) -> None:
    titles, rejects = read_table(cases / "10-null-words" / "nulls.csv", title="job", isco="isco")
    assert [record.title for record in titles] == ["registered nurse"]
    assert [reject.text for reject in rejects] == [
        "NULL", "N/A", "nan", "None", "-", "#N/A", "#REF!",
    ]  # fmt: skip
    source = TableSource(cases / "11-cell-not-text" / "list.jsonl", title="job", language="en")
    rejects = [reject for row in source.rows("en") for reject in row.rejects]
    assert [(r.reason, r.text) for r in rejects] == [
        ("a list in column 'job'", '["registered nurse", "staff nurse"]'),
        ("a list in column 'job'", '["welder"]'),
    ]


LINES = 'id,job,isco\n1,"registered nurse\nstaff nurse\r\nadult nurse",2221\n2,welder,7212\n'


def test_a_title_cell_with_a_line_break_is_refused(write: Write) -> None:
    titles, [reject] = read_table(write("jobs.csv", LINES), title="job", isco="isco")
    assert [record.title for record in titles] == ["welder"]
    assert (reject.line, reject.reason, reject.text) == (
        2,
        "several lines in one title (`split_titles` makes each a title)",
        "registered nurse\nstaff nurse\r\nadult nurse",
    )


@pytest.mark.parametrize("separator", ["\n", r"\n", ";"])
def test_a_title_cell_with_a_line_break_is_split(write: Write, separator: str) -> None:
    path = write("jobs.csv", LINES)
    titles, rejects = read_table(path, title="job", isco="isco", split_titles=separator)
    assert [(record.title, record.isco) for record in titles] == [
        ("registered nurse", "2221"), ("staff nurse", "2221"), ("adult nurse", "2221"),
        ("welder", "7212"),
    ]  # fmt: skip
    assert not rejects


def test_titles_with_a_separator_between_them(write: Write) -> None:
    path = write("jobs.tsv", "job\tid\nnurse; staff nurse ;\ta\ncook\tb\n;;\tc\nnurse; -\td\n")
    titles, rejects = read_table(path, title="job", concept_id="id", split_titles=";")
    assert [(record.title, record.concept_id) for record in titles] == [
        ("nurse", "a"), ("staff nurse", "a"), ("cook", "b"), ("nurse", "d"),
    ]  # fmt: skip
    assert [(r.line, r.reason) for r in rejects] == [
        (4, "empty title"), (5, "title without letter or digit"),
    ]  # fmt: skip
    whole, split = (
        TableSource(path, title="job", language="en", split_titles=separator)
        for separator in (None, ";")
    )
    assert whole.sha256("en") != split.sha256("en")
    with pytest.raises(InvalidInput, match=r"`split_titles` is empty: give the separator"):
        TableSource(path, title="job", language="en", split_titles="")


def test_the_shared_case_of_several_titles_in_a_cell(cases: Path) -> None:
    path = cases / "04-several-titles-in-a-cell" / "multiline.csv"
    titles, rejects = read_table(path, title="job", isco="isco")
    assert (titles, len(rejects)) == ([], 2)
    titles, rejects = read_table(path, title="job", isco="isco", split_titles=r"\n")
    assert [(record.title, record.isco) for record in titles] == [
        ("registered nurse", "2221"), ("staff nurse", "2221"), ("adult nurse", "2221"),
        ("welder", "7212"), ("arc welder", "7212"),
    ]  # fmt: skip
    assert not rejects


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\n"])
def test_a_first_line_that_names_the_separator(write: Write, first: str) -> None:
    path = write("jobs.csv", f"{first}job;code\nnurse, registered;2221\ncook;x\n")
    titles, [reject] = read_table(path, title="job", isco="code")
    assert [(record.title, record.isco) for record in titles] == [("nurse, registered", "2221")]
    assert (reject.line, reject.text) == (4, "x of cook")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_gzip(tmp_path: Path, suffix: str) -> None:
    plain = table(tmp_path, suffix)
    path = plain.with_name(f"{plain.name}.gz")
    path.write_bytes(gzip.compress(plain.read_bytes()))
    packed = TableSource(path, language_column="lang", **MAPPED)
    unpacked = TableSource(plain, language_column="lang", **MAPPED)
    assert packed.name == "jobs"
    assert packed.languages == ("de", "en")
    records = [row.records for row in unpacked.rows("en")]
    assert [row.records for row in packed.rows("en")] == records
    plain.write_bytes(path.read_bytes())
    assert [row.records for row in unpacked.rows("en")] == records
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceFormatError, match=r"jobs\.\w+\.gz is damaged"):
        list(packed.rows("en"))


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_an_excel_workbook_with_a_cover_sheet(tmp_path: Path) -> None:
    rows = [
        ["List of jobs, 2026"],
        [],
        ["No.", " Job\ntitle ", "ISCO"],
        [1, "nurse", 2221],
        [],
        [2, "officer", 110],
        [3, None, 7212],
        [4, "#N/A", None],
        [5, datetime(2026, 1, 31), None],
        [6, "cook", "C5120"],
        [7, "staff nurse\nadult nurse", 2221],
    ]
    path = workbook(tmp_path / "jobs.xlsx", {"Cover": [["Jobs"], ["by us"]], "Table": rows})
    titles, rejects = read_table(path, title="Job title", isco="ISCO", concept_id="No.")
    assert [(record.title, record.isco, record.concept_id) for record in titles] == [
        ("nurse", "2221", "1"), ("officer", "0110", "2"), ("cook", "5120", "6"),
    ]  # fmt: skip
    assert [(reject.line, reject.reason.split(" (")[0]) for reject in rejects] == [
        (7, "empty title"), (8, "empty title"), (9, "a date, not a title"),
        (11, "several lines in one title"),
    ]  # fmt: skip
    source = TableSource(path, title="Job title", language="en")
    assert (source.name, source.languages) == ("jobs", ("en",))


def test_workbooks_that_cannot_be_used(tmp_path: Path, write: Write) -> None:
    def read(path: Path, title: str = "job") -> None:
        list(TableSource(path, title=title, language="en").rows("en"))

    one = [["job", "job "], ["nurse", "RN-7"]]
    path = workbook(tmp_path / "a.xlsx", {"One": one, "Two": [["job"], ["cook"]], "Three": []})
    with pytest.raises(
        SourceFormatError, match=r"several sheets with a column 'job': 'One', 'Two'"
    ):
        read(path)
    with pytest.raises(
        SourceFormatError, match=r"no column 'beruf' .*sheets are 'One', 'Two', 'Th"
    ):
        read(path, "beruf")
    path = workbook(tmp_path / "b.xlsx", {"One": one})
    with pytest.raises(SourceFormatError, match=r"sheet 'One', has several columns named 'job'"):
        read(path)
    whole = path.read_bytes()
    for name, content, message in [
        ("c.xlsx", whole[:2000], "is damaged"),
        ("d.xlsx", b"\xd0\xcf\x11\xe0" + bytes(100), "is encrypted or of Excel 97"),
        ("e.xlsx", b"job\nnurse\n", "is damaged"),
        ("f.csv", whole, "is a zip file or an Excel workbook, not a text file"),
    ]:
        with pytest.raises(SourceFormatError, match=rf"{name} {message}"):
            read(write(name, content))
    with zipfile.ZipFile(tmp_path / "g.xlsx", "w") as target:
        target.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(SourceFormatError, match=r"g\.xlsx cannot be read as an Excel workbook"):
        read(tmp_path / "g.xlsx")


def test_excel_without_openpyxl(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(SourceFormatError, match=r"pip install 'jobsearch\[excel\]'"):
        TableSource(write("jobs.xlsx", "PK"), title="job", language="en")


def test_a_sheet_with_a_cell_at_its_far_end(tmp_path: Path) -> None:
    """A hundred bytes can claim a sheet of 17 billion cells."""
    path = workbook(tmp_path / "jobs.xlsx", {"One": [["job"], ["nurse"]]})
    sheet = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    parts[sheet] = re.sub(rb'ref="A1:A2"', b'ref="A1:XFD1048576"', parts[sheet])
    with zipfile.ZipFile(path, "w") as target:
        for name, content in parts.items():
            target.writestr(name, content)
    tracemalloc.start()
    try:
        titles, _ = read_table(path, title="job")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert [record.title for record in titles] == ["nurse"]


def test_the_real_workbook(shared_data: Path) -> None:
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    path = shared_data / "ba-occupation-list-2019.xlsx"
    column = "Bezeichnung männlich lang"
    rows = list(TableSource(path, title=column, concept_id="DKZ-ID", language="de").rows("de"))
    assert len(rows) == 27_854
    assert not [reject for row in rows for reject in row.rejects]
    assert (rows[0].line, rows[0].records[0].title, rows[0].records[0].concept_id) == (
        5, "Aalbrutzüchter", "107605",
    )  # fmt: skip
