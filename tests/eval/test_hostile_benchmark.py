"""Benchmarks with hostile titles are measured correctly, or refused with file and line."""

import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from eval.benchmarks.base import Benchmark
from eval.benchmarks.trec import load_trec
from eval.metrics import score
from eval.run import evaluate
from eval.runs.trec import read_run
from eval.systems import VectorSearch
from jobsearch.errors import BenchmarkError, SourceError, TooManyRejects
from jobsearch.models import Encoder
from jobsearch.store import open_store
from jobsearch.text import normalize_title

ODD = [
    "nurse", "NURSE", "ｎｕｒｓｅ", "𝓃𝓊𝓇𝓈ℯ",
    "nur\u200bse", "nurse\x00", "\ufeffnurse", "\u202enurse\u202c",
    "Kräftiger Koch", unicodedata.normalize("NFD", "Kräftiger Koch"), "Kra\u00ad\u0308ftiger Koch",
    "👩‍⚕️ doctor", "ممرضة مسجلة", "אחות מוסמכת", "注册护士", "I\u0307stanbul guide", "ß" * 500,
    "c" + "\u0301" * 400, "=cmd|'/c calc'!A1", 'chef, "head"', "'; DROP TABLE titles; --",
    "%s %d {0}", '{"$ne": null}', "NaN", "null", "../../etc/passwd",
    "bus\x85driver", "tram\u2028driver", "cab\x0cdriver",
]  # fmt: skip
#: An id may have any characters except white space.
IDS = ["=1+1", "../x", "D\u200b1", "\u202eD", "-", "NaN", "{}", "D" * 5000]


def load(folder: Path, titles: list[str], qrels: list[str]) -> Benchmark:
    ids = [IDS[i] if i < len(IDS) else f"D{i}" for i in range(len(titles))]
    for name, prefix in (("queries.tsv", "Q"), ("corpus.tsv", "")):
        lines = [f"{prefix}{id_}\t{title}\n" for id_, title in zip(ids, titles, strict=True)]
        (folder / name).write_text("".join(lines), encoding="utf-8", newline="")
    (folder / "odd.qrels").write_text("".join(qrels), encoding="utf-8")
    [benchmark] = load_trec(
        folder / "queries.tsv", folder / "corpus.tsv", folder / "odd.qrels",
        query_language="en", corpus_language="en",
    )  # fmt: skip
    return benchmark


def test_every_title_ranks_its_equals_first(tmp_path: Path, builtin: Encoder) -> None:
    ids = [*IDS, *(f"D{i}" for i in range(len(IDS), len(ODD)))]
    twins = [
        f"Q{a} 0 {b} 1\n"
        for a, title in zip(ids, ODD, strict=True)
        for b, other in zip(ids, ODD, strict=True)
        if normalize_title(title) == normalize_title(other)
    ]
    assert len(twins) == 8 * 8 + 3 * 3 + len(ODD) - 11
    benchmark = load(tmp_path, ODD, twins)
    with closing(open_store(":memory:")) as store:
        system = VectorSearch(store, builtin)
        cell = evaluate(benchmark, system, language_check=False, runs_dir=tmp_path / "runs")
    assert (cell.queries, cell.corpus) == (len(ODD), len(ODD))
    assert cell.metrics["MAP"] == cell.metrics["MRR"] == 1.0
    [run] = (tmp_path / "runs").iterdir()
    rankings = read_run(run)
    assert [len(found) for found in rankings.values()] == [len(ODD)] * len(ODD)
    assert score(rankings, benchmark.qrels).means["MAP"] == 1.0


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("\u200b\u200b", "has an empty title"),
        ("   ", "not an id, a tab and a title"),
        ("tab\there", "not an id, a tab and a title"),
        ("two\nlines", "line 4: not an id, a tab and a title: 'lines'"),
        ("nurse\udcff", "not UTF-8"),
    ],
)
def test_bad_titles_are_refused_with_file_and_line(tmp_path: Path, title: str, said: str) -> None:
    write = "surrogateescape"
    (tmp_path / "q.tsv").write_bytes(f"Q1\tcook\nQ2\tchef\nQ3\t{title}\n".encode(errors=write))
    with pytest.raises(BenchmarkError, match=said) as caught:
        load_trec(
            tmp_path / "q.tsv", tmp_path / "q.tsv", tmp_path / "q.tsv",
            query_language="en", corpus_language="en",
        )  # fmt: skip
    assert str(tmp_path / "q.tsv") in str(caught.value)


@pytest.mark.parametrize("title", ["-", "👩‍⚕️", "x" * 501, "x" * 1_000_000])
def test_a_document_that_cannot_be_stored_stops_the_evaluation(
    tmp_path: Path, builtin: Encoder, title: str
) -> None:
    """Without some of its documents, a corpus would give figures that are too high."""
    benchmark = load(tmp_path, ["cook", title], ["Q=1+1 0 =1+1 1\n"])
    with closing(open_store(":memory:")) as store:
        with pytest.raises(TooManyRejects, match=r"corpus\.tsv line 2"):
            evaluate(benchmark, VectorSearch(store, builtin), language_check=False)
        assert store.aliases() == {}


def test_a_file_of_one_very_long_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv").write_text("D1\t" + "x" * 3_000_000)
    with pytest.raises(SourceError, match=r"corpus\.tsv has a line of 2,097,152 characters"):
        load_trec(
            tmp_path / "corpus.tsv", tmp_path / "corpus.tsv", tmp_path / "corpus.tsv",
            query_language="en", corpus_language="en",
        )  # fmt: skip
