import builtins
from typing import Any

import numpy as np
import pytest
from small_benchmarks import make_benchmark

from eval.benchmarks.base import Benchmark
from eval.benchmarks.talentclef import load_sample
from eval.diagnostics.facts import facts_of
from eval.run import evaluate
from eval.systems import BASELINES
from jobsearch.errors import InvalidInput

DOCUMENTS = {"a": "Koch", "b": "Krankenschwester", "c": "Krankenpfleger", "d": "R developer"}


@pytest.fixture
def benchmark() -> Benchmark:
    queries = {"1": "krankenpflegerin", "2": "developer in R", "3": "注册护士"}
    return make_benchmark(queries, DOCUMENTS, {"1": {"c": 1, "b": 1}, "2": {"d": 1}})


def ranked(name: str, benchmark: Benchmark, depth: int | None = None) -> list[list[str]]:
    found = BASELINES[name].rank(benchmark, depth=depth, progress=False)
    assert found.doc_ids == list(DOCUMENTS)
    return [[found.doc_ids[place] for place in r.places] for r in found.rankings]


def test_bm25_ranks_by_words(benchmark: Benchmark) -> None:
    rankings = ranked("bm25", benchmark)
    # No word of the first query is in a title: documents keep the order of the corpus.
    assert rankings[0] == rankings[2] == ["a", "b", "c", "d"]
    assert rankings[1][0] == "d"


def test_tfidf_ranks_by_letters(benchmark: Benchmark) -> None:
    rankings = ranked("tfidf", benchmark)
    assert rankings[0][:2] == ["c", "b"]
    assert rankings[1][0] == "d"
    assert ranked("tfidf", benchmark, depth=2) == [ranking[:2] for ranking in rankings]


@pytest.mark.parametrize("name", BASELINES)
def test_rankings_are_complete_and_reproducible(name: str, benchmark: Benchmark) -> None:
    rankings = ranked(name, benchmark)
    assert [sorted(ranking) for ranking in rankings] == [sorted(DOCUMENTS)] * 3
    assert rankings == ranked(name, benchmark)
    for ranking in BASELINES[name].rank(benchmark, depth=None, progress=False).rankings:
        assert np.all(np.diff(ranking.scores) <= 0)


def test_the_random_baseline_reaches_the_expected_map() -> None:
    cells = [evaluate(b, BASELINES["random"], language_check=False) for b in load_sample()]
    measured = np.mean([cell.metrics["MAP"] for cell in cells])
    expected = np.mean([facts_of(b).random_map for b in load_sample()])
    assert measured == pytest.approx(expected, rel=0.2)
    assert {(cell.model, cell.variant, cell.system) for cell in cells} == {("random", "", "random")}


def test_on_german_compounds_letters_beat_words_and_words_beat_chance() -> None:
    (german,) = load_sample(pairs=["de-de"])
    found = {name: evaluate(german, system).metrics["MAP"] for name, system in BASELINES.items()}
    assert found["tfidf"] > found["bm25"] > 2 * found["random"]


def test_a_missing_bm25_library_names_the_package_to_install(
    benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "bm25s":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput, match=r"pip install 'jobsearch\[baselines\]'"):
        ranked("bm25", benchmark)
