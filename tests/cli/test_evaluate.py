"""``jobsearch eval``: kept results, tables, reports and comparisons."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAIRS = ("--pairs", "en-en,de-de")


@pytest.fixture
def results(run, tmp_path: Path) -> Path:
    done = run("eval", "sample", *PAIRS, "--results", "res", "--baselines", "random,TFIDF")
    assert done.exit_code == 0, done.output
    assert "results are in res" in done.stderr
    return tmp_path / "res"


def test_results_are_kept_and_shown(run, results: Path, tmp_path: Path) -> None:
    systems = ["builtin-finetuned", "builtin-pretrained", "random", "tfidf"]
    assert sorted(path.name for path in results.iterdir()) == systems
    again = run("eval", "sample", *PAIRS, "--results", "res", "--variant", "pretrained", "--json")
    assert again.stderr.count("as measured before") == 2
    cells = json.loads(again.stdout)["cells"]
    assert [cell["pair"] for cell in cells] == ["en-en", "de-de"]
    low, high = cells[0]["intervals"]["MAP"]
    assert low <= cells[0]["metrics"]["MAP"] <= high

    text = run("eval", "leaderboard", "res")
    assert text.exit_code == 0, text.output
    assert "sample: MAP within a language" in text.stdout
    assert "sample: what the figures hide" in text.stdout
    assert "sample: MRR with and without the copies of the query" in text.stdout
    markdown = run("eval", "leaderboard", "res", "--format", "markdown", "--metrics", "nDCG").stdout
    assert markdown.startswith("### sample: nDCG within a language\n\n| system")
    latex = run("eval", "leaderboard", "res", "--format", "latex", "--metrics", "MAP").stdout
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
    pairs = tmp_path / "training" / "german"
    pairs.mkdir(parents=True)
    rows = "C2221\turn:1\tKoch\tKöchin\nC2221\turn:1\tKoch\tKüchenhilfe\n"
    (pairs / "taskA_training_de.tsv").write_text(rows)
    seen = run("eval", "leaderboard", "res", "--trained-on", "training")
    assert "queries seen in training" in seen.stdout, seen.output
    assert "queries seen in training" not in text.stdout
    data = json.loads(run("eval", "leaderboard", "res", "--json").stdout)
    assert len(data["cells"]) == 8
    seen = run(
        "eval", "leaderboard", "res", "--json", "--metrics", "P@5", "--trained-on", "training"
    )
    titles = [table["title"] for table in json.loads(seen.stdout)["tables"]]
    assert "queries seen in training" in titles
    assert any("P@5" in title for title in titles)
    assert not any("MAP" in title for title in titles)


def test_index_loss_is_added_to_kept_results(run, results: Path) -> None:
    words = ("eval", "sample", *PAIRS, "--results", "res", "--variant", "pretrained")
    # The measured collection may have been deleted or replaced by another build.
    shutil.rmtree(".jobsearch")
    done = run(*words, "--index-loss")
    assert done.exit_code == 0, done.output
    assert done.stderr.count("as measured before") == 2
    assert "what the live index loses" in done.stdout
    cells = json.loads(run(*words, "--json").stdout)["cells"]
    assert [mode["mode"] for mode in cells[0]["index"]] == ["exact", "index", "index, filtered"]


def test_a_report(run, results: Path) -> None:
    done = run("eval", "report", "res")
    assert (done.exit_code, done.stdout) == (0, "report.html\n"), done.output
    text = Path("report.html").read_text(encoding="utf-8")
    assert "builtin pretrained and builtin finetuned" in text


def test_two_variants_are_compared(run, results: Path) -> None:
    sides = ("res/builtin-pretrained", "res/builtin-finetuned")
    text = run("eval", "compare", *sides, "--queries", "1")
    assert text.exit_code == 0, text.output
    assert text.stdout.startswith("MAP: builtin pretrained (first), builtin finetuned (second)")
    assert text.stdout.count("gained: ") == 1
    data = json.loads(run("eval", "compare", *sides, "--metrics", "MRR", "--json").stdout)
    assert [d["pair"] for d in data["differences"]] == ["de-de", "en-en"]
    assert all(0 < d["p"] <= d["p_holm"] <= 1 for d in data["differences"])
    assert len(data["gained"]) <= 3


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("eval", "leaderboard", "none"), 2, "Directory 'none' does not exist"),
        (("eval", "leaderboard", "."), 1, "holds no results: write some with"),
        (("eval", "compare", ".", "."), 1, "holds no results"),
        (("eval", "sample", "--baselines", "bm26"), 2, "'bm26' is not one of random, bm25, tfidf"),
        (("eval", "leaderboard", ".", "--metrics", "F1"), 2, "'F1' is not one of MAP, MRR"),
    ],
)
def test_bad_input(run, words: tuple[str, ...], code: int, message: str) -> None:
    done = run(*words)
    assert done.exit_code == code, done.output
    assert message in done.stderr


def test_implausible_figures_fail(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.diagnostics.plausibility.TIMES_CHANCE", 1000)
    done = run("eval", "sample", "--pairs", "en-en", "--variant", "pretrained", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["cells"][0]["pair"] == "en-en"
    assert (
        "these figures cannot be right. builtin pretrained on sample validation en-en: MAP is"
        in (done.stderr)
    )


@pytest.mark.slow
def test_a_killed_evaluation_resumes(run, tmp_path: Path) -> None:
    words = ["eval", "sample", "--variant", "pretrained", "--results", "res"]
    main = "from jobsearch.cli import main; main()"
    killed = subprocess.Popen([sys.executable, "-c", main, *words], stderr=subprocess.PIPE)
    folder = tmp_path / "res"
    while killed.poll() is None and not list(folder.rglob("*.json")):
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    written = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert written
    assert all(json.loads(content) for content in written.values())

    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr.count("as measured before") == len(written)
    assert len(json.loads(done.stdout)["cells"]) > len(written)
    assert all(path.read_bytes() == content for path, content in written.items())
    assert not list(folder.rglob(".*.partial"))
