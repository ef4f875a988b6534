"""Ingests share a cache of embeddings; ``jobsearch cache`` shows and prunes it."""

import json
from pathlib import Path

import pytest

SAMPLE = ("ingest", "sample", "--languages", "en", "--variant", "pretrained", "--json")


def test_a_second_store_embeds_nothing(run, tmp_path: Path) -> None:
    first = run(*SAMPLE, "--store", tmp_path / "one")
    [made] = json.loads(first.stdout)["ingested"]
    assert "came from the cache" not in first.stderr
    second = run(*SAMPLE, "--store", tmp_path / "two")
    [again] = json.loads(second.stdout)["ingested"]
    assert again["points"] == made["points"]
    assert f"{made['distinct_texts']:,} embeddings came from the cache" in second.stderr

    contents = json.loads(run("cache", "info", "--json").stdout)
    assert contents["vectors"] == made["distinct_texts"]
    size = Path(contents["path"]).stat().st_size
    assert size >= contents["size_bytes"] > contents["vectors"] * 2048
    assert "embeddings, " in run("cache", "info").stdout
    assert json.loads(run("cache", "prune", "--json").stdout)["vectors"] == 0
    assert run("cache", "prune", "--size", "1").stdout.split(": ")[1].startswith("0 embeddings")


@pytest.mark.parametrize("size", ["0", "1"])
def test_a_cache_size_of_zero_uses_no_cache(run, tmp_path: Path, size: str) -> None:
    folder = tmp_path / "own"
    run(*SAMPLE, "--cache-dir", folder, "--cache-size", size)
    assert folder.exists() is (size != "0")
    assert run(*SAMPLE, "--cache-size", "-1").exit_code == 2
