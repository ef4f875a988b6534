"""Commands on the sample, and the documentation of all commands."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from jobsearch.cli import main

NURSE = "urn:jobsearch:sample:occupation:021"


def test_search_prints_one_json_document(run, sample_store) -> None:
    done = run(
        "search", "Krankenschwester", "--to", "en,de", "--isco", "2", "--top", 3,
        "--variant", "pretrained", "--store", sample_store, "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["query"] == "Krankenschwester"
    assert len(found["hits"]) == 3
    best = found["hits"][0]
    assert best.keys() >= {
        "title", "score", "language", "concept_id", "isco", "kind", "collection", "variant",
    }  # fmt: skip
    assert all(hit["isco"].startswith("2") for hit in found["hits"])
    assert best["concept_id"] == NURSE


def test_json_keeps_unicode(run, sample_store) -> None:
    done = run("search", "护士", "--to", "zh", "--store", sample_store, "--json")
    assert "护士" in done.stdout


def test_search_prints_a_table(run, sample_store) -> None:
    done = run(
        "search", "KRANKENSCHWESTER", "--to", "en", "--store", sample_store, "--top", 4,
        "--variant", "pretrained",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["score", "title", "lang", "ISCO", "kind", "concept"]
    assert len(lines) == 2 + 4
    assert "searched for: krankenschwester" in done.stderr
    assert "builtin pretrained; scores are cosines" in done.stderr


def test_search_without_hits_succeeds(run, sample_store) -> None:
    done = run("search", "cook", "--source", "esco", "--store", sample_store,
               "--variant", "pretrained")  # fmt: skip
    assert (done.exit_code, done.stdout) == (0, "")
    expected = "nothing found: no searched title has 'esco' for `--source` (there is sample)"
    assert done.stderr.splitlines()[-1] == expected
    done = run("search", "cook", "--to", "en", "--isco", "9629", "--kind", "hidden", "--json",
               "--store", sample_store, "--variant", "pretrained")  # fmt: skip
    assert json.loads(done.stdout)["notes"] == ["nothing found: loosen `--isco`, `--kind`"]


def test_hits_of_two_variants_are_not_said_to_be_ordered_by_score(
    run, sample_store, models_dir
) -> None:
    done = run("search", "Koch", "--to", "en,zh", "--top", 4, "--store", sample_store,
               "--models-dir", models_dir)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "higher is better" not in done.stderr
    assert "ordered by their rank within their language, not by score" in done.stderr


def test_grouping_shows_each_concept_once_over_all_languages(run, sample_store) -> None:
    done = run("search", "Krankenschwester", "--to", "en,de", "--group-by", "concept", "--json",
               "--store", sample_store, "--variant", "pretrained")  # fmt: skip
    hits = json.loads(done.stdout)["hits"]
    assert len({hit["concept_id"] for hit in hits}) == len(hits) == 10
    best = hits[0]
    assert best["concept_id"] == NURSE
    assert best["others"].keys() == {"de", "en"}
    assert "registered nurse" in best["others"]["en"]


def test_options_come_from_the_environment(run, sample_store, monkeypatch) -> None:
    monkeypatch.setenv("JOBSEARCH_STORE", str(sample_store))
    done = run("search", "cook", "--to", "en", "--variant", "pretrained", "--json")
    assert done.exit_code == 0
    assert len(json.loads(done.stdout)["hits"]) == 10


def test_ingest_search_and_rollback_of_a_table(run, tmp_path: Path) -> None:
    titles = tmp_path / "jobs.csv"
    titles.write_text("job,lang,code\nHeadhunter,de,2423\nKüchenchef,de,3434\nBäcker,de,7512\n")
    ingest = ("ingest", "table", titles, "--title", "job", "--language-column", "lang",
              "--isco", "code", "--variant", "pretrained", "--json")  # fmt: skip
    first = run(*ingest)
    assert first.exit_code == 0, first.output
    (summary,) = json.loads(first.stdout)["ingested"]
    assert (summary["source"], summary["language"], summary["points"]) == ("jobs", "de", 3)

    again = run(*ingest)
    assert json.loads(again.stdout)["ingested"][0]["unchanged"] is True

    titles.write_text("job,lang,code\nHeadhunter,de,2423\n")
    assert json.loads(run(*ingest).stdout)["ingested"][0]["points"] == 1
    hits = json.loads(run("search", "baker", "--to", "de", "--json").stdout)["hits"]
    assert [hit["title"] for hit in hits] == ["Headhunter"]

    alias = summary["alias"]
    assert run("collections", "rollback", alias).stdout == f"{alias} -> {summary['collection']}\n"
    hits = json.loads(run("search", "baker", "--to", "de", "--json").stdout)["hits"]
    assert hits[0]["title"] == "Bäcker"

    listed = json.loads(run("collections", "list", "--json").stdout)["collections"]
    assert {c["points"]: c["aliases"] for c in listed} == {3: [alias], 1: []}
    previous = next(c["name"] for c in listed if not c["aliases"])
    assert run("collections", "drop", previous, "--yes").exit_code == 0
    assert run("collections", "drop", summary["collection"], "--yes").exit_code == 1
    assert len(json.loads(run("collections", "list", "--json").stdout)["collections"]) == 1


def test_questions_go_to_stderr(run, sample_store) -> None:
    prune = ("collections", "prune", "--store", sample_store, "--json")
    done = run(*prune, answer="y\n")
    assert json.loads(done.stdout) == {"deleted": []}
    assert "Delete these builds for good? [y/N]: " in done.stderr
    assert run(*prune, "--yes").stderr == ""
    alias = "jobs__zh__builtin__pretrained"
    refused = run("collections", "drop", alias, "--store", sample_store, answer="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Delete the collection for good? [y/N]: " in refused.stderr


def test_a_table_does_not_replace_other_sources(run, tmp_path: Path) -> None:
    assert run("ingest", "sample", "--languages", "de").exit_code == 0
    titles = tmp_path / "own.tsv"
    titles.write_text("title\nWindenergieanlagenkletterer\n")
    done = run("ingest", "table", titles, "--title", "title", "--language", "de",
               "--variant", "pretrained", "--json")  # fmt: skip
    (summary,) = json.loads(done.stdout)["ingested"]
    assert summary["kept_sources"] == ["sample"]
    hits = json.loads(run("search", "Krankenpfleger", "--to", "de", "--json").stdout)["hits"]
    assert hits[0]["source"] == "sample"


def test_rejected_rows_are_listed(run, tmp_path: Path) -> None:
    titles = tmp_path / "jobs.csv"
    titles.write_text('title\ncook\n""\nwaiter\n')
    command = ("ingest", "table", titles, "--title", "title", "--language", "en")
    refused = run(*command)
    assert refused.exit_code == 1
    assert "rejects-jobs-en.jsonl" in refused.stderr
    (reject,) = map(json.loads, (tmp_path / "rejects-jobs-en.jsonl").read_text().splitlines())
    assert (reject["line"], reject["reason"]) == (3, "empty title")
    assert run(*command, "--max-rejects", 0.5).exit_code == 0


def test_collections_describe_and_verify(run, sample_store) -> None:
    alias = "jobs__de__builtin__finetuned"
    described = run("collections", "describe", alias, "--store", sample_store, "--json")
    data = json.loads(described.stdout)
    assert (data["language"], data["variant"], data["status"]) == ("de", "finetuned", "ready")
    assert data["sources"][0]["source"] == "sample"
    verified = run("collections", "verify", alias, "--store", sample_store)
    assert (verified.exit_code, verified.stdout) == (0, f"{alias}: no problem found\n")
    assert alias in run("collections", "list", "--store", sample_store).stdout
    assert "finetuned" in run("collections", "describe", alias, "--store", sample_store).stdout


def test_models_list(run, models_dir) -> None:
    done = run("models", "list", "--models-dir", models_dir, "--json")
    variants = {m["name"]: m["variants"] for m in json.loads(done.stdout)["models"]}
    assert variants == {"builtin": ["pretrained", "finetuned"], "mpnet": ["pretrained"]}
    assert "nothing to download" in run("models", "list").stdout


def test_eval_sample_in_both_variants(run, models_dir, tmp_path: Path) -> None:
    done = run("eval", "sample", "--pairs", "en-en,en-de", "--models-dir", models_dir,
               "--runs", "runs", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    cells = json.loads(done.stdout)["cells"]
    assert [(c["pair"], c["variant"]) for c in cells] == [
        ("en-en", "pretrained"), ("en-de", "pretrained"),
        ("en-en", "finetuned"), ("en-de", "finetuned"),
    ]  # fmt: skip
    for cell in cells:
        assert cell.keys() >= {"benchmark", "model", "queries", "corpus", "metrics"}
        assert (cell["benchmark"], cell["queries"]) == ("sample", 30)
        # A random ranking of about 175 titles with 4 relevant ones has a MAP near .04.
        assert 0.3 < cell["metrics"]["MAP"] <= 1
    assert len(list((tmp_path / "runs").iterdir())) == 4

    table = run("eval", "sample", "--pairs", "en-en", "--variant", "pretrained").stdout
    assert "sample" in table and "MAP" in table


def test_eval_does_not_change_searches(run) -> None:
    assert run("ingest", "sample", "--languages", "en").exit_code == 0
    before = run("search", "nurse", "--to", "en", "--json").stdout
    assert len(json.loads(before)["hits"]) == 10
    assert run("eval", "sample", "--pairs", "en-en").exit_code == 0
    assert run("search", "nurse", "--to", "en", "--json").stdout == before


@pytest.mark.slow
def test_demo(run) -> None:
    done = run("demo")
    assert done.exit_code == 0, done.output
    assert "MAP" in done.stdout and "nurse" in done.stdout
    assert Path(".demo").is_dir() and not Path(".jobsearch").exists()
    assert done.stderr.index("$ jobsearch ingest") < done.stderr.index("$ jobsearch search")


def leaves(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        return [leaf for c in command.commands.values() for leaf in leaves(c, (*words, c.name))]
    return [(" ".join(words), command)]


@pytest.mark.parametrize(
    ("name", "command"), leaves(main), ids=lambda v: v if isinstance(v, str) else ""
)
def test_every_command_is_documented(run, name: str, command: click.Command) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"jobsearch {name}" in text
    for option in command.params:
        if isinstance(option, click.Option):
            assert re.search(rf"{option.opts[0]}\b", text), f"{name} {option.opts[0]}"
            assert option.help, f"{name} {option.opts[0]} has no help"
    assert run(*name.split(), "--help").exit_code == 0


REPORT_IMPORTS = """
import sys
from jobsearch.cli import main
main(sys.argv[1:], standalone_mode=False)
heavy = ("torch", "sentence_transformers", "transformers", "sklearn", "scipy", "qdrant_client")
print("loaded", [m for m in heavy if m in sys.modules], file=sys.stderr)
from jobsearch.store.embedded.process import EngineProcess
print("engine", EngineProcess._shared, file=sys.stderr)
"""


def run_and_report_imports(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", REPORT_IMPORTS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_heavy_libraries_are_loaded_only_when_needed(run, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    ingest = ("ingest", "sample", "--languages", "en", *store, "--cache-dir", tmp_path / "cache")
    first, second = run(*ingest), run_and_report_imports(*ingest)
    assert "loading builtin finetuned" in first.stderr
    assert "unchanged" not in first.stdout
    assert "loading" not in second.stderr
    assert "loaded []" in second.stderr
    assert "engine None" in second.stderr
    assert second.stdout.count("unchanged") == 2
    search = run_and_report_imports("search", "nurse", "--to", "en", *store)
    assert "hospital nurse" in search.stdout
    assert "loaded ['torch']" in search.stderr


@pytest.mark.slow
def test_two_processes_embed_the_same_vectors(run, tmp_path: Path) -> None:
    options = ("--languages", "en", "--variant", "pretrained", "--json")
    one, two = tmp_path / "one", tmp_path / "two"
    caches = ("--cache-size", "0")

    def data(*words: str) -> Any:
        done = run(*words)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    alone = data("ingest", "sample", *options, *caches, "--store", str(one))
    shared = data("ingest", "sample", *options, *caches, "--workers", "2", "--store", str(two))
    assert alone["ingested"][0]["points"] == shared["ingested"][0]["points"] > 400
    search = ("search", "nurse", "--to", "en", "--variant", "pretrained", "--json")
    found = [data(*search, "--store", str(store))["hits"] for store in (one, two)]
    titles = [[(hit["title"], round(hit["score"], 4)) for hit in hits] for hits in found]
    assert titles[0] == titles[1]


def test_ingest_of_a_table_shows_its_duplicates(run, tmp_path: Path) -> None:
    titles = tmp_path / "jobs.csv"
    titles.write_text('job,code\n"Krankenpfleger; Pfleger",2221\nKRANKENPFLEGER,2221\nKoch,5120\n')
    ingest = ("ingest", "table", titles, "--title", "job", "--isco", "code", "--language", "de",
              "--variant", "pretrained")  # fmt: skip
    done = run(*ingest, "--split-titles", ";")
    header, _, row = done.stdout.splitlines()
    assert header.split() == [
        "alias", "rows", "rejected", "duplicates", "distinct", "texts", "points", "seconds",
        "titles/s",
    ]  # fmt: skip
    assert row.split()[:6] == ["jobs__de__builtin__pretrained", "3", "0", "1", "3", "3"]
    titles.write_text('job\n"Krankenpfleger\nPfleger"\n')
    refused = run("ingest", "table", titles, "--title", "job", "--language", "de")
    assert refused.exit_code == 1
    assert "several lines in one title (`--split-titles` makes each a title)" in refused.stderr
