import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from small_benchmarks import make_benchmark

from eval.benchmarks import LOADERS
from eval.benchmarks.base import read_qrels, require_titles
from eval.metrics import score
from eval.runs.trec import read_run
from jobsearch.errors import BenchmarkError

QUERIES = {"1": "nurse", "2": "cook"}
CORPUS = frozenset({"a", "b"})


def read(*lines: str) -> dict[str, dict[str, int]]:
    return read_qrels(lines, "qrels.tsv", QUERIES, CORPUS)


def test_qrels_with_tabs_spaces_and_a_blank_line() -> None:
    assert read("1\t0\ta\t1\n", "\n", "1 0 b 0\r\n", "2 0 b 2\n") == {
        "1": {"a": 1, "b": 0},
        "2": {"b": 2},
    }


@pytest.mark.parametrize(
    "lines",
    [
        ["1 0 a 1", "1 0 b -1", "2 0 a -2", "2 0 b 2"],
        ["1 0 a +1", "1 0 b -99999999999999999999", "2 0 a 000000000000", "2 0 b 02"],
        ["1 0 a 1", "1 0 b 0", "1 0 a 1", "2 0 a 0", "1 0 b -1", "2 0 b 2"],
        ["query-id\tcorpus-id\tscore", "1\ta\t1", "1\tb\t0", "2\ta\t0", "2\tb\t2"],
        ["\n", "q_id iter c_id relevance", "1 0 a 1", "1 0 b 0", "2 0 a 0", "2 0 b 2"],
    ],
    ids=["negative", "signs and zeros", "repeated", "BEIR", "header"],
)
def test_judgements_as_trec_eval_and_ranx_read_them(lines: list[str]) -> None:
    assert read(*lines) == {"1": {"a": 1, "b": 0}, "2": {"a": 0, "b": 2}}


def test_a_first_line_that_is_no_header() -> None:
    assert read_qrels(["qid 0 a 1"], "qrels.tsv") == {"qid": {"a": 1}}


@pytest.mark.parametrize(("name", "mean"), [("negative.qrels", 1), ("beir.qrels", 0.75)])
def test_judgements_in_other_forms(shared_data: Path, name: str, mean: float) -> None:
    """Negative relevance counts as 0, and BEIR's header of three columns is read."""
    folder = shared_data.parent / "cases" / "07-trec-judgements"
    run = read_run(folder / "base.trec")
    with (folder / name).open() as lines:
        assert score(run, read_qrels(lines, name)).means["MAP"] == mean


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 0 a 1", "3 0 a 1"], "line 2: judges query '3', which is not among the queries"),
        (["1 0 c 1"], "line 1: judges document 'c', which is not in the corpus"),
        (
            ["1 0 a 1", "1 0 a 0"],
            "line 2: judges document 'a' for query '1' a second time, with relevance 0 after 1",
        ),
        (["1 0 a 1", "1 0 a"], r"line 2: not 'q_id 0 doc_id relevance' \(three columns need a hea"),
        (
            ["1 a 1"],
            r"line 1: .* \(three columns need a header, such as 'query-id corpus-id score'",
        ),
        (["query-id corpus-id score", "1 0 a 1"], "line 2: not 'q_id doc_id relevance', the three"),
        (["1 0 a yes"], "line 1: .* write the relevance 'yes' as a whole number"),
        (["1 0 a 1.0"], "line 1: .* write the relevance '1.0' as a whole number"),
        (["1 0 a \u0661"], "line 1: .* as a whole number"),
        (["1 0 a 3000000000"], "line 1: 3000000000 is not a relevance of 0 to 1,000"),
        (["1 0 a 1001"], "line 1: 1001 is not a relevance of 0 to 1,000"),
        (["1 0 a " + "9" * 5000], "line 1: 9{40} is not a relevance of 0 to 1,000"),
        (["query-id corpus-id score"], "qrels.tsv has no judgements"),
        (["1 0 a 1", "1 0 \udce9 1"], "line 2: not UTF-8"),
        ([], "qrels.tsv has no judgements"),
        (["\n"], "qrels.tsv has no judgements"),
    ],
)
def test_bad_qrels(lines: Iterable[str], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message) as raised:
        read(*lines)
    assert str(raised.value).startswith("qrels.tsv")


def test_missing_and_empty_titles_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="queries has no queries: is the download complete"):
        require_titles({}, "queries", "queries")
    with pytest.raises(BenchmarkError, match="queries: 2 has an empty title"):
        require_titles({"1": "nurse", "2": " \u200b"}, "queries", "queries")


def test_query_language_and_corpus_language_are_separate() -> None:
    benchmark = make_benchmark(QUERIES, {"a": "enfermera"}, {"1": {"a": 1}}, corpus_language="es")
    assert benchmark.pair == "en-es"
    assert (benchmark.query_language, benchmark.corpus.languages) == ("en", ("es",))


def test_queries_without_a_relevant_document_are_kept_and_listed() -> None:
    benchmark = make_benchmark(
        {**QUERIES, "3": "clown"},
        {"a": "nurse", "b": "cook"},
        {"1": {"a": 1, "b": 0}, "2": {"b": 0}},
    )
    assert benchmark.queries_without_relevant == ("2", "3")
    assert benchmark.relevant == 1
    assert len(benchmark.queries) == 3


def test_a_corpus_is_a_source() -> None:
    corpus = make_benchmark(QUERIES, {"a": "nurse", "b": "nurse"}, {"1": {"a": 1}}).corpus
    rows = list(corpus.rows("en"))
    assert [(row.line, row.records[0].doc_id, row.records[0].title) for row in rows] == [
        (2, "a", "nurse"),
        (3, "b", "nurse"),
    ]
    assert list(corpus.rows("es")) == []
    assert corpus.languages == ("en",)


def test_the_digest_of_a_corpus_depends_on_its_documents() -> None:
    def digest(documents: dict[str, str]) -> str:
        return make_benchmark(QUERIES, documents, {"1": {"a": 1}}).corpus.sha256("en")

    assert digest({"a": "nurse"}) == digest({"a": "nurse"})
    assert len({digest({"a": "nurse"}), digest({"a": "nurses"}), digest({"b": "nurse"})}) == 3


def test_every_benchmark_has_a_loader_that_returns_a_list() -> None:
    assert list(LOADERS) == ["talentclef", "sample", "melo", "esco", "trec"]
    assert [benchmark.pair for benchmark in LOADERS["sample"](pairs=["en-de"])] == ["en-de"]


@pytest.mark.parametrize("module", ["eval.benchmarks", "eval.results", "eval.evaluation"])
def test_reading_files_needs_neither_models_nor_a_store(module: str) -> None:
    heavy = ["jobsearch.models", "jobsearch.store", "torch", "qdrant_client", "qdrant_edge"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
