"""Snapshots and copies of collections, removed sources, embedded parts, unfinished builds."""

import json
import os
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import pytest

from ingest.build import new_metadata
from jobsearch.store import open_store
from jobsearch.store.metadata import build_name

SAMPLE = ("ingest", "sample", "--languages", "en", "--variant", "pretrained")
ALIAS = "jobs__en__builtin__pretrained"


def test_snapshot_and_restore(run, tmp_path: Path) -> None:
    run(*SAMPLE)
    made = run("collections", "snapshot", ALIAS, "en.parquet", "--json")
    points = json.loads(made.stdout)["points"]
    assert json.loads(made.stdout)["to"] == "en.parquet"
    restored = run("collections", "restore", "en.parquet", "--store", "other")
    assert restored.stdout == f"{ALIAS}: {points:,} points -> other\n"
    found = run("search", "nurse", "--to", "en", "--store", "other", "--variant", "pretrained")
    assert found.exit_code == 0
    assert found.stdout == run("search", "nurse", "--to", "en", "--variant", "pretrained").stdout
    missing = run("collections", "restore", "nothing.parquet")
    assert (missing.exit_code, "does not exist" in missing.stderr) == (1, True)


def test_a_snapshot_does_not_replace_files_of_a_store_or_special_files(run, tmp_path: Path) -> None:
    run(*SAMPLE)
    os.mkfifo("pipe")
    manifest = Path(".jobsearch", "manifest.json").read_bytes()
    for words, reason in (
        ((".jobsearch/manifest.json",), f"it is inside the store {tmp_path / '.jobsearch'}"),
        (("pipe",), "it is a device or another special file, not a regular file"),
    ):
        refused = run("collections", "snapshot", ALIAS, *words)
        assert refused.exit_code == 1
        assert f"{words[0]} cannot be written ({reason}): make room, or" in refused.stderr
    assert Path(".jobsearch", "manifest.json").read_bytes() == manifest
    assert Path("pipe").is_fifo()


def test_remove_source_and_rollback(run, tmp_path: Path) -> None:
    run(*SAMPLE)
    (tmp_path / "jobs.csv").write_text("title\nturbine cleaner\n")
    run("ingest", "table", "jobs.csv", "--title", "title", "--language", "en", *SAMPLE[4:])
    [both] = [c["points"] for c in collections(run) if c["aliases"]]
    refused = run("collections", "remove-source", ALIAS, "jobs", answer="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    done = run("collections", "remove-source", ALIAS, "jobs", "--yes")
    assert done.stdout == f"{ALIAS}: {both - 1:,} points of sample\n"
    assert done.stderr == f"to undo it: jobsearch collections rollback {ALIAS}\n"
    assert run("collections", "rollback", ALIAS).exit_code == 0
    assert [c["points"] for c in collections(run) if c["aliases"]] == [both]
    unknown = run("collections", "remove-source", ALIAS, "other", "--yes")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "other" in unknown.stderr


@pytest.mark.parametrize("aliases", [(), (ALIAS,)])
def test_migrate(run, tmp_path: Path, aliases: tuple[str, ...]) -> None:
    run(*SAMPLE)
    done = run("collections", "migrate", *aliases, "--to", "other", "--json")
    [copied] = json.loads(done.stdout)["migrated"]
    assert copied["alias"] == ALIAS
    listed = json.loads(run("collections", "list", "--store", "other", "--json").stdout)
    assert [each["points"] for each in listed["collections"]] == [copied["points"]]
    again = run("collections", "migrate", "--to", "other")
    assert ALIAS in again.stdout
    nothing = run("collections", "migrate", "jobs__xx__builtin__pretrained", "--to", "other")
    assert nothing.exit_code == 1
    (tmp_path / "link").symlink_to(".jobsearch")
    for itself in (".jobsearch", "./.jobsearch/", tmp_path / ".jobsearch", "link"):
        refused = run("collections", "migrate", "--to", itself)
        assert (refused.exit_code, "is the store to copy from" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("source", "to", "own", "given"),
    [
        ("https://a", "https://b", None, None),
        ("https://a", "http://a", None, None),
        ("https://a:1", "https://a:2", None, None),
        ("https://a", "https://[", None, None),
        ("https://a", "https://b", "other-key", "other-key"),
        ("https://a", "https://A:6333/other", None, "secret"),
        ("https://a", "https://a/other", "other-key", "other-key"),
        (".jobsearch", "https://b", None, "secret"),
        (".jobsearch", "https://b", "other-key", "other-key"),
    ],
)
def test_the_api_key_of_the_other_store(
    run, monkeypatch: pytest.MonkeyPatch, source: str, to: str, own: str | None, given: str | None
) -> None:
    opened = {}

    def open_nothing(location: str, *, api_key: str | None, **_: object) -> Mock:
        opened[location] = api_key
        return Mock(location=location, aliases=dict)

    monkeypatch.setattr("jobsearch.store.open_store", open_nothing)
    monkeypatch.setenv("JOBSEARCH_API_KEY", "secret")
    monkeypatch.delenv("JOBSEARCH_API_KEY_TO", raising=False)
    if own:
        monkeypatch.setenv("JOBSEARCH_API_KEY_TO", own)
    assert run("collections", "migrate", "--store", source, "--to", to).exit_code == 0
    assert opened == {source: "secret", to: given}


def test_embed_in_parts_and_load(run, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        made = run(*SAMPLE, "--embed-to", "parts", "--part", part)
        assert made.exit_code == 0, made.stderr
        assert f" {part} " in made.stdout
    assert not (tmp_path / ".jobsearch").exists()
    loaded = json.loads(run("ingest", "load", "parts", "--json").stdout)["loaded"]
    direct = json.loads(run(*SAMPLE, "--store", "other", "--json").stdout)["ingested"]
    assert [each["points"] for each in loaded] == [each["points"] for each in direct]
    assert run("ingest", "load", "parts").stdout.split()[-5:-2] == [
        ALIAS, "2", str(loaded[0]["points"]),
    ]  # fmt: skip


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_invalid_parts(run, part: str) -> None:
    result = run(*SAMPLE, "--embed-to", "parts", "--part", part)
    assert result.exit_code == 2
    assert "write the second of four as 2/4" in result.stderr


def test_prune(run, tmp_path: Path) -> None:
    run(*SAMPLE)
    [first] = [c["name"] for c in collections(run)]
    run(*SAMPLE, "--force")
    with closing(open_store(str(tmp_path / ".jobsearch"))) as store:
        encoder = store.describe(ALIAS).metadata.encoder
        unfinished = build_name("jobs__de__builtin__pretrained", encoder)
        store.create(unfinished, new_metadata("de", encoder, ()))
    assert run("collections", "prune", "--yes").stdout == "nothing to delete\n"
    assert run("collections", "prune", "--hours", "0", answer="n\n").exit_code == 1
    pruned = run("collections", "prune", "--hours", "0", "--yes", "--json")
    assert json.loads(pruned.stdout) == {"deleted": [unfinished]}
    assert len(collections(run)) == 2
    assert run("collections", "prune", "--previous", "--yes").stdout == f"deleted {first}\n"
    assert [c["aliases"] for c in collections(run)] == [[ALIAS]]


def test_prune_keeps_a_running_build(run, tmp_path: Path) -> None:
    run(*SAMPLE)
    [live] = [c["name"] for c in collections(run)]
    with closing(open_store(str(tmp_path / ".jobsearch"))) as store, store.build_lock(ALIAS):
        encoder = store.describe(ALIAS).metadata.encoder
        running = build_name(ALIAS, encoder)
        store.create(running, new_metadata("en", encoder, ()))
        done = run("collections", "prune", "--hours", "0", "--yes")
        assert done.stdout == "nothing to delete\n"
        assert f"left alone: the build of {ALIAS} is locked by process" in done.stderr
        refused = run("collections", "drop", running, "--yes")
        assert refused.exit_code == 1
        assert f"the build of {ALIAS} is locked by process" in refused.stderr
        assert [c["name"] for c in collections(run)] == [live, running]


def collections(run) -> list[dict[str, object]]:
    return json.loads(run("collections", "list", "--json").stdout)["collections"]
