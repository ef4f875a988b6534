"""``jobsearch plan``: the table, the JSON document, and invalid input."""

import json
import re
from pathlib import Path

import pytest

SCALING = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
QUOTED = re.findall(r"^ {4}\$ jobsearch (.*)\n((?: {4}.+\n)+)", SCALING.read_text("utf-8"), re.M)


def test_table(run) -> None:
    done = run("plan", "--titles", "100M", "--quantization", "int8", "--workers", 8,
               "--titles-per-second", 5000, "--price-per-hour", 1.8, "--replicas", 2)  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = [line.split("  ") for line in done.stdout.splitlines()[2:]]
    amounts = {cells[0]: next(cell.strip() for cell in cells[1:] if cell) for cells in lines}
    assert amounts == {
        "vectors": "204.8 GB",
        "quantised vectors": "51.2 GB",
        "payload": "28.3 GB",
        "indexes, ids": "28.8 GB",
        "graph": "13.2 GB",
        "memory": "237.7 GB",
        "disk": "979.0 GB",
        "nodes": "5",
        "shards": "10",
        "embedding, 1 worker": "5.6 h",
        "embedding, 8 workers": "41.7 min",
        "upload": "1.7 h",
        "building the graph": "3.4 h",
        "cost": "10.00",
        "cost of a million": "0.1000",
    }
    assert "1,188 bytes a title x 2 copies" in done.stdout
    assert "for one build" in done.stderr


def test_optional_rows_are_left_out(run) -> None:
    done = run("plan", "--titles", "33606")
    assert not any(word in done.stdout for word in ("quantised", "workers", "cost", "copies"))
    assert "103.2 MB" in done.stdout


def test_json(run) -> None:
    done = run("plan", "--titles", "2.5M", "--dim", 768, "--titles-per-second", 1000, "--json")
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert (data["titles"], data["dim"], data["quantization"]) == (2_500_000, 768, "none")
    assert data["vector_bytes"] == 2_500_000 * 768 * 4
    assert data["memory_bytes"] == 11_520_000_000
    assert (data["nodes"], data["shards"]) == (1, 1)
    assert data["embed_hours"] == pytest.approx(2500 / 3600)
    assert data["cost"] is data["cost_per_million"] is None


def test_a_note_says_that_the_default_rate_is_of_the_builtin_model(run) -> None:
    message = "3,673 titles per second is the rate of the built-in model, which has 512 dimensions"
    assert message in run("plan", "--titles", "1M", "--dim", 768).stderr
    assert message not in run("plan", "--titles", "1M").stderr
    assert message not in run(
        "plan", "--titles", "1M", "--dim", 768, "--titles-per-second", 99
    ).stderr  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--titles", "12x"), "`--titles` is '12x': write it as"),
        (("--titles", "0"), "`--titles` is 0: give a value from 1 to"),
        (("--titles", "1M", "--replicas", "0"), "`--replicas` is 0"),
        (("--titles", "1M", "--titles-per-second", "nan"), "`--titles-per-second` is nan"),
        (("--titles", "1M", "--node-memory-gb", "-1"), "`--node-memory-gb` is -1.0"),
        (("--titles", "1M", "--quantization", "int4"), "'int4' is not one of"),
        ((), "Missing option '--titles'"),
    ],
)
def test_bad_input(run, words: tuple[str, ...], message: str) -> None:
    done = run("plan", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(("words", "quoted"), QUOTED, ids=[words for words, _ in QUOTED])
def test_the_documentation_shows_the_printed_tables(run, words: str, quoted: str) -> None:
    printed = run(*words.split()).stdout.splitlines()
    assert [line[4:] for line in quoted.splitlines()] == [line.rstrip() for line in printed]


def test_the_documentation_has_four_examples() -> None:
    assert len(QUOTED) == 4
