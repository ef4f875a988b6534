import os
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_benchmarks import make_benchmark

from eval.benchmarks.talentclef import load_talentclef
from eval.metrics import score
from eval.run import evaluate
from eval.runs.trec import (
    read_run,
    read_run_file,
    run_name,
    run_tag,
    run_writer,
    write_run,
)
from eval.systems import BASELINES
from jobsearch.errors import BenchmarkError, SourceError

RUN = {"1": [("a", 0.5), ("z", 0.5), ("b", 0.5 - 1e-9), ("c", -0.25)], "2": [("a", 1.0)]}


def test_written_scores_strictly_decrease_even_if_cosines_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run.trec"
    write_run(path, RUN.items(), "fake-pretrained")
    assert path.read_text() == (
        "1 Q0 a 1 0.500000 fake-pretrained\n"
        "1 Q0 z 2 0.499999 fake-pretrained\n"
        "1 Q0 b 3 0.499998 fake-pretrained\n"
        "1 Q0 c 4 -0.250000 fake-pretrained\n"
        "2 Q0 a 1 1.000000 fake-pretrained\n"
    )


def test_a_written_run_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    write_run(path, RUN.items(), "tag")
    read = read_run(path)
    assert {q: [d for d, _ in ranking] for q, ranking in read.items()} == {
        "1": ["a", "z", "b", "c"],
        "2": ["a"],
    }
    assert read["1"][1] == ("z", 0.499999)


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(
        st.floats(-1, 1, width=32) | st.sampled_from([0.5, 0.5000001]), min_size=1, max_size=40
    )
)
def test_printed_scores_differ_in_single_precision(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float]
) -> None:
    ranking = [(f"d{n}", value) for n, value in enumerate(sorted(scores, reverse=True))]
    path = tmp_path_factory.mktemp("runs") / "run.trec"
    write_run(path, [("q", ranking)], "tag")
    printed = [float(line.split()[4]) for line in path.read_text().splitlines()]
    single = [struct.unpack("f", struct.pack("f", value))[0] for value in printed]
    assert all(first > second for first, second in pairwise(single))
    assert [doc for doc, _ in read_run(path)["q"]] == [doc for doc, _ in ranking]


def test_the_official_scorer_gives_the_same_metrics_for_the_file(
    tmp_path: Path, ranx: ModuleType
) -> None:
    qrels = {"1": {"z": 1, "c": 1}, "2": {"a": 1}, "3": {"a": 1}}
    path = tmp_path / "run.trec"
    write_run(path, RUN.items(), "tag")
    theirs = ranx.evaluate(
        ranx.Qrels(qrels), ranx.Run.from_file(str(path)), ["map", "mrr"], make_comparable=True
    )
    ours = score(RUN, qrels)
    assert ours.means["MAP"] == pytest.approx(theirs["map"], abs=1e-6)
    assert ours.means["MRR"] == pytest.approx(theirs["mrr"], abs=1e-6)
    assert ours.means["MAP"] == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert score(read_run(path), qrels).means == ours.means


@pytest.mark.slow
def test_the_compiled_sort_of_the_official_scorer_reorders_ties(
    tmp_path: Path, ranx: ModuleType
) -> None:
    """The reason why equal scores are errors, and why written runs have none."""
    code = (
        "from numba.typed import List; from ranx.data_structures.common import typed_list_argosrt; "
        "print(*typed_list_argosrt(List([0.5] * 40)))"
    )
    # In another process, because the fixture switches compilation off here.
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "0", "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    order = [int(place) for place in done.stdout.split()]
    assert sorted(order) == list(range(40))
    assert order != list(range(40))


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["en-en", "es-es", "de-de"])
def test_the_official_scorer_agrees_on_the_validation_sets(
    talentclef: Path, tmp_path: Path, ranx: ModuleType, pair: str
) -> None:
    (benchmark,) = load_talentclef(talentclef, pairs=[pair])
    cell = evaluate(benchmark, BASELINES["tfidf"], runs_dir=tmp_path, language_check=False)
    assert cell.run_file is not None
    language = {"en": "english", "es": "spanish", "de": "german"}[pair[:2]]
    # The same call as in the task's script.
    theirs = ranx.evaluate(
        ranx.Qrels.from_file(str(talentclef / "validation" / language / "qrels.tsv"), kind="trec"),
        ranx.Run.from_file(str(cell.run_file), kind="trec"),
        ["map", "mrr", "precision@5", "precision@10", "precision@100"],
    )
    for ours, name in (("MAP", "map"), ("MRR", "mrr"), ("P@5", "precision@5"),
                       ("P@10", "precision@10"), ("P@100", "precision@100")):  # fmt: skip
        assert cell.metrics[ours] == pytest.approx(theirs[name], abs=1e-6), ours


def test_the_file_name_of_a_run() -> None:
    benchmark = make_benchmark({}, {}, {}, corpus_language="es", name="Talent CLEF")
    expected = "run_talent-clef-validation_en-es_my-model-v2-finetuned.trec"
    assert run_name(benchmark, run_tag("My Model/v2", "finetuned")) == expected
    assert run_tag("bm25", "") == "bm25"


def test_a_failure_keeps_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text("before")
    with pytest.raises(RuntimeError), run_writer(path, "tag") as writer:
        writer.add("1", RUN["1"])
        raise RuntimeError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_id_with_white_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="document 'a b': a run file cannot hold"):
        write_run(tmp_path / "run.trec", [("1", [("a b", 0.5)])], "tag")
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(BenchmarkError, match=r"run\.trec cannot be written \(.*another folder"):
        write_run(tmp_path / "runs" / "run.trec", RUN.items(), "tag")


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    message = r"run\.trec cannot be written \(No space left"
    with pytest.raises(BenchmarkError, match=message), run_writer(path, "tag"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.trec" / "inside").mkdir(parents=True)
    with pytest.raises(BenchmarkError, match=r"run\.trec cannot be written"):
        write_run(tmp_path / "run.trec", RUN.items(), "tag")
    assert [path.name for path in tmp_path.iterdir()] == ["run.trec"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q_id Q0 doc_id rank score tag\n", r"line 1: not 'q_id Q0 doc_id rank score tag'"),
        ("1 Q0 a 1 0.5 t\n1 Q0 b 2\n", r"line 2: not 'q_id Q0"),
        ("1 Q0 a 1 nan t\n", r"line 1: not"),
        ("", r"is empty: give a TREC run file"),
    ],
    ids=["header", "short", "nan", "empty"],
)
def test_bad_run_files_are_refused_with_file_and_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "run.trec"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=rf"run\.trec.*{message}"):
        read_run(path)


def test_of_a_repeated_document_the_last_line_counts(tmp_path: Path) -> None:
    """The official script reads the file in this way."""
    path = tmp_path / "run.trec"
    path.write_text("1 Q0 a 1 0.5 t\n1 Q0 b 2 0.4 t\n1 Q0 a 3 0.3 t\n")
    contents = read_run_file(path)
    assert contents.rankings == {"1": [("b", 0.4), ("a", 0.3)]}
    assert (contents.repeated, contents.tied_queries) == (1, ())


def test_queries_with_equal_scores_are_found(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text("1 Q0 a 1 0.5\n1 Q0 b 2 0.4\n\n2 Q0 a 3 .3\n2 Q0 b 3 .5\n2 Q0 c 4 0.30\n")
    contents = read_run_file(path)
    assert contents.tied_queries == ("2",)
    assert [document for document, _ in contents.rankings["2"]] == ["b", "a", "c"]


def test_trec_eval_orders_equal_scores_by_document_id() -> None:
    """The rule that `jobsearch eval score` names beside its own, the order of the file."""
    import ir_measures

    run = [ir_measures.ScoredDoc("1", document, 0.5) for document in ("a", "b", "c")]
    for place, document in enumerate("cba", start=1):
        measured = ir_measures.pytrec_eval.calc_aggregate(
            [ir_measures.RR], [ir_measures.Qrel("1", document, 1)], run
        )
        assert measured[ir_measures.RR] == pytest.approx(1 / place)


def test_a_missing_run_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.trec cannot be read \(No such file"):
        read_run(tmp_path / "nothing.trec")


def test_a_run_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(b"1 Q0 \xff 1 0.5 t\n")
    with pytest.raises(BenchmarkError, match=r"line 1: not 'q_id Q0 doc_id rank score tag'"):
        read_run(path)
