"""Commands, run in the process of the tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobsearch.cli import main

Run = Callable[..., Result]


@pytest.fixture
def load_once(shared_encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands share the models that they load. Override it where a command changes its model."""
    monkeypatch.setattr("jobsearch.models.catalog._load", shared_encoders)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_once: None) -> Run:
    """Runs a command in an empty working directory, as the console script does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSEARCH_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("STORE", "MODEL", "MODELS", "API_KEY"):
        monkeypatch.delenv(f"JOBSEARCH_{name}", raising=False)

    def call(*words: object, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], input=answer)

    return call
