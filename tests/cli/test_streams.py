"""Streams that cannot be written: messages are dropped, a failed stdout is an error."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobsearch.store import open_store

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason=f"no {FULL} on this system")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``jobsearch LINE`` in a shell, so that the line may redirect streams."""
    main = "from jobsearch.cli import main; main(prog_name='jobsearch')"
    return subprocess.run(
        f'"{sys.executable}" -c "{main}" {line}',
        shell=True, cwd=folder, check=False, capture_output=True, text=True,
        env={**os.environ, "JOBSEARCH_CACHE_DIR": str(folder / "cache")},
    )  # fmt: skip


@needs_full
@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-"])
def test_an_ingest_succeeds_without_stderr(tmp_path: Path, sample_cache: Path, closed: str) -> None:
    shutil.copytree(sample_cache, tmp_path / "cache")
    done = shell(
        f"ingest sample --languages zh --variant pretrained --store store --json {closed}", tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    (summary,) = json.loads(done.stdout)["ingested"]
    assert open_store(str(tmp_path / "store")).count(summary["alias"]) == summary["points"] == 491


@needs_full
@pytest.mark.parametrize(
    "command", ["models list", "models list --json", "--help", "--version", "models list --help"]
)
def test_a_full_stdout_is_an_error(tmp_path: Path, command: str) -> None:
    done = shell(f"{command} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the output cannot be written (No space left on device): redirect it to "
        "another place. The command's changes, if any, were made\n"
    )
