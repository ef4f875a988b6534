"""``jobsearch train``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

pytest.importorskip("accelerate", reason="training is an extra: pip install 'jobsearch[train]'")

pytestmark = pytest.mark.usefixtures("quick_loading")

Run = Callable[..., Result]
QUICK = ("--epochs", 1, "--batch-size", 64, "--learning-rate", 3e-4)


@pytest.fixture
def load_once() -> None:
    """A training changes the network that it loads."""


@pytest.mark.slow
def test_training_publishes_the_variant(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # A dozen held-out occupations are too few to decide; the decision is tested elsewhere.
    monkeypatch.setattr("jobsearch.models.training.choose.TOLERANCE", 1.0)
    result = run("train", "sample", *QUICK)
    assert result.exit_code == 0, result.output
    assert "MRR, held-out" in result.stdout
    assert "published models/builtin/finetuned" in result.stderr
    assert "learning_rate: 0.0003" in result.stderr
    listed = json.loads(run("models", "list", "--json").stdout)["models"]
    assert next(m for m in listed if m["name"] == "builtin")["variants"] == [
        "pretrained",
        "finetuned",
    ]
    again = run("train", "sample", *QUICK)
    assert again.exit_code == 1
    assert "--replace" in again.stderr
    searched = run("search", "nurse", "--to", "en", "--variant", "finetuned")
    assert searched.exit_code == 1
    assert "jobsearch ingest" in searched.stderr


@pytest.mark.slow
def test_worse_weights_are_not_published(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobsearch.models.training.choose.ALPHAS", (1.0,))
    result = run(
        "train", "sample", "--epochs", 1, "--batch-size", 64, "--learning-rate", 3, "--json"
    )
    assert result.exit_code == 1
    assert "nothing was published" in result.stderr
    report = json.loads(result.stdout)
    assert report["chosen"] is None
    assert report["candidates"][0]["known"]["mrr"]["en-de"] < report["before"]["mrr"]["en-de"]
    assert not Path("models/builtin/finetuned").exists()


def test_the_error_for_a_missing_extra_names_the_installation(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsearch.api._TRAINING_PACKAGES", ("no_such_library",))
    result = run("train", "sample")
    assert result.exit_code == 1
    assert "pip install 'jobsearch[train]'" in result.stderr


def test_a_path_without_an_export(run: Run, tmp_path: Path) -> None:
    result = run("train", tmp_path)
    assert result.exit_code == 1
    assert "no ESCO export" in result.stderr
