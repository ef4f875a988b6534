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


def test_a_file_that_is_missing_has_a_json_document_too(run) -> None:
    done = run("ingest", "table", "nothing.csv", *TABLE, "--json")
    error = {"type": "SourceNotFound", "message": json.loads(done.stdout)["error"]["message"]}
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"ingested": [], "error": error})
    assert error["message"].startswith("nothing.csv is not a file")


def test_tables_of_the_same_file_name(run, tmp_path: Path) -> None:
    for folder in ("d1", "d2"):
        (tmp_path / folder).mkdir()
        rows(tmp_path / folder / "jobs.csv", f"cook of {folder},en")
    assert run("ingest", "table", "d1/jobs.csv", *TABLE).exit_code == 0
    done = run("ingest", "table", "d2/jobs.csv", *TABLE)
    assert done.exit_code == 2
    assert f"from {tmp_path}/d1/jobs.csv, and {tmp_path}/d2/jobs.csv would" in done.stderr
    assert "`--name jobs` to replace that source" in done.stderr
    again = run("ingest", "table", "d2/jobs.csv", *TABLE, "--name", "other", "--json")
    assert json.loads(again.stdout)["ingested"][0]["kept_sources"] == ["jobs"]


def test_a_second_source_keeps_the_layout(run, tmp_path: Path) -> None:
    alias = "jobs__zh__builtin__pretrained"

    def layout() -> tuple[str, bool]:
        data = json.loads(run("collections", "describe", alias, "--json").stdout)
        return data["quantization"], data["on_disk"]

    sample = ("ingest", "sample", "--languages", "zh", "--variant", "pretrained")
    assert run(*sample, "--quantization", "int8").exit_code == 0
    table = rows(tmp_path / "jobs.csv", "护士长,zh")
    assert run("ingest", "table", table, *TABLE).exit_code == 0
    assert layout() == ("int8", False)
    assert run("ingest", "table", table, *TABLE, "--on-disk").exit_code == 0
    assert layout() == ("int8", True)
    assert run(*sample, "--quantization", "none", "--in-memory").exit_code == 0
    assert layout() == ("none", False)


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
