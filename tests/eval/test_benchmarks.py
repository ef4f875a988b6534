import subprocess
import sys
from collections.abc import Iterable

import pytest
from small_benchmarks import make_benchmark

from eval.benchmarks import LOADERS
from eval.benchmarks.base import read_qrels, require_titles
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
    ("lines", "message"),
    [
        (["1 0 a 1", "3 0 a 1"], "line 2: judges query '3', which is not among the queries"),
        (["1 0 c 1"], "line 1: judges document 'c', which is not in the corpus"),
        (["1 0 a 1", "1 0 a 1"], "line 2: judges document 'a' for query '1' a second time"),
        (["1 0 a"], "line 1: not 'q_id 0 doc_id relevance'"),
        (["1 0 a yes"], "line 1: not 'q_id 0 doc_id relevance'"),
        (["1 0 a -1"], "line 1: not 'q_id 0 doc_id relevance' with a relevance of 0 to 1,000"),
        (["1 0 a 3000000000"], "line 1: .*a relevance of 0 to 1,000"),
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
