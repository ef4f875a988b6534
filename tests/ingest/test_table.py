"""The user's own table in each format."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.sources import TableSource
from jobsearch.errors import InvalidInput, SourceFormatError, SourceNotFound
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
        (4, []),
        (5, []),
        (6, ["not UTF-8"]),
    ]
    # A list and NaN become empty titles, which read_source rejects.
    assert [record.title for row in rows for record in row.records] == ["nurse", "", ""]
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
        TableSource(write("jobs.xlsx", "x"), title="job", language="en")


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
    mapped = {"concept_id": "many", "language": "en"}
    with little_memory():
        for title, expected in (("job", "Cook"), ("job.title", "Chef"), ("many", "")):
            rows = list(TableSource(path, title=title, **mapped).rows("en"))
            assert [record.title for row in rows for record in row.records] == [expected] * 1000
            assert {record.concept_id for row in rows for record in row.records} == {None}


@pytest.mark.parametrize("text_type", ["string", "large_string", "string_view", "dictionary"])
def test_parquet_text_types(tmp_path: Path, text_type: str) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    texts = pyarrow.array(["Cook", None, "Chef", "Cook"])
    column = texts.dictionary_encode() if text_type == "dictionary" else texts.cast(text_type)
    parquet.write_table(pyarrow.table({"job": column}), tmp_path / "jobs.parquet")
    rows = TableSource(tmp_path / "jobs.parquet", title="job", language="en").rows("en")
    assert [record.title for row in rows for record in row.records] == ["Cook", "", "Chef", "Cook"]
