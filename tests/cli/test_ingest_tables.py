"""Tables as people have them: languages, rejected rows, and what a failed ingest prints."""

import json
from pathlib import Path

import pytest

TABLE = ("--title", "job", "--language-column", "lang", "--variant", "pretrained")


def rows(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["job,lang", *lines]) + "\n", encoding="utf-8")
    return path


def stored(done) -> dict[str, tuple[int, int]]:
    """Points and rejected rows of each language."""
    ingested = json.loads(done.stdout)["ingested"]
    return {each["language"]: (each["points"], each["rows_rejected"]) for each in ingested}


def test_tags_and_names_of_languages(run, tmp_path: Path) -> None:
    table = rows(tmp_path / "jobs.csv", "nurse,en-US", "software developer,English", "Koch,de_AT")
    done = run("ingest", "table", table, *TABLE, "--json")
    assert (done.exit_code, stored(done)) == (0, {"de": (1, 0), "en": (2, 0)})


def test_a_table_without_titles_is_an_error(run, tmp_path: Path) -> None:
    done = run("ingest", "table", rows(tmp_path / "jobs.csv"), *TABLE)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "jobs has no titles in 0 rows" in done.stderr
    assert done.stderr.endswith("Nothing was stored\n")


def test_the_json_document_of_a_failure(run, tmp_path: Path) -> None:
    table = rows(tmp_path / "jobs.csv", "nurse,xx", "cook,", "welder,en")
    done = run("ingest", "table", table, *TABLE, "--json")
    assert done.exit_code == 1
    printed = json.loads(done.stdout)
    assert printed["ingested"] == []
    assert printed["error"]["type"] == "TooManyRejects"
    message = printed["error"]["message"]
    assert message.startswith("jobs (en): 2 of 3 rows (66.7%) were rejected, more than 1.0%: ")
    assert "All are listed in rejects-jobs-en.jsonl" in message
    assert message.endswith("or raise `--max-rejects`. Nothing was stored")
    assert message in done.stderr
    listed = map(json.loads, (tmp_path / "rejects-jobs-en.jsonl").read_text().splitlines())
    assert [(each["line"], each["reason"]) for each in listed] == [
        (2, "unknown language"), (3, "no language"),
    ]  # fmt: skip


def test_rejects_of_a_file_are_noted_once(run, tmp_path: Path) -> None:
    lines = [f"cook {n},en" for n in range(9)] + ["cocinero,es", "sjuksköterska,xx"]
    table = rows(tmp_path / "jobs.csv", *lines)
    done = run("ingest", "table", table, *TABLE, "--max-rejects", 0.1)
    assert done.exit_code == 0
    assert done.stderr.count("1 rejected rows are listed in rejects-jobs.jsonl") == 1


@pytest.mark.parametrize(
    ("file", "expected"),
    [("all-bcp47.csv", {"en": (3, 0)}), ("half.csv", {"en": (4, 0)}), ("header-only.csv", None)],
)
def test_case_language_codes(run, cases: Path, file: str, expected) -> None:
    done = run("ingest", "table", cases / "01-language-codes" / file, *TABLE, "--json")
    if expected:
        assert (done.exit_code, stored(done)) == (0, expected)
    else:
        assert (done.exit_code, json.loads(done.stdout)["ingested"]) == (1, [])


def test_case_nothing_was_stored(run, cases: Path, tmp_path: Path) -> None:
    path = cases / "02-nothing-was-stored" / "mostly-en-es.csv"
    done = run("ingest", "table", path, *TABLE, "--json")
    assert (done.exit_code, stored(done)) == (0, {"en": (800, 0), "es": (5, 0)})
    listed = {(s["file_rejected"], s["rejects_file"]) for s in json.loads(done.stdout)["ingested"]}
    assert listed == {(1, "rejects-mostly-en-es.jsonl")}
    assert len((tmp_path / "rejects-mostly-en-es.jsonl").read_text().splitlines()) == 1
