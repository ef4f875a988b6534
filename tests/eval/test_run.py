from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder, letter_vectors
from small_benchmarks import make_benchmark

from eval.benchmarks.base import Benchmark
from eval.benchmarks.talentclef import load_sample, load_talentclef
from eval.metrics import score
from eval.results import Cell
from eval.run import evaluate
from eval.runs.trec import read_run
from eval.systems import VectorSearch
from ingest.pipeline import ingest
from jobsearch.errors import BenchmarkError, LanguageMismatch, StoreError, TooManyRejects
from jobsearch.models import Encoder
from jobsearch.store import Store, open_store
from jobsearch.store.metadata import eval_namespace
from jobsearch.types import TitleRecord

TITLES = {"a": "nurse", "b": "staff nurse", "c": "cook", "d": "head cook", "e": "nurse"}
QUERIES = {"1": "nurse", "2": "cooks"}
QRELS = {"1": {"b": 1, "e": 1}, "2": {"c": 1}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def benchmark() -> Benchmark:
    return make_benchmark(QUERIES, TITLES, QRELS)


def average_precision(benchmark: Benchmark, encoder: FakeEncoder | Encoder) -> float:
    """A second implementation of MAP, without a store."""
    records = [record for _, record in benchmark.corpus.documents]
    # The store orders equal scores by point id.
    records.sort(key=lambda record: record.point_id)
    documents = encoder.encode_documents([record.title for record in records])
    queries = encoder.encode_queries(list(benchmark.queries.values()))
    values = []
    for q_id, row in zip(benchmark.queries, queries @ documents.T, strict=True):
        judged = benchmark.qrels[q_id]
        order = np.argsort(-row, kind="stable")
        ranks = 1 + np.flatnonzero([judged.get(records[i].doc_id or "", 0) for i in order])
        values.append(np.sum(np.arange(1, len(ranks) + 1) / ranks) / len(judged))
    return float(np.mean(values))


def test_metrics_of_a_small_benchmark_computed_by_hand(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder
) -> None:
    cell = evaluate(benchmark, VectorSearch(store, encoder), language_check=False)
    assert (cell.queries, cell.corpus, cell.relevant) == (2, 5, 3)
    # "nurse" ranks a and e first, in the order of their point ids, then b.
    first = min("ae", key=lambda doc: points(benchmark)[doc])
    expected = {"a": (1 / 2 + 2 / 3) / 2, "e": (1 / 1 + 2 / 3) / 2}[first]
    assert cell.metrics["MAP"] == pytest.approx((expected + 1.0) / 2)
    assert cell.metrics["P@5"] == pytest.approx((2 / 5 + 1 / 5) / 2)
    assert cell.metrics["R@100"] == 1.0


def points(benchmark: Benchmark) -> dict[str, str]:
    rows = benchmark.corpus.rows(benchmark.corpus.languages[0])
    return {row.records[0].doc_id or "": row.records[0].point_id for row in rows}


def test_map_of_every_pair_of_the_sample_equals_a_second_implementation(
    store: Store, encoder: FakeEncoder
) -> None:
    for benchmark in load_sample():
        cell = evaluate(benchmark, VectorSearch(store, encoder))
        expected = average_precision(benchmark, FakeEncoder())
        assert cell.metrics["MAP"] == pytest.approx(expected, abs=1e-6), benchmark.pair
        assert cell.collections[0].startswith(
            f"eval-sample-validation__{benchmark.corpus.languages[0]}__fake__pretrained__"
        )
        assert cell.missing_queries == cell.queries_without_relevant == ()


def test_a_corpus_in_several_languages(store: Store, encoder: FakeEncoder) -> None:
    english, spanish = load_sample(pairs=["en-en", "en-es"])
    documents = tuple(
        (line, replace(record, doc_id=f"{record.language} {record.doc_id}"))
        for line, record in english.corpus.documents + spanish.corpus.documents
    )
    corpus = replace(english.corpus, languages=("en", "es"), documents=documents)
    judged = {
        q_id: {
            f"{language} {doc_id}": value
            for language, one in (("en", english), ("es", spanish))
            for doc_id, value in one.qrels[q_id].items()
        }
        for q_id in english.qrels
    }
    mixed = replace(english, corpus=corpus, documents=corpus.titles, qrels=judged)
    assert mixed.pair == "en-en+es"
    assert len({english.sha256, spanish.sha256, mixed.sha256}) == 3
    cell = evaluate(mixed, VectorSearch(store, encoder))
    assert cell.corpus == english_and_spanish(cell.collections, store)
    assert cell.metrics["MAP"] == pytest.approx(average_precision(mixed, encoder), abs=1e-6)
    assert cell.metrics["MAP"] < evaluate(english, VectorSearch(store, encoder)).metrics["MAP"]
    # An exact search of the engine gives the same ranking, except for nearly equal scores.
    exact, *_ = VectorSearch(store, encoder).measure_index(mixed)
    best = evaluate(mixed, VectorSearch(store, encoder), depth=100).metrics["MAP"]
    assert exact.map_at_depth == pytest.approx(best, abs=1e-3)
    # Titles labelled with a wrong language are refused.
    wrong = replace(corpus, languages=("en", "de"), documents=relabelled(documents, "es", "de"))
    with pytest.raises(LanguageMismatch, match=r"corpus of .*en-en\+de"):
        evaluate(replace(mixed, corpus=wrong), VectorSearch(store, encoder))


def english_and_spanish(collections: Sequence[str], store: Store) -> int:
    """Total number of points; one collection is English, the other Spanish."""
    assert [name.split("__")[1] for name in collections] == ["en", "es"]
    return sum(store.describe(name).points for name in collections)


def relabelled(
    documents: Sequence[tuple[int, TitleRecord]], of: str, to: str
) -> tuple[tuple[int, TitleRecord], ...]:
    return tuple(
        (line, replace(record, language=to if record.language == of else record.language))
        for line, record in documents
    )


def test_a_cell_as_plain_data(benchmark: Benchmark, store: Store, encoder: FakeEncoder) -> None:
    data = evaluate(benchmark, VectorSearch(store, encoder), language_check=False).as_dict()
    assert list(data)[:8] == [
        "benchmark", "split", "pair", "model", "variant", "queries", "corpus", "metrics",
    ]  # fmt: skip
    assert list(data["metrics"]) == ["MAP", "MRR", "nDCG", "P@5", "P@10", "P@100", "R@100"]
    assert (data["model"], data["variant"], data["pair"]) == ("fake", "pretrained", "en-en")
    assert data["run_file"] is None


def test_a_corpus_is_ingested_once(store: Store, encoder: FakeEncoder) -> None:
    (spanish, across) = load_sample(pairs=["es-es", "en-es"])
    first = evaluate(spanish, VectorSearch(store, encoder))
    encoded = len(encoder.documents)
    assert encoded == len({r.records[0].title for r in spanish.corpus.rows("es")})
    second = evaluate(across, VectorSearch(store, encoder))
    assert len(encoder.documents) == encoded
    assert first.collections == second.collections
    assert len(encoder.queries) == 60


def test_other_corpora_in_the_collection_are_filtered_out(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder, tmp_path: Path
) -> None:
    other = make_benchmark(QUERIES, {"x": "nurse", "y": "cook"}, {"1": {"x": 1}}, name="other")
    test = make_benchmark(QUERIES, {"x": "nurse", "y": "cook"}, {"1": {"x": 1}}, split="test")
    alone = evaluate(benchmark, VectorSearch(store, encoder), language_check=False)
    for neighbour in (other, test):
        assert evaluate(neighbour, VectorSearch(store, encoder), language_check=False).corpus == 2
        namespace = eval_namespace("test", "validation")
        ingest(neighbour.corpus, "en", store, encoder, namespace=namespace, language_check=False)
    beside = evaluate(
        benchmark, VectorSearch(store, encoder), runs_dir=tmp_path, language_check=False
    )
    assert store.describe(beside.collections[0]).points == 9
    assert beside.metrics == alone.metrics
    assert beside.run_file is not None
    assert {doc for ranking in read_run(beside.run_file).values() for doc, _ in ranking} == set(
        TITLES
    )


def test_the_run_file_gives_the_same_metrics(
    store: Store, encoder: FakeEncoder, tmp_path: Path
) -> None:
    (benchmark,) = load_sample(pairs=["en-de"])
    cell = evaluate(benchmark, VectorSearch(store, encoder), runs_dir=tmp_path / "runs")
    assert cell.run_file == tmp_path / "runs" / "run_sample-validation_en-de_fake-pretrained.trec"
    run = read_run(cell.run_file)
    assert {len(ranking) for ranking in run.values()} == {len(benchmark.documents)}
    assert score(run, benchmark.qrels).means == pytest.approx(cell.metrics)


def test_run_files_of_large_corpora_are_cut_without_changing_metrics(
    benchmark: Benchmark,
    store: Store,
    encoder: FakeEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = evaluate(benchmark, VectorSearch(store, encoder), language_check=False)
    monkeypatch.setattr("eval.run.FULL_RUN_DOCUMENTS", 4)
    monkeypatch.setattr("eval.run.CUT_RUN_DEPTH", 2)
    cut = evaluate(benchmark, VectorSearch(store, encoder), runs_dir=tmp_path, language_check=False)
    assert cut.run_file is not None
    assert {len(ranking) for ranking in read_run(cut.run_file).values()} == {2}
    assert cut.metrics == whole.metrics


def test_depth_limits_the_rankings(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder, tmp_path: Path
) -> None:
    cell = evaluate(
        benchmark, VectorSearch(store, encoder), depth=3, runs_dir=tmp_path, language_check=False
    )
    assert cell.run_file is not None
    assert {len(ranking) for ranking in read_run(cell.run_file).values()} == {3}
    shallow = evaluate(benchmark, VectorSearch(store, encoder), depth=1, language_check=False)
    assert shallow.metrics["R@100"] < cell.metrics["R@100"] == 1.0
    with pytest.raises(ValueError, match="depth is 0"):
        evaluate(benchmark, VectorSearch(store, encoder), depth=0)


def test_queries_in_another_language_are_refused(store: Store, encoder: FakeEncoder) -> None:
    (english,) = load_sample(pairs=["en-en"])
    wrong = replace(english, query_language="es")
    with pytest.raises(LanguageMismatch, match=r"queries of sample validation es-en: of 30 titles"):
        evaluate(wrong, VectorSearch(store, encoder))
    assert not encoder.documents
    assert store.aliases() == {}


def test_a_corpus_in_another_language_is_refused_even_if_stored(
    store: Store, encoder: FakeEncoder
) -> None:
    (english,) = load_sample(pairs=["en-en"])
    titles = {
        row.records[0].doc_id or "": row.records[0].title for row in english.corpus.rows("en")
    }
    wrong = make_benchmark(dict(english.queries), titles, dict(english.qrels), corpus_language="es")
    with pytest.raises(LanguageMismatch, match="corpus of test validation en-es"):
        evaluate(wrong, VectorSearch(store, encoder))
    assert evaluate(wrong, VectorSearch(store, encoder), language_check=False).pair == "en-es"
    with pytest.raises(LanguageMismatch, match="look English"):
        evaluate(wrong, VectorSearch(store, encoder))


def test_a_retrained_model_is_measured_again(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder
) -> None:
    other = make_benchmark(QUERIES, {"x": "nurse"}, {"1": {"x": 1}}, name="other")
    for one in (benchmark, other):
        evaluate(one, VectorSearch(store, encoder), language_check=False)
    retrained = FakeEncoder(weights="99")
    cell = evaluate(benchmark, VectorSearch(store, retrained), language_check=False)
    assert len(retrained.documents) == 4
    info = store.describe(cell.collections[0])
    assert info.metadata.encoder == retrained.info
    assert [s.source for s in info.metadata.sources] == ["test"]


def test_each_variant_has_its_own_collection(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder
) -> None:
    finetuned = FakeEncoder("finetuned")
    cells = [
        evaluate(benchmark, VectorSearch(store, e), language_check=False)
        for e in (encoder, finetuned)
    ]
    assert [cell.variant for cell in cells] == ["pretrained", "finetuned"]
    assert sorted(store.aliases()) == [
        "eval-test-validation__en__fake__finetuned",
        "eval-test-validation__en__fake__pretrained",
    ]


def test_a_corpus_with_a_title_that_cannot_be_stored_is_refused(
    store: Store, encoder: FakeEncoder
) -> None:
    broken = make_benchmark(QUERIES, {**TITLES, "f": "???"}, QRELS)
    with pytest.raises(TooManyRejects):
        evaluate(broken, VectorSearch(store, encoder), language_check=False)


def test_a_collection_with_other_documents_is_refused(
    benchmark: Benchmark, store: Store, encoder: FakeEncoder
) -> None:
    more = replace(benchmark, documents={**benchmark.documents, "f": "vet"})
    with pytest.raises(
        BenchmarkError, match=r"5 documents of test validation are stored.*has 6: drop eval-test"
    ):
        evaluate(more, VectorSearch(store, encoder), language_check=False)


def test_a_failing_store_raises_a_store_error(
    benchmark: Benchmark, tmp_path: Path, encoder: FakeEncoder
) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError):
        failing = VectorSearch(open_store(str(tmp_path / "store")), encoder)
        evaluate(benchmark, failing, language_check=False)


def test_a_query_without_judgements_is_ranked_but_not_averaged(
    store: Store, encoder: FakeEncoder, tmp_path: Path
) -> None:
    benchmark = make_benchmark({**QUERIES, "3": "clown"}, TITLES, QRELS)
    cell = evaluate(
        benchmark, VectorSearch(store, encoder), runs_dir=tmp_path, language_check=False
    )
    assert cell.queries_without_relevant == ("3",)
    assert cell.run_file is not None
    assert list(read_run(cell.run_file)) == ["1", "2", "3"]
    judged = make_benchmark(QUERIES, TITLES, QRELS)
    same = evaluate(judged, VectorSearch(store, encoder), language_check=False)
    assert cell.metrics == same.metrics


def test_the_fake_encoder_gives_unit_vectors() -> None:
    vectors = letter_vectors(["nurse", "nurse", "cook"])
    assert np.array_equal(vectors[0], vectors[1])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_builtin_model_on_the_real_english_set(
    shared_data: Path, builtin: Encoder, store: Store
) -> None:
    (benchmark,) = load_talentclef(shared_data / "talentclef-2025" / "TaskA", pairs=["en-en"])
    cell: Cell = evaluate(benchmark, VectorSearch(store, builtin))
    assert cell.metrics["MAP"] == pytest.approx(0.463, abs=0.01)
    assert cell.metrics["MAP"] == pytest.approx(average_precision(benchmark, builtin), abs=1e-4)


@pytest.mark.parametrize("pair", ["en-en", "es-es", "de-de"])
def test_queries_in_capitals_rank_like_those_in_lower_case(
    store: Store, builtin: Encoder, pair: str
) -> None:
    (benchmark,) = load_sample(pairs=[pair])
    lower, upper = (
        replace(benchmark, queries={q_id: change(title) for q_id, title in titles.items()})
        for titles in [benchmark.queries]
        for change in (str.lower, str.upper)
    )
    system = VectorSearch(store, builtin)
    expected = evaluate(lower, system).metrics["MRR"]
    assert evaluate(upper, system).metrics["MRR"] == pytest.approx(expected, abs=0.01)
