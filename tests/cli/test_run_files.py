"""``jobsearch eval validate``, ``package`` and ``score``."""

import json
from pathlib import Path

import pytest

GOOD = "1 Q0 a 1 0.9 me\n1 Q0 b 2 0.5 me\n2 Q0 b 1 1e-3 me\n2 Q0 a 2 -0.25 me\n"


@pytest.fixture
def run_file(tmp_path: Path):
    def write(text: str, name: str = "run_en-en_me.trec") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(errors="surrogateescape"))
        return path

    return write


def three(run_file) -> dict[str, Path]:
    return {pair: run_file(GOOD, f"run_{pair}_x.trec") for pair in ("en-en", "es-es", "de-de")}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    for language in ("english", "spanish", "german"):
        folder = tmp_path / "TaskA" / "test" / language
        folder.mkdir(parents=True)
        (folder / "queries").write_text("q_id\tjobtitle\n1\tnurse\n2\tcook\n")
        (folder / "corpus_elements").write_text("c_id\tjobtitle\na\tnurse\nb\tcook\n")
    return tmp_path / "TaskA"


def test_validate_and_package(run, run_file, task: Path) -> None:
    paths = list(three(run_file).values())
    done = run("eval", "validate", *paths, "--against", task)
    assert (done.exit_code, done.stdout.count("nothing found")) == (0, 3), done.output
    done = run("eval", "package", *paths, "--team", "T", "--out", "t.zip", "--against", task)
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [f"run_{p}_T.trec" for p in ("en-en", "es-es", "de-de")]
    assert "ids were not checked" not in done.stderr
    assert run("eval", "package", *paths, "--team", "T", "--out", "t.zip").exit_code == 1
    done = run("eval", "package", *paths, "--team", "T", "--out", "t.zip", "--replace")
    assert (done.exit_code, "ids were not checked" in done.stderr) == (0, True)

    bad = run_file(GOOD.replace("1 Q0 a", "7 Q0 a"), "run_en-en_bad.trec")
    done = run("eval", "validate", bad, "--against", task)
    assert done.exit_code == 1
    assert "query '7' is not a query of en-en" in done.stdout
    assert "errors: correct the runs" in done.stderr
    data = json.loads(run("eval", "validate", bad, "--against", task, "--json").stdout)
    found = {finding["kind"]: finding["severity"] for finding in data["runs"][0]["findings"]}
    assert found == {"short": "warning", "foreign query": "error"}
    done = run("eval", "package", bad, *paths[1:], "--team", "T", "--out", "u.zip",
               "--against", task)  # fmt: skip
    assert "see `jobsearch eval validate" in done.stderr
    assert not Path("u.zip").exists()


def test_package_refuses_distances(run, run_file) -> None:
    paths = three(run_file)
    paths["es-es"] = run_file("1 Q0 a 1 0.1 me\n1 Q0 b 2 0.2 me\n", "run_es-es_x.trec")
    done = run("eval", "package", *paths.values(), "--team", "T", "--out", "t.zip")
    assert done.exit_code == 1
    assert "line 2: rank 2 has score 0.2, rank 1 has 0.1" in done.stderr
    assert not Path("t.zip").exists()


def test_pairs_given_as_an_option(run, run_file, task: Path) -> None:
    plain = run_file(GOOD, "plain.trec")
    done = run("eval", "validate", plain, "--against", task)
    assert "the file name has no pair of languages" in done.stderr
    assert run("eval", "validate", plain, "--against", task, "--pairs", "en-es").exit_code == 0
    done = run("eval", "validate", plain, "--against", task, "--pairs", "en-es,es-en")
    assert "2 --pairs for 1 runs" in done.stderr
    done = run("eval", "package", plain, plain, "--pairs", "en-en,en-en", "--team", "T",
               "--out", "t.zip")  # fmt: skip
    assert "are both for en-en" in done.stderr
    assert "ids were not checked" in run("eval", "validate", plain).stderr
    done = run("eval", "validate", plain, "--against", task, "--split", "none", "--pairs", "en-en")
    assert "its splits are test" in done.stderr


def test_score(run, run_file) -> None:
    path = run_file(GOOD)
    qrels = run_file("1 0 b 1\n2 0 b 1\n3 0 a 1\n", "qrels.tsv")
    done = run("eval", "score", path, qrels, "--json", "--per-query")
    data = json.loads(done.stdout)
    # The mean of 1/2, 1, and 0 for the query without a ranking.
    assert data["metrics"]["MRR"] == pytest.approx(0.5)
    assert data["missing_queries"] == ["3"]
    assert data["per_query"]["1"]["MRR"] == 0.5
    text = run("eval", "score", path, qrels, "--per-query")
    assert "0.5000" in text.stdout
    assert "1 judged queries have no ranking and score 0: 3" in text.stderr


def test_a_run_as_the_official_script_reads_it(run, run_file) -> None:
    """Five columns, a blank line and a byte-order mark are warnings, and the run can be used."""
    text = "\ufeff" + GOOD.replace(" me", "") + "\n"
    path = run_file(text)
    done = run("eval", "validate", path, "--json")
    findings = json.loads(done.stdout)["runs"][0]["findings"]
    assert done.exit_code == 0, done.output
    assert [(f["kind"], f["severity"]) for f in findings] == [
        ("mark", "warning"), ("blank", "warning"), ("no tag", "warning"),
    ]  # fmt: skip
    qrels = run_file("1 0 b 1\n2 0 b 1\n", "qrels.tsv")
    plain = run_file(GOOD, "plain.trec")
    done, same = (run("eval", "score", file, qrels, "--json") for file in (path, plain))
    assert json.loads(done.stdout) == json.loads(same.stdout)
    paths = [run_file(text, f"run_{pair}_x.trec") for pair in ("en-en", "es-es", "de-de")]
    done = run("eval", "package", *paths, "--team", "T", "--out", "t.zip")
    assert done.exit_code == 0, done.output


def test_score_says_how_ties_and_repeated_documents_are_ranked(run, run_file) -> None:
    path = run_file(
        "1 Q0 a 1 0.9\n1 Q0 b 2 0.9\n2 Q0 a 1 0.9\n2 Q0 b 2 0.8\n2 Q0 a 3 0.7\n"
        "3 Q0 a 1 1.\n3 Q0 b 2 1.\n"
    )
    qrels = run_file("1 0 b 1\n2 0 b 1\n", "qrels.tsv")
    done = run("eval", "score", path, qrels)
    assert (
        "1 judged queries have documents with equal scores, which are ranked as in the file "
        "(trec_eval: by id, descending; TalentCLEF's scorer: in any order): 1\n"
    ) in done.stderr
    assert "1 lines rank a document again for the same query" in done.stderr
    data = json.loads(run("eval", "score", path, qrels, "--json").stdout)
    assert data["tied_queries"] == ["1"]
    assert (data["tie_order"], data["repeated_documents"]) == ("file", 1)
    # In the file's order, b has rank 2 for query 1; of query 2, the last line of a counts.
    assert data["metrics"]["MRR"] == pytest.approx((1 / 2 + 1) / 2)
    untied = run("eval", "score", run_file(GOOD), qrels)
    assert "equal scores" not in untied.stderr


@pytest.mark.parametrize(
    ("run_text", "qrels_text", "message"),
    [
        (GOOD, "1 0 a 1\n2 0 b", "qrels.tsv, line 2: not 'q_id 0 doc_id relevance'"),
        (GOOD, "8 0 a 1\n", "no query of"),
        (GOOD, GOOD, "this looks like a line of a run"),
        ("1 0 a 1\n", "1 0 a 1\n", "this looks like a line of judgements"),
        (GOOD, "", "has no judgements"),
        (GOOD, "1 0 a x\n", "line 1"),
        (GOOD, "1 0 a 1\n1 0 \udce9 1\n", "line 2: not UTF-8"),
    ],
)
def test_invalid_runs_and_judgements(
    run, run_file, run_text: str, qrels_text: str, message: str
) -> None:
    done = run("eval", "score", run_file(run_text), run_file(qrels_text, "qrels.tsv"))
    assert done.exit_code == 1
    assert message in done.stderr
