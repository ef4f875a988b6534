from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from small_benchmarks import make_benchmark

from eval.benchmarks.talentclef import load_sample
from eval.diagnostics.index_loss import DEPTH
from eval.results import Cell
from eval.run import evaluate
from eval.systems import VectorSearch
from eval.tables.diagnostics import tables_of_index_loss
from eval.tables.render import render
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.types import VectorStorage


def test_a_full_scan_loses_nothing(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    (spanish,) = load_sample(pairs=["es-es"])
    system = VectorSearch(store, FakeEncoder())
    cell = evaluate(spanish, system)
    exact, index, filtered = system.measure_index(spanish)
    assert [mode.mode for mode in (exact, index, filtered)] == ["exact", "index", "index, filtered"]
    for mode in (index, filtered):
        assert mode.recall == {"10": 1.0, "100": 1.0}
        assert mode.map_at_depth == exact.map_at_depth
    # The corpus has 176 documents: all modes equally lose those below rank 100.
    assert exact.map_at_depth == pytest.approx(cell.metrics["MAP"], abs=0.01)
    assert exact.map_at_depth <= cell.metrics["MAP"]
    assert 0 < exact.milliseconds["50"] <= exact.milliseconds["95"] <= exact.milliseconds["99"]
    store.close()


def test_a_quantised_index_has_its_own_name(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path, exact_scan_max_points=0)
    (spanish,) = load_sample(pairs=["es-es"])
    system = VectorSearch(store, FakeEncoder(), VectorStorage("int8"))
    modes = system.measure_index(spanish)
    assert [mode.mode for mode in modes] == ["exact", "int8 index", "int8 index, filtered"]
    assert all(mode.recall["10"] > 0.9 for mode in modes)
    store.close()


def test_lost_documents_lower_recall_and_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EmbeddedStore(tmp_path)
    documents = {str(n): f"job title number {n}" for n in range(120)}
    benchmark = make_benchmark({"1": "job title number 7"}, documents, {"1": {"7": 1, "70": 1}})
    system = VectorSearch(store, FakeEncoder())
    evaluate(benchmark, system, language_check=False)
    query = store.query

    def forgetful(name, vectors, *, limit, filters=None, exact=False):
        [hits] = query(name, vectors, limit=limit, filters=filters, exact=exact)
        return [hits if exact else hits[1:6]]

    monkeypatch.setattr(store, "query", forgetful)
    exact, index, _ = system.measure_index(benchmark)
    assert exact.recall == {"10": 1.0, "100": 1.0}
    assert index.recall == {"10": 0.5, "100": 5 / DEPTH}
    assert index.map_at_depth < exact.map_at_depth
    store.close()


def test_the_table_of_index_loss(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path)
    (english,) = load_sample(pairs=["en-en"])
    system = VectorSearch(store, FakeEncoder())
    cell = evaluate(english, system)
    assert tables_of_index_loss([cell]) == []
    modes = system.measure_index(english)
    measured = Cell.from_dict({**cell.as_dict(per_query=True), "index": [*map(as_dict, modes)]})
    assert measured.index == modes
    text = render(tables_of_index_loss([measured, cell]))
    assert text.count("fake pretrained") == 3
    assert "+0.0000" in text
    store.close()


def as_dict(mode):
    return {
        "mode": mode.mode,
        "recall": mode.recall,
        "map_at_depth": mode.map_at_depth,
        "milliseconds": mode.milliseconds,
    }
