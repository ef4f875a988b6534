"""``jobsearch doctor``, and logs as text and as JSON."""

import json
import logging
import os
import pty
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingest.build import new_metadata
from jobsearch.cli.output import set_up
from jobsearch.files import MANIFEST
from jobsearch.store import open_store
from jobsearch.store.embedded.engine_files import _copy as copy_without_holes
from jobsearch.store.metadata import build_name

SAMPLE = ("ingest", "sample", "--languages", "en", "--variant", "pretrained")
PRETRAINED = ("--variant", "pretrained")
ALIAS = "jobs__en__builtin__pretrained"


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """Restores the loggers after each test."""
    yield
    for package in ("jobsearch", "ingest", "eval", "jobsearch.timing"):
        logger = logging.getLogger(package)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)


@pytest.fixture
def store(tmp_path: Path, sample_store: Path) -> Path:
    """A store with the sample, in the working directory."""
    copy_without_holes(sample_store, tmp_path / ".jobsearch")
    return tmp_path / ".jobsearch"


def findings(run, *words: object, exit_code: int) -> dict[str, dict[str, str]]:
    result = run("doctor", *PRETRAINED, *words, "--json")
    assert result.exit_code == exit_code, result.output
    return {found["check"]: found for found in json.loads(result.stdout)["checks"]}


def test_healthy_store(run, store: Path) -> None:
    found = findings(run, exit_code=0)
    assert {each["status"] for each in found.values()} <= {"ok", "warning"}
    assert found[ALIAS]["status"] == "ok"
    assert found[ALIAS]["found"].endswith(" points")
    assert "qdrant-edge-py 0.9.0" in found["versions"]["found"]
    assert found["builtin pretrained"]["found"].endswith("512 dimensions")
    text = run("doctor", *PRETRAINED)
    assert text.exit_code == 0
    assert ALIAS in text.stdout


def test_empty_store(run, tmp_path: Path) -> None:
    found = findings(run, exit_code=0)
    assert found["store"]["status"] == "warning"
    assert "jobsearch ingest sample" in found["store"]["advice"]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_collection(run, store: Path) -> None:
    chunk = next(store.glob(f"collections/{ALIAS}__*/0/segments/*/vector_storage/**/chunk*"))
    chunk.write_bytes(b"")
    found = findings(run, exit_code=1)
    assert found[ALIAS]["status"] == "failed"
    assert "is damaged" in found[ALIAS]["found"]


def test_a_damaged_manifest(run, store: Path) -> None:
    (store / MANIFEST).write_text("{")
    found = findings(run, exit_code=1)
    assert found["store"]["status"] == found["model"]["status"] == "failed"
    assert found["versions"]["status"] == "ok"


def change_metadata(store: Path, **changes: Any) -> None:
    path = store / MANIFEST
    data = json.loads(path.read_text())
    data["collections"][data["aliases"][ALIAS]]["metadata"] |= changes
    path.write_text(json.dumps(data))


def test_a_collection_of_another_model(run, store: Path) -> None:
    change_metadata(store, weights_sha256="f" * 64)
    found = findings(run, exit_code=1)
    assert "weights_sha256" in found[f"builtin pretrained and {ALIAS}"]["found"]


def test_missing_points(run, store: Path) -> None:
    change_metadata(store, expected_points=7)
    assert "7 expected" in findings(run, exit_code=1)[ALIAS]["found"]


def test_a_build_from_the_future(run, store: Path) -> None:
    change_metadata(store, created_at="2999-01-01T00:00:00+00:00")
    assert findings(run, exit_code=0)[ALIAS]["status"] == "warning"


def test_an_unfinished_build_and_a_previous_one(run, store: Path) -> None:
    run(*SAMPLE, "--force")
    with closing(open_store(str(store))) as opened:
        encoder = opened.describe(ALIAS).metadata.encoder
        name = build_name(ALIAS, encoder)
        opened.create(name, new_metadata("en", encoder, ()))
        found = findings(run, exit_code=0)
    assert "prune" in found[name]["advice"]
    assert sum(each["found"].endswith("kept for a rollback") for each in found.values()) == 1


def test_a_server_that_does_not_answer(run) -> None:
    found = findings(run, "--store", "http://127.0.0.1:9", exit_code=3)
    assert "docker compose up -d" in found["store"]["found"]


def test_a_missing_model(run, store: Path) -> None:
    found = findings(run, "--model", "./nothing", exit_code=1)
    assert found["model"]["status"] == "failed"
    assert found["store"]["status"] == "ok"


def test_a_full_disk_and_a_low_limit_of_open_files(
    run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(store)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    monkeypatch.setattr("resource.getrlimit", lambda which: (256, 256))
    found = findings(run, exit_code=0)
    assert (found["disk"]["status"], found["open files"]["status"]) == ("warning", "warning")


def test_a_check_that_raises(run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: 1 / 0)
    assert findings(run, exit_code=1)["open files"]["found"].startswith("ZeroDivisionError")


# Logs


def test_json_logs(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBSEARCH_API_KEY", "s3cr3t")
    result = run("--log-format", "json", *SAMPLE)
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    stages = [line["stage"] for line in lines if "stage" in line]
    assert stages == ["read", "language check", "embed and store", "finish", "check", "swap"]
    assert all(line["seconds"] >= 0 for line in lines if "stage" in line)
    assert lines[0]["message"] == "loading builtin pretrained"
    assert lines[0]["time"].endswith("+00:00")
    assert "s3cr3t" not in result.stderr

    searched = run("--log-format", "json", "search", "Köchin", "--to", "en", *PRETRAINED)
    stages = [json.loads(line).get("stage") for line in searched.stderr.splitlines()]
    assert {"embed the query", "query the store"} <= {*stages}


@pytest.mark.parametrize(("log_format", "bars"), [("json", False), ("text", True)])
def test_bars_on_a_terminal(
    log_format: str, bars: bool, tmp_path: Path, sample_cache: Path
) -> None:
    """The stderr of a container is often a terminal."""
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    words = ("--log-format", log_format, *SAMPLE, "--store", str(tmp_path / "store"))
    words += ("--cache-dir", str(shutil.copytree(sample_cache, tmp_path / "cache")))
    done = subprocess.run(
        [sys.executable, "-c", "from jobsearch.cli import main; main()", *words],
        stderr=terminal,
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(terminal)
    written = os.read(reader, 1 << 20).decode()
    os.close(reader)
    assert done.stdout
    assert ("100%" in written) == bars
    assert bars or all(json.loads(line) for line in written.splitlines())


def test_an_error_as_json(run) -> None:
    result = run("--log-format", "json", "search", "???", "--to", "en")
    [line] = [json.loads(line) for line in result.stderr.splitlines()]
    assert (result.exit_code, line["level"], line["error"]) == (2, "error", "InvalidInput")


def test_text_logs_have_timings_only_with_debug(run, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(*SAMPLE)
    assert plain.stderr.splitlines()[0] == "loading builtin pretrained"
    assert "took" not in plain.stderr
    assert "swap took 0." in run("--debug", *SAMPLE, "--force").stderr
    monkeypatch.setenv("JOBSEARCH_LOG_FORMAT", "json")
    assert json.loads(run(*SAMPLE, "--force").stderr.splitlines()[0])["level"] == "info"


def test_warnings_are_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("text", debug=False)
    logging.getLogger("jobsearch.store.server.errors").warning("the server failed")
    assert capsys.readouterr().err == "warning: the server failed\n"


def test_the_library_alone_prints_no_logs(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("jobsearch.timing").info("read took 1 s")
    assert capsys.readouterr().err == ""
