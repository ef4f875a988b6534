import json
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from small_benchmarks import make_benchmark

from eval.benchmarks.talentclef import load_sample
from eval.diagnostics.plausibility import implausible
from eval.evaluation import Evaluation, read_evaluation
from eval.results import Cell, IndexMode, read_cell, read_cells, save_cell
from eval.run import evaluate, find_cell
from eval.systems import BASELINES, VectorSearch
from eval.tables.compare import changes, compare, paired_cells, tables
from eval.tables.diagnostics import tables_of_seen_queries, tables_of_what_is_hidden
from eval.tables.render import render
from jobsearch.errors import BenchmarkError
from jobsearch.store import open_store

DOCUMENTS = {"a": "Nurse", "b": "staff nurse", "c": "cook", "d": "head cook", "e": "vet"}
QUERIES = {"1": "nurse", "2": "cooks"}
QRELS = {"1": {"b": 1}, "2": {"c": 1, "d": 1}}
BENCHMARK = make_benchmark(QUERIES, DOCUMENTS, QRELS)


def measured(name: str, benchmark=BENCHMARK) -> Cell:
    return evaluate(benchmark, BASELINES[name], language_check=False)


def test_a_saved_cell_is_read_unchanged(tmp_path: Path) -> None:
    cell = measured("tfidf")
    path = save_cell(tmp_path, cell)
    assert path == tmp_path / "tfidf" / "test-validation_en-en.json"
    assert read_cell(path) == cell
    assert read_cells(tmp_path) == read_cells(tmp_path / "tfidf") == [cell]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_metrics_without_copies_of_the_query() -> None:
    nurse, cooks = measured("tfidf").per_query
    # "Nurse", a copy of the query, ranks before "staff nurse".
    assert [hit.doc_id for hit in nurse.best[:2]] == ["a", "b"]
    assert (nurse.metrics["MRR"], nurse.without_copies["MRR"]) == (0.5, 1.0)
    assert cooks.metrics == cooks.without_copies
    assert measured("tfidf").without_copies["MRR"] == 1.0
    # If the copy is the only relevant document, no relevant document is left.
    only = replace(BENCHMARK, qrels={"1": {"a": 1}, "2": {"c": 1}})
    assert measured("tfidf", only).per_query[0].without_copies is None
    assert measured("tfidf", only).without_copies == measured("tfidf", only).per_query[1].metrics


def test_intervals_contain_the_means() -> None:
    (english,) = load_sample(pairs=["en-en"])
    cell = evaluate(english, BASELINES["tfidf"])
    for name, (low, high) in cell.intervals.items():
        assert 0 <= low <= cell.metrics[name] <= high <= 1
    assert cell.intervals["MAP"][1] - cell.intervals["MAP"][0] > 0.05


def test_a_cell_is_found_only_if_its_inputs_are_unchanged(tmp_path: Path) -> None:
    cell = measured("tfidf")
    save_cell(tmp_path, cell)
    assert find_cell(tmp_path, BENCHMARK, BASELINES["tfidf"]) == cell
    assert find_cell(tmp_path, BENCHMARK, BASELINES["bm25"]) is None
    for changed in (
        replace(BENCHMARK, queries={**QUERIES, "2": "cook"}),
        replace(BENCHMARK, qrels={**QRELS, "1": {"a": 1}}),
        make_benchmark(QUERIES, {**DOCUMENTS, "e": "baker"}, QRELS),
    ):
        assert find_cell(tmp_path, changed, BASELINES["tfidf"]) is None
    other_settings = replace(BASELINES["tfidf"], settings={"ngrams": [3, 3]})
    assert find_cell(tmp_path, BENCHMARK, other_settings) is None


def test_a_cell_of_other_weights_is_not_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    system = VectorSearch(store, FakeEncoder())
    save_cell(tmp_path, evaluate(BENCHMARK, system, language_check=False))
    assert find_cell(tmp_path, BENCHMARK, system)
    assert find_cell(tmp_path, BENCHMARK, VectorSearch(store, FakeEncoder(weights="01"))) is None
    store.close()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 2}', '{"format": 2, "cell": {}}', "[" * 200_000],
    ids=lambda text: text[:30],
)
def test_a_damaged_file_is_refused_and_its_cell_is_not_found(tmp_path: Path, text: str) -> None:
    path = save_cell(tmp_path, measured("tfidf"))
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r"_en-en\.json is damaged, or not a result"):
        read_cells(tmp_path)
    assert find_cell(tmp_path, BENCHMARK, BASELINES["tfidf"]) is None


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    path = save_cell(tmp_path, measured("tfidf"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(BenchmarkError, match="has format 99, this version reads 2"):
        read_cell(path)


def test_missing_results_and_unwritable_folders(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="holds no results"):
        read_cells(tmp_path)
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_cell(tmp_path / "none.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        save_cell(tmp_path / "file", measured("random"))


def test_a_comparison_computed_by_hand() -> None:
    pairs = paired_cells([measured("bm25")], [measured("tfidf")])
    (difference,) = compare(pairs, ["MRR"])
    # bm25 does not know "cooks" and keeps the order of the corpus; tfidf ranks c first.
    assert (difference.first, difference.second) == pytest.approx(((1 / 2 + 1 / 3) / 2, 3 / 4))
    assert difference.difference == pytest.approx(1 / 3)
    assert (difference.better, difference.worse, difference.queries) == (1, 0, 2)
    # Only one query differs, so every exchange gives the same absolute difference.
    assert difference.p == difference.p_holm == pytest.approx(1.0)
    gained, lost = changes(pairs, "MRR", 3)
    assert [change.first.title for change in gained] == ["cooks"]
    assert gained[0].difference == pytest.approx(2 / 3)
    assert lost == []
    text = render(tables("bm25", "tfidf", [difference], gained, lost))
    assert "MRR: bm25 (first), tfidf (second)" in text
    assert "gained: 'cooks' (test en-en), 2 relevant: MRR 0.333 to 1.000" in text
    assert "* cook" in text


def test_p_values_are_corrected_over_the_pairs() -> None:
    benchmarks = load_sample(pairs=["en-en", "es-es", "de-de", "zh-zh"])
    sides = [[evaluate(b, BASELINES[name]) for b in benchmarks] for name in ("bm25", "tfidf")]
    differences = compare(paired_cells(*sides), ["MAP", "MRR"])
    assert [d.metric for d in differences] == ["MAP"] * 4 + ["MRR"] * 4
    smallest = min(d.p for d in differences[:4])
    assert min(d.p_holm for d in differences[:4]) == pytest.approx(4 * smallest)
    assert all(d.p <= d.p_holm <= 1 for d in differences)


def test_refused_comparisons() -> None:
    german = make_benchmark(QUERIES, DOCUMENTS, QRELS, query_language="de")
    with pytest.raises(BenchmarkError, match="no benchmark and pair of languages in common"):
        paired_cells([measured("bm25")], [measured("tfidf", german)])
    changed = replace(BENCHMARK, qrels={**QRELS, "1": {"a": 1}})
    with pytest.raises(BenchmarkError, match="en-en was measured on different data"):
        paired_cells([measured("bm25")], [measured("tfidf", changed)])
    with pytest.raises(BenchmarkError, match=r"several systems.*bm25, random"):
        paired_cells([measured("bm25"), measured("random")], [measured("tfidf")])


def test_the_tables_of_facts_and_copies() -> None:
    text = render(tables_of_what_is_hidden([measured("tfidf")], ["MRR"]))
    facts, scores = text.split("\n\n")
    assert facts.startswith("test: what the figures hide")
    assert "1 (1)" in facts
    assert "0.750 (1.000)" in scores


def model_cell(pair: str, value: float, digest: str, variant: str = "pretrained") -> Cell:
    (english,) = load_sample(pairs=["en-en"])
    cell = evaluate(english, BASELINES["random"], language_check=False)
    metrics = {**cell.metrics, "MAP": value}
    return replace(
        cell, model="m", variant=variant, pair=pair, metrics=metrics, ranking_sha256=digest
    )


def test_figures_near_chance_are_reported() -> None:
    chance = model_cell("en-en", 0.5, "0").facts.random_map
    good, bad = 5.1 * chance, 4.9 * chance
    assert implausible([model_cell("en-en", good, "1")]) == []
    (problem,) = implausible([model_cell("en-es", bad, "1")])
    assert problem.startswith("m pretrained on sample validation en-es: MAP is 0.2")
    # The random baseline may be as bad as chance.
    assert implausible([measured("random"), measured("random")]) == []


def test_equal_rankings_of_two_systems_are_reported() -> None:
    one, two = model_cell("en-en", 0.9, "1"), model_cell("en-en", 0.9, "1", "finetuned")
    (problem,) = implausible([one, two])
    assert "m finetuned has the same rankings for all queries" in problem
    assert implausible([one, replace(two, ranking_sha256="2")]) == []
    assert implausible([one, replace(two, pair="en-es")]) == []


def test_queries_seen_in_training_are_shown_apart() -> None:
    cell = measured("tfidf")
    (table,) = tables_of_seen_queries([cell], ["MRR"], {"cooks"})
    # "nurse" is new, with a copy before its relevant document; "cooks" was seen.
    assert table.rows == (("tfidf", "test validation", "en-en", "1", "1", "1.000", "0.500"),)
    (table,) = tables_of_seen_queries([cell], ["MRR"], {"nurse", "cooks"})
    assert table.rows[0][3:] == ("2", "0", "0.750", "")


def test_results_of_different_weights_are_refused(tmp_path: Path) -> None:
    save_cell(tmp_path, measured("tfidf"))
    german = measured("tfidf", make_benchmark(QUERIES, DOCUMENTS, QRELS, query_language="de"))
    other = {**german.provenance, "system": {"model": "tfidf", "ngrams": [1, 1]}}
    save_cell(tmp_path, replace(german, provenance=other))
    with pytest.raises(BenchmarkError, match=r"tfidf were measured with different weights"):
        read_cells(tmp_path)


def test_names_with_the_same_file_name_are_refused(tmp_path: Path) -> None:
    save_cell(tmp_path, replace(measured("tfidf"), split="gold.v1"))
    save_cell(tmp_path, replace(measured("tfidf"), split="gold.v1"))
    with pytest.raises(BenchmarkError, match=r"holds tfidf test gold\.v1, and tfidf test gold-v1"):
        save_cell(tmp_path, replace(measured("tfidf"), split="gold-v1"))
    assert read_cells(tmp_path)[0].split == "gold.v1"


def test_a_query_without_relevant_documents_scores_0_with_and_without_copies() -> None:
    none = replace(BENCHMARK, qrels={"1": {"a": 0}, "2": {"c": 1}})
    cell = measured("tfidf", none)
    assert cell.metrics["MRR"] == cell.without_copies["MRR"] == 0.5


OTHERS = (None, "", True, -1, 2**80, 1e999, float("nan"), [], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON document; in a list, of its first entry."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value[:1]):
            yield from places(inner, (*path, place))


def changed(document: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    copy = deepcopy(document)
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return copy


def changes_of(document: Any) -> Iterator[tuple[str, Any]]:
    """Every value replaced by others, deleted, and renamed."""
    for path in places(document):
        for other in OTHERS:
            yield (
                f"{path} = {other!r}",
                changed(document, path, lambda holder, key: holder.__setitem__(key, other)),  # noqa: B023
            )
        yield f"no {path}", changed(document, path, lambda holder, key: holder.__delitem__(key))
        if isinstance(path[-1], str):
            yield (
                f"{path} renamed",
                changed(document, path, lambda h, key: h.__setitem__(f"{key}x", h.pop(key))),
            )


def rich_cell(pretrained: bool = True) -> Cell:
    """A cell in which no field is empty."""
    german = make_benchmark(
        {"1": "Arzt", "2": "Ärztin"}, {"m": "Arzt", "f": "Ärztin", "k": "Koch"},
        {"1": {"m": 1}, "2": {"k": 1}}, query_language="de",
    )  # fmt: skip
    cell = measured("tfidf", german)
    mode = IndexMode("exact", {"10": 1.0, "100": 1.0}, 0.5, {"50": 1.5, "95": 2.0})
    facts = replace(cell.facts, random_map=0.05)
    return replace(
        cell, model="m", variant="pretrained" if pretrained else "finetuned", facts=facts,
        index=(mode, replace(mode, mode="index")), run_file=Path("run.trec"),
        missing_queries=("3",), queries_without_relevant=("4",), collections=("c",),
    )  # fmt: skip


def use_results(folder: Path, other: Evaluation) -> None:
    """Everything that reads kept results."""
    found = read_evaluation(folder)
    found.render(("MAP", "R@100"), {"arzt"}, "latex")
    json.dumps(found.as_dict())
    both = Evaluation((*found.cells, *other.cells))
    both.report(folder / "report.html", trained_on={"arzt"})
    other.compare(found).table()


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (("pair",), "en"),
        (("metrics",), {}),
        (("metrics", "MAP"), float("nan")),
        (("per_query",), []),
        (("per_query", 0, "metrics", "MRR"), None),
        (("gender", "pairs", 0, "overlap"), "x"),
        (("index", 0, "recall", "10"), 2),
        (("provenance", "system"), "m"),
        (("seconds",), -1),
    ],
    ids=str,
)
def test_an_altered_field_is_refused(tmp_path: Path, path: tuple[Any, ...], other: Any) -> None:
    file = save_cell(tmp_path, rich_cell())
    document = json.loads(file.read_text())
    altered = changed(document, ("cell", *path), lambda holder, key: holder.__setitem__(key, other))
    file.write_text(json.dumps(altered))
    with pytest.raises(BenchmarkError, match="is damaged, or not a result"):
        read_cell(file)


@pytest.mark.slow
def test_a_result_with_an_altered_field_is_used_or_refused(tmp_path: Path) -> None:
    path = save_cell(tmp_path / "one", rich_cell())
    other = Evaluation((rich_cell(pretrained=False),))
    document = json.loads(path.read_text())
    assert document["cell"]["gender"]
    use_results(path.parent, other)
    unexpected, refused, tried = [], 0, 0
    for name, altered in changes_of(document):
        path.write_text(json.dumps(altered))
        tried += 1
        try:
            use_results(path.parent, other)
        except BenchmarkError:
            refused += 1
        except Exception as error:
            unexpected.append(f"{name}: {error!r}")
    assert unexpected == []
    assert tried > 600
    assert refused > tried / 2


def test_a_run_file_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    cell = replace(measured("tfidf"), run_file=Path(os.fsdecode(b"n\xe4me.trec")))
    assert read_cell(save_cell(tmp_path, cell)).run_file == Path("n\ufffdme.trec")
