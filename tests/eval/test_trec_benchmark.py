from pathlib import Path

import pytest
from small_benchmarks import write

from eval.benchmarks.base import Benchmark
from eval.benchmarks.talentclef import load_talentclef
from eval.benchmarks.trec import load_trec
from ingest.sources.esco import SAMPLE_FOLDER
from jobsearch.errors import BenchmarkError, InvalidInput, SourceFormatError

FILES = {
    "queries.tsv": 'Q1\tKoch\nQ2\t"Alt" Pfleger\n',
    "corpus.tsv": "D1\tcook\nD2\tchef\n\nD3\tnurse\n",
    "test.qrels": "Q1 0 D1 1\nQ1 0 D2 2\nQ2\t0\tD3\t1\nQ2\t0\tD1\t0\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def load(folder: Path, name: str = "own") -> Benchmark:
    [benchmark] = load_trec(
        folder / "queries.tsv",
        folder / "corpus.tsv",
        folder / "test.qrels",
        query_language="de",
        corpus_language="EN",
        name=name,
    )
    return benchmark


def test_three_files(folder: Path) -> None:
    benchmark = load(folder)
    assert (benchmark.name, benchmark.split, benchmark.pair) == ("own", "test", "de-en")
    assert benchmark.queries == {"Q1": "Koch", "Q2": '"Alt" Pfleger'}
    assert benchmark.qrels == {"Q1": {"D1": 1, "D2": 2}, "Q2": {"D3": 1, "D1": 0}}
    assert benchmark.relevant == 3
    rows = list(benchmark.corpus.rows("en"))
    records = [row.records[0] for row in rows]
    assert [row.line for row in rows] == [1, 2, 4]
    assert [(r.doc_id, r.title, r.language) for r in records] == [
        ("D1", "cook", "en"),
        ("D2", "chef", "en"),
        ("D3", "nurse", "en"),
    ]
    assert str(folder / "corpus.tsv") in benchmark.card.source


@pytest.mark.parametrize(
    "header",
    [
        "q_id\tjobtitle",
        "c_id\tjobtitle",
        "id\ttitle",
        "Corpus-ID\ttext",
        "docid\tt",
        "_id\ttext",
        "queryid\tt",
        "query\ttitle",
        "docno\ttext",
        "Number\tJob title",
    ],
)
def test_a_header_is_skipped(folder: Path, header: str) -> None:
    plain = load(folder)
    for name in ("queries.tsv", "corpus.tsv"):
        write(folder, {name: f"{header}\n{FILES[name]}"})
    below = load(folder)
    assert (below.queries, below.documents) == (plain.queries, plain.documents)
    assert next(iter(below.corpus.rows("en"))).line == 2


@pytest.mark.parametrize(
    "first", ["madrid\tdentist", "Q0\tid", "id7\tclerk", "doc\tnurse", "7\ttitle"]
)
def test_first_lines_that_look_like_headers_but_are_titles(folder: Path, first: str) -> None:
    write(folder, {"queries.tsv": f"{first}\n{FILES['queries.tsv']}"})
    assert len(load(folder).queries) == 3


def test_files_of_talentclef_are_read_unchanged() -> None:
    part = SAMPLE_FOLDER / "benchmark" / "validation"
    [benchmark] = load_trec(
        part / "english" / "queries",
        part / "german" / "corpus_elements",
        part / "english-german" / "qrels.tsv",
        query_language="en",
        corpus_language="de",
    )
    (same,) = load_talentclef(SAMPLE_FOLDER / "benchmark", pairs=["en-de"])
    assert benchmark.queries == same.queries
    assert benchmark.qrels == same.qrels
    titles = [row.records[0].title for row in benchmark.corpus.rows("de")]
    assert titles == [row.records[0].title for row in same.corpus.rows("de")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("queries.tsv", "", r"queries\.tsv has no queries"),
        ("queries.tsv", "q_id\tjobtitle\n", r"queries\.tsv has no queries"),
        ("queries.tsv", "Q1\tKoch\nQ1\tKoch\n", r"queries\.tsv, line 2: duplicate id: 'Q1\\tKoch'"),
        ("corpus.tsv", "D1\tcook\tchef\n", r"corpus\.tsv, line 1: not an id, a tab and a title"),
        ("corpus.tsv", "D1\t\u200b\n", r"corpus\.tsv: D1 has an empty title"),
        ("test.qrels", "", r"test\.qrels has no judgements"),
        ("test.qrels", "Q1 0 D9 1\n", r"test\.qrels, line 1: judges document 'D9'"),
        ("test.qrels", "Q9 0 D1 1\n", r"test\.qrels, line 1: judges query 'Q9'"),
        ("test.qrels", "query-id corpus-id score\n", r"test\.qrels has no judgements"),
        ("test.qrels", "Q1 D1 1\n", r"test\.qrels, line 1: not 'q_id 0 doc_id.*need a header"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    folder: Path, name: str, text: str, message: str
) -> None:
    write(folder, {name: text})
    with pytest.raises(BenchmarkError, match=message):
        load(folder)


def test_unreadable_files_are_refused(folder: Path) -> None:
    (folder / "corpus.tsv").write_text("D1\tcook\n", encoding="utf-16")
    with pytest.raises(SourceFormatError, match=r"corpus\.tsv is not UTF-8 .* iconv"):
        load(folder)
    (folder / "queries.tsv").unlink()
    with pytest.raises(SourceFormatError, match=r"queries\.tsv cannot be read .No such file"):
        load(folder)


@pytest.mark.parametrize(
    "name", ["talentclef-2025", "melo", "sample", "esco-probe", "", "My set", "a/b", "x" * 61]
)
def test_invalid_and_reserved_names_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"'{name}' cannot name a benchmark"):
        load(folder, name)


def test_an_unknown_language_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown language 'xx'"):
        load_trec(
            folder / "queries.tsv",
            folder / "corpus.tsv",
            folder / "test.qrels",
            query_language="xx",
            corpus_language="en",
        )
