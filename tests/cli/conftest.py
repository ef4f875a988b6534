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


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory, shared_encoders) -> Path:
    """A cache with the sample's English and Chinese titles, pretrained.

    A process that ingests them with a copy of it loads no model.
    """
    folder = tmp_path_factory.mktemp("sample_cache")
    words = ["ingest", "sample", "--languages", "en,zh", "--variant", "pretrained"]
    words += ["--store", str(folder / "store"), "--cache-dir", str(folder / "cache")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("jobsearch.models.catalog._load", shared_encoders)
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return folder / "cache"


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
