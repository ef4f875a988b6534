from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobsearch.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a command, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSEARCH_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("STORE", "MODEL", "MODELS", "API_KEY"):
        monkeypatch.delenv(f"JOBSEARCH_{name}", raising=False)

    def call(*words: object, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], input=answer)

    return call
