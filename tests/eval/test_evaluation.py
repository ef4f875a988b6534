"""Evaluations: measuring, keeping, reading and comparing; equality with the commands."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_encoder import FakeEncoder
from small_benchmarks import make_benchmark

from eval.benchmarks.base import Benchmark
from eval.evaluation import Evaluation, evaluate_systems, read_evaluation
from eval.runs.trec import read_run
from eval.systems import BASELINES, Ranked, System, VectorSearch
from eval.tables.leaderboard import tables
from eval.tables.render import render
from jobsearch.cli import main
from jobsearch.errors import BenchmarkError, InvalidInput, LanguageMismatch
from jobsearch.store import Store, open_store

DOCUMENTS = {"a": "Nurse", "b": "staff nurse", "c": "cook", "d": "head cook", "e": "vet"}
QUERIES = {"1": "nurse", "2": "cooks"}
QRELS = {"1": {"b": 1}, "2": {"c": 1, "d": 1}}
ENGLISH = make_benchmark(QUERIES, DOCUMENTS, QRELS)
SPANISH = make_benchmark(QUERIES, DOCUMENTS, QRELS, corpus_language="es")
BENCHMARKS = [ENGLISH, SPANISH]
TITLES = frozenset({"cooks"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(str(tmp_path / "store"))
    yield store
    store.close()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of two baselines on two benchmarks."""
    systems = [BASELINES["bm25"], BASELINES["tfidf"]]
    evaluate_systems(BENCHMARKS, systems, results=tmp_path / "res", language_check=False)
    return tmp_path / "res"


def printed(*words: object) -> object:
    """The JSON that a command prints."""
    done = CliRunner().invoke(main, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_every_system_on_every_benchmark_in_the_given_order() -> None:
    systems = [BASELINES["tfidf"], BASELINES["random"]]
    evaluation = evaluate_systems(iter(BENCHMARKS), iter(systems), language_check=False)
    assert [(cell.system, cell.pair) for cell in evaluation.cells] == [
        ("tfidf", "en-en"), ("tfidf", "en-es"), ("random", "en-en"), ("random", "en-es"),
    ]  # fmt: skip
    assert evaluation.cells[0].metrics["MRR"] == 0.75


def test_languages_are_checked_unless_switched_off() -> None:
    titles = {str(n): f"registered nurse in hospital ward {n}" for n in range(30)}
    wrong = make_benchmark(QUERIES, titles, {"1": {"1": 1}}, corpus_language="es")
    with pytest.raises(LanguageMismatch):
        evaluate_systems([wrong], [BASELINES["random"]])


def test_cells_are_saved_as_they_are_measured_and_systems_are_made_when_needed(
    tmp_path: Path,
) -> None:
    saved: list[int] = []

    class Interrupted(Exception):
        pass

    def systems() -> Iterator[System]:
        yield BASELINES["random"]
        saved.append(len(list(tmp_path.rglob("*.json"))))
        raise Interrupted

    with pytest.raises(Interrupted):
        evaluate_systems(BENCHMARKS, systems(), results=tmp_path, language_check=False)
    assert saved == [2]
    assert [cell.system for cell in read_evaluation(tmp_path).cells] == ["random", "random"]


class Counting:
    """A baseline that counts how often it ranks."""

    def __init__(self, name: str) -> None:
        self._baseline = BASELINES[name]
        self.model, self.variant = self._baseline.model, ""
        self.description = self._baseline.description
        self.calls = 0

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        self.calls += 1
        return self._baseline.rank(benchmark, depth=depth, progress=progress)


def test_kept_cells_are_not_measured_again_unless_runs_are_wanted(
    results: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    system = Counting("tfidf")
    changed = replace(SPANISH, qrels={"1": {"a": 1}})
    again = evaluate_systems(
        [ENGLISH, changed], [system], results=results, language_check=False, notify=lines.append
    )
    assert (system.calls, lines) == (1, ["tfidf on test en-en: as measured before"])
    assert [cell.pair for cell in again.cells] == ["en-en", "en-es"]
    with_runs = evaluate_systems(
        [ENGLISH], [system], runs=tmp_path / "runs", results=results, language_check=False
    )
    assert system.calls == 2
    assert with_runs.cells[0].run_file is not None
    assert read_run(with_runs.cells[0].run_file)["1"][0][0] == "a"
    assert with_runs.cells[0].metrics == again.cells[0].metrics


def test_index_loss_is_added_to_kept_cells_and_stays(store: Store, tmp_path: Path) -> None:
    system = VectorSearch(store, FakeEncoder())

    def measure(*, index_loss: bool, runs: Path | None = None) -> Evaluation:
        systems = [BASELINES["tfidf"], system]
        return evaluate_systems(
            [ENGLISH], systems, results=tmp_path / "res", runs=runs, index_loss=index_loss,
            language_check=False,
        )  # fmt: skip

    assert "what the live index loses" not in measure(index_loss=False).table()
    evaluation = measure(index_loss=True)
    baseline, vectors = evaluation.cells
    assert baseline.index == ()
    assert [mode.mode for mode in vectors.index] == ["exact", "index", "index, filtered"]
    assert "what the live index loses" in evaluation.table()
    # The loss is kept when the cell is measured again for its run file.
    assert measure(index_loss=False, runs=tmp_path / "runs").cells[1].index == vectors.index


def test_a_folder_of_results_is_read(results: Path) -> None:
    evaluation = read_evaluation(results)
    assert [(cell.system, cell.pair) for cell in evaluation.cells] == [
        ("bm25", "en-en"), ("bm25", "en-es"), ("tfidf", "en-en"), ("tfidf", "en-es"),
    ]  # fmt: skip
    assert read_evaluation(results / "tfidf").cells == evaluation.cells[2:]
    with pytest.raises(BenchmarkError, match="holds no results"):
        read_evaluation(results.parent)


def test_tables_equal_those_of_the_command(results: Path) -> None:
    evaluation = read_evaluation(str(results))
    data = {**evaluation.as_dict(), "tables": [asdict(t) for t in evaluation.tables()]}
    assert json.loads(json.dumps(data)) == printed("eval", "leaderboard", results)
    titles = [table.title for table in evaluation.tables(["nDCG"], TITLES)]
    assert titles == [
        "test: nDCG within a language",
        "test: nDCG across languages",
        "test: what the figures hide",
        "test: nDCG with and without the copies of the query",
        "queries seen in training",
    ]
    assert [table.title for table in evaluation.details(["nDCG"], TITLES)] == titles[2:]
    assert evaluation.table() == render(tables(evaluation.cells, ("MAP", "MRR")))
    assert evaluation.table(["P@5"], "markdown").startswith("### test: P@5 within a language\n")


@pytest.mark.parametrize("call", ["table", "tables", "details"])
def test_unknown_metrics_and_forms_are_refused(results: Path, call: str) -> None:
    evaluation = read_evaluation(results)
    with pytest.raises(InvalidInput, match=r"unknown metric 'F1' in `metrics`: choose from MAP"):
        getattr(evaluation, call)(["MAP", "F1"])
    with pytest.raises(InvalidInput, match="'html' is not a form of tables: give text, markdown"):
        evaluation.table(form="html")


def test_a_comparison_equals_that_of_the_command(results: Path) -> None:
    first, second = read_evaluation(results / "bm25"), read_evaluation(results / "tfidf")
    comparison = first.compare(second)
    assert (comparison.first, comparison.second) == ("bm25", "tfidf")
    assert [(d.metric, d.pair) for d in comparison.differences] == [
        ("MAP", "en-en"), ("MAP", "en-es"), ("MRR", "en-en"), ("MRR", "en-es"),
    ]  # fmt: skip
    # bm25 does not know "cooks" and keeps the order of the corpus: "cook" is third.
    assert comparison.differences[2].difference == pytest.approx((1 - 1 / 3) / 2)
    expected = printed("eval", "compare", results / "bm25", results / "tfidf")
    assert json.loads(json.dumps(comparison.as_dict())) == expected
    assert list(comparison.as_dict()) == ["first", "second", "differences", "gained", "lost"]
    text = comparison.table()
    assert text.startswith("MAP: bm25 (first), tfidf (second)")
    assert "gained: 'cooks' (test en-en), 2 relevant: MAP 0.417 to 1.000" in text
    only = first.compare(second, ["MRR"], queries=1)
    assert [(c.metric, c.first.title) for c in only.gained] == [("MRR", "cooks")]
    assert only.table("latex").count(r"\begin{tabular}") == 2


def test_refused_comparisons(results: Path) -> None:
    both, one = read_evaluation(results), read_evaluation(results / "tfidf")
    with pytest.raises(BenchmarkError, match=r"results of several systems: bm25, tfidf"):
        one.compare(both)
    with pytest.raises(InvalidInput, match="`metrics` is empty"):
        one.compare(one, [])
    with pytest.raises(InvalidInput, match="unknown metric 'F1'"):
        one.compare(one, ["F1"])


def test_problems_are_reported_and_do_not_fail(store: Store) -> None:
    titles = {str(n): f"job title {n}" for n in range(120)}
    benchmark = make_benchmark({"1": "job title 7"}, titles, {"1": {"7": 1}})
    twins = [VectorSearch(store, FakeEncoder()), VectorSearch(store, FakeEncoder("finetuned"))]
    evaluation = evaluate_systems([benchmark], twins, language_check=False)
    assert evaluation.problems() == [
        "fake pretrained on test validation en-en: fake finetuned has the same rankings for all "
        "queries. Do both have the same weights?"
    ]
    assert Evaluation(evaluation.cells[:1]).problems() == []


def test_a_report(results: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    page = tmp_path / "report.html"
    read_evaluation(results).report(str(page), str(tmp_path / "plot.svg"), TITLES)
    text = page.read_text(encoding="utf-8")
    assert "test: MAP within a language" in text
    assert "queries seen in training" in text
    assert "data:image/svg+xml;base64," in text
