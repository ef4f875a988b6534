"""Bad input: an error of one line with fault, place and remedy, and the right exit code."""

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import click
import pytest
from test_commands import leaves

from jobsearch.cli import main
from jobsearch.cli.options import Place
from jobsearch.store.embedded.engine_files import _copy as copy_without_holes

HEADER = "conceptUri,iscoGroup,preferredLabel,altLabels,hiddenLabels\n"


def refused(result, exit_code: int, *parts: str) -> None:
    """Check for an error line that contains ``parts``, and that nothing was stored."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.lower().startswith("error: ")
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in last
    assert not Path(".jobsearch", "manifest.json").exists()


def test_missing_path(run) -> None:
    refused(run("ingest", "esco", "nowhere"), 1, "nowhere", "does not exist")
    refused(run("eval", "talentclef", "nowhere"), 1, "nowhere", "does not exist")
    refused(run("ingest", "table", "x.csv", "--title", "t", "--language", "en"), 1, "x.csv")


def test_folder_without_an_esco_export(run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    refused(run("ingest", "esco", "other"), 1, "no ESCO export", "occupations_<language>.csv")
    refused(run("ingest", "talentclef", "other"), 1, "no TalentCLEF task A")


def test_zip_bomb(run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("occupations_en.csv", b"0" * 50_000_000)
    refused(run("ingest", "esco", "bomb.zip"), 1, "not safe", "200 times its size")


@pytest.mark.parametrize("name", ["../occupations_en.csv", "/etc/occupations_en.csv"])
def test_archive_member_outside_the_folder(run, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr(name, HEADER)
    refused(run("ingest", "esco", "slip.zip"), 1, "has a path outside the archive")
    assert [p.name for p in tmp_path.iterdir()] == ["slip.zip"]


def test_utf_16(run, tmp_path: Path) -> None:
    (tmp_path / "occupations_en.csv").write_text(HEADER, encoding="utf-16")
    refused(run("ingest", "esco", "."), 1, "not UTF-8", "iconv -f UTF-16 -t UTF-8")


def test_empty_file(run, tmp_path: Path) -> None:
    (tmp_path / "occupations_en.csv").write_text("")
    refused(run("ingest", "esco", "."), 1, "is empty")
    (tmp_path / "t.jsonl").write_text("")
    refused(
        run("ingest", "table", "t.jsonl", "--title", "t", "--language", "en"), 1, "no JSON object"
    )


def test_titles_in_another_language(run, esco, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    shutil.copy(esco / "en" / "occupations_en.csv", tmp_path / "wrong" / "occupations_es.csv")
    refused(run("ingest", "esco", "wrong"), 1, "look English", "--language-check off")


def test_sample_in_another_language(run) -> None:
    from ingest.sources.esco import SAMPLE_FOLDER

    shutil.copy(SAMPLE_FOLDER / "occupations_en.csv", "occupations_de.csv")
    refused(run("ingest", "esco", "."), 1, "English", "--language-check off")


def test_corpus_in_another_language(run, talentclef, tmp_path: Path) -> None:
    """The mistake behind the low cross-lingual scores of a run at TalentCLEF 2025."""
    task = tmp_path / "TaskA" / "validation" / "spanish"
    shutil.copytree(talentclef / "validation" / "english", task)
    refused(run("eval", "talentclef", "TaskA"), 1, "English", "--language-check off")


@pytest.mark.parametrize("query", ["", "  ", "x" * 10_000, "///"])
def test_invalid_queries(run, sample_store, query: str) -> None:
    result = run("search", query, "--to", "en", "--variant", "pretrained", "--store", sample_store)
    refused(result, 2, "give a job title")
    assert len(result.stderr) < 400


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--to", "xx"), "unknown language 'xx'"),
        (("--to", ""), "the list is empty"),
        (("--isco", "99"), "unknown ISCO-08 code '99'"),
        (("--top", "0"), "`--top` is 0"),
        (("--min-score", "7"), "`--min-score` is 7.0: give a cosine in -1 to 1"),
        (("--from", "en,de"), "give one language"),
        (("--variant", "paper"), "give `--from`"),
    ],
)
def test_invalid_options(run, sample_store, options, says: str) -> None:
    refused(run("search", "cook", "--store", sample_store, *options), 2, says)


@pytest.mark.parametrize(
    ("pair", "says"), [("en", "write it as en-es"), ("en-xx", "unknown language")]
)
def test_invalid_pairs(run, pair: str, says: str) -> None:
    refused(run("eval", "sample", "--pairs", pair), 2, says)
    refused(run("eval", "sample", "--pairs", "de-zh"), 1, "its pairs are")


def test_language_without_titles(run, sample_store) -> None:
    refused(run("search", "cook", "--to", "fr", "--store", sample_store), 1, "no titles in fr")
    refused(run("search", "cook", "--to", "en"), 1, "jobsearch ingest sample")
    refused(run("ingest", "sample", "--languages", "fr"), 2, "only in")


def test_store_of_another_model(run, sample_store, builtin, tmp_path: Path) -> None:
    """Same name and dimension, different weights."""
    import torch

    network = deepcopy(builtin.network)
    with torch.no_grad():
        network[1].dense3.weight.mul_(0.5)
    network.as_sentence_transformer().save(str(tmp_path / "models" / "builtin" / "finetuned"))
    result = run("search", "cook", "--to", "en", "--variant", "finetuned", "--store", sample_store)
    refused(result, 1, "does not fit", "weights_sha256", "Ingest the titles again")


def test_unknown_model_and_missing_variant(run) -> None:
    refused(run("ingest", "sample", "--model", "no such"), 1, "no model 'no such'")
    result = run("ingest", "sample", "--model", "mpnet", "--variant", "finetuned")
    refused(result, 1, "mpnet has no finetuned variant")


def test_model_that_is_not_downloaded(run, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    result = run("ingest", "sample", "--model", "jobsearch-tests/not-there")
    refused(result, 1, "hf download jobsearch-tests/not-there")


def test_damaged_store(run, sample_store, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_without_holes(sample_store, copy)
    largest = max((p for p in copy.rglob("*en__builtin__pretrained*/**/*") if p.is_file()),
                  key=lambda p: p.stat().st_size)  # fmt: skip
    with largest.open("r+b") as file:
        file.truncate(100)
    search = ("search", "cook", "--to", "en", "--variant", "pretrained", "--store", copy)
    refused(run(*search), 1, "damaged", "ingest the titles again")
    assert (
        run("collections", "verify", "jobs__en__builtin__pretrained", "--store", copy).exit_code
        == 1
    )
    (copy / "manifest.json").write_text("{")
    refused(run(*search), 1, "manifest.json")


def test_folder_with_other_files(run, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "letter.txt").write_text("dear")
    result = run("ingest", "sample", "--languages", "zh", "--store", "documents")
    refused(result, 1, "documents")
    assert [p.name for p in (tmp_path / "documents").iterdir()] == ["letter.txt"]


def test_store_locked_by_another_process(run, tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from jobsearch.store import open_store\n"
         "with open_store(sys.argv[1]).build_lock('jobs__zh__builtin__pretrained'):\n"
         "    print('locked', flush=True); sys.stdin.read()",
         str(tmp_path / "store")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert other.stdout.readline() == "locked\n"
        result = run("ingest", "sample", "--languages", "zh", "--store", "store")
        refused(result, 1, str(other.pid))
    finally:
        other.communicate("")
    assert run("ingest", "sample", "--languages", "zh", "--store", "store").exit_code == 0


def test_qdrant_down(run) -> None:
    result = run("search", "cook", "--to", "en", "--store", "http://127.0.0.1:9")
    refused(result, 3, "http://127.0.0.1:9", "docker compose up -d")


def test_key_over_plain_http(run, monkeypatch) -> None:
    monkeypatch.setenv("JOBSEARCH_API_KEY", "secret-key")
    result = run("search", "cook", "--to", "en", "--store", "http://example.org:6333")
    refused(result, 2, "https")
    assert "secret-key" not in result.output


def test_debug_shows_the_traceback_of_unexpected_errors(run, monkeypatch) -> None:
    def broken(*_args):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("jobsearch.models.known_models", broken)
    short = run("models", "list")
    assert short.exit_code == 1
    assert "unexpected error: RuntimeError: broken on purpose" in short.stderr
    assert "Traceback" not in short.stderr
    assert isinstance(run("--debug", "models", "list").exception, RuntimeError)


@pytest.mark.parametrize(
    ("reason", "message"),
    [("", "not enough memory: end"), ("Unable to allocate 9 GiB", "(Unable to allocate 9 GiB)")],
)
def test_out_of_memory(run, monkeypatch, reason: str, message: str) -> None:
    def greedy(*_args):
        raise MemoryError(reason)

    monkeypatch.setattr("jobsearch.models.known_models", greedy)
    refused(run("models", "list"), 1, message, "fewer titles at a time")


def test_deleted_working_directory(run, tmp_path: Path, monkeypatch) -> None:
    # transformers resolves a relative path when it is imported.
    monkeypatch.setattr("jobsearch.models.known_models", lambda _: Path("src").resolve())
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused(run("models", "list"), 1, "the working directory was deleted: change to one that")


def test_a_failed_ingest_changes_nothing(run, tmp_path: Path) -> None:
    titles = tmp_path / "jobs.csv"
    titles.write_text("title\ncook\nwaiter\n")
    command = ("ingest", "table", titles, "--title", "title", "--language", "en", "--json")
    assert run(*command).exit_code == 0
    before = run("search", "cook", "--to", "en", "--json").stdout
    assert json.loads(before)["hits"][0]["title"] == "cook"
    titles.write_text("title\n" + '"\n' * 5)
    assert run(*command).exit_code == 1
    assert run("search", "cook", "--to", "en", "--json").stdout == before
    assert len(json.loads(run("collections", "list", "--json").stdout)["collections"]) == 2


def test_control_characters_in_titles_are_escaped(run, tmp_path: Path) -> None:
    title = "waiter\x1b]0;owned\x07\x1b[2J\x9b31m \u202erevo"
    (tmp_path / "jobs.jsonl").write_text(json.dumps({"title": title}) + "\n")
    table = ("ingest", "table", "jobs.jsonl", "--title", "title", "--language", "en")
    assert run(*table, "--variant", "pretrained", "--language-check", "off").exit_code == 0
    search = ("search", "waiter", "--to", "en", "--variant", "pretrained")
    shown = run(*search).output
    assert "waiter\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m \\u202erevo" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    # JSON has the title as it was stored.
    assert json.loads(run(*search, "--json").stdout)["hits"][0]["title"] == title


def test_control_characters_in_messages_are_escaped(run) -> None:
    name = "no\x1b]0;owned\x07 \u202emodel"
    refused(
        run("models", "plot", f"{name}.zip", "--output", "a.png"), 1, "no\\u001b]0;owned\\u0007"
    )


def test_filters_with_invalid_unicode(run, sample_store) -> None:
    for option in ("--concept", "--source", "--split"):
        options = ("--to", "en", "--variant", "pretrained", "--store", sample_store)
        refused(run("search", "cook", option, "\udcff", *options), 2, r"'\udcff' is not valid")


def test_broken_pipe_is_silent(sample_store) -> None:
    jobsearch = Path(sys.executable).parent / "jobsearch"
    done = subprocess.run(
        f"{jobsearch} collections list --store {sample_store} | true",
        shell=True, check=False, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def places() -> list[tuple[list[str], click.Parameter]]:
    """Every parameter that takes a path, with the words of its command."""
    return [
        (name.split(), param)
        for name, command in leaves(main)
        for param in command.params
        if isinstance(param.type, click.Path)
    ]


def test_an_empty_variable_counts_as_not_set(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STORE", "MODEL", "MODELS", "CACHE_DIR", "LOG_FORMAT", "API_KEY"):
        monkeypatch.setenv(f"JOBSEARCH_{name}", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert run("ingest", "sample", "--languages", "zh").exit_code == 0
    assert (tmp_path / ".jobsearch").is_dir()
    assert (tmp_path / "cache" / "jobsearch").is_dir()
    assert run("search", "cook", "--to", "zh").exit_code == 0


@pytest.mark.parametrize(
    ("words", "param"), places(), ids=lambda v: " ".join(v) if isinstance(v, list) else v.name
)
def test_an_empty_path_is_not_the_working_directory(run, words, param) -> None:
    """A shell variable that is not set becomes an empty path."""
    command = main
    for word in words:
        command = command.commands[word]
    given: list[object] = []
    for each in command.params:
        if each is param or each.required:
            # Paths are checked in order, so the paths before the empty one must be valid.
            is_folder = not getattr(each.type, "file_okay", False)
            valid = Path(__file__).parent if is_folder else Path(__file__)
            value = "" if each is param else valid
            given += [each.opts[0], value] if isinstance(each, click.Option) else [value]
    result = run(*words, *given)
    refused(result, 2, "it is empty")


def test_every_path_parameter_is_a_place() -> None:
    assert {type(param.type) for _, param in places()} == {Place}
    assert {param.name for _, param in places()} >= {
        "store", "to", "model", "models_dir", "cache_dir", "embed_to", "results", "runs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("store", "url"),
    [
        ("localhost:6333", "http://localhost:6333"),
        ("qdrant.example.org", "https://qdrant.example.org:6333"),
        ("http:/host", "http://host:6333"),
        ("https//host", "https://host:6333"),
        (":memory:", "http://localhost:6333"),
    ],
)
def test_a_server_without_a_url_is_not_a_folder(run, tmp_path: Path, store: str, url: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ("ingest", "sample", "--languages", "zh", "--store", store),
        ("search", "cook", "--store", store),
        ("collections", "migrate", "--to", store),
    ):
        result = run(*command)
        refused(result, 2, url)
    assert sorted(tmp_path.rglob("*")) == before


def test_drop_does_not_deny_an_alias(run, sample_store) -> None:
    alias = "jobs__zh__builtin__pretrained"
    done = run("collections", "drop", alias, "--yes", "--store", sample_store)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{alias} is an alias, whose live build {alias}__" in done.stderr
    assert "no collection" not in done.stderr


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize(
    "words",
    [
        ("search", "cook", "--timeout"),
        ("search", "cook", "--retry"),
        ("search", "cook", "--min-score"),
        ("collections", "prune", "--yes", "--hours"),
        ("ingest", "sample", "--max-rejects"),
        ("train", "sample", "--learning-rate"),
        ("plan", "--titles", "1M", "--node-memory-gb"),
    ],
    ids=lambda words: words[-1],
)
def test_numbers_that_are_not_finite(run, words: tuple[str, ...], number: str) -> None:
    refused(run(*words, number), 2, words[-1])


def test_numbers_that_are_too_large(run) -> None:
    refused(run("search", "cook", "--timeout", "1e9"), 2, "--timeout", "604800")
    refused(run("collections", "prune", "--yes", "--hours", "1e9"), 2, "`--hours` is 1000000000.0")


def test_lone_surrogates_are_printed_as_escapes(
    run, sample_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line has them for bytes that are not UTF-8."""
    # Processes of tests cannot send a captured log with such characters to one another.
    monkeypatch.setattr(logging.getLogger("jobsearch"), "propagate", False)
    query = "\udcffcook\udc80"
    options = ("--to", "en", "--variant", "pretrained", "--store", sample_store)
    found = run("search", query, *options, "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["query"] == query
    assert "\\udcffcook" in found.stdout
    made = run(
        "collections", "snapshot", "jobs__en__builtin__pretrained", query, "--store", sample_store
    )
    assert made.exit_code == 0, made.output
    assert made.stdout.endswith("points -> \\udcffcook\\udc80\n")
    shown = run("--log-format", "json", "collections", "verify", query, "--store", sample_store)
    assert query in json.loads(shown.stderr)["message"]
