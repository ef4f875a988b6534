"""The facade: jobsearch.open and what it gives."""

import atexit
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import jobsearch
from jobsearch.api import Jobs
from jobsearch.errors import CollectionNotFound, InvalidInput
from jobsearch.models import Encoder
from jobsearch.settings import Secret, Settings

QUERIES = ["Krankenschwester", "nurse", "cook", "Köchin", "nurse", "  NURSE ", "software developer"]
ALIAS = "jobs__en__builtin__pretrained"


@pytest.fixture
def jobs(sample_store: Path, builtin: Encoder, finetuned: Encoder) -> Iterator[Jobs]:
    """The sample in English, German and Chinese, with encoders that are loaded already."""
    with jobsearch.open(sample_store) as opened:
        opened._encoders = {"pretrained": builtin, "finetuned": finetuned}
        yield opened


@pytest.fixture
def empty(tmp_path: Path, builtin: Encoder) -> Iterator[Jobs]:
    """A store of this test's own, for the pretrained variant."""
    with jobsearch.open(tmp_path / "store", variant="pretrained") as opened:
        opened._encoders = {"pretrained": builtin}
        yield opened


def test_a_table_is_ingested_and_searched(empty: Jobs, tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text(
        "job_title,isco08\nKrankenpfleger,2221\nKoch im Hotel,5120\nMaurer am Bau,7112\n"
    )
    [summary] = empty.ingest(
        table, title="job_title", language="de", isco="isco08", cache_dir=tmp_path / "cache"
    )
    assert (summary.source, summary.points) == ("jobs", 3)
    hits = list(empty.search("nurse", to="de", isco="222", top=5))
    assert [(hit.title, hit.isco) for hit in hits] == [("Krankenpfleger", "2221")]
    assert empty.languages() == {"de": ("pretrained",)}


def test_a_source_is_read_once_for_all_variants(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    rows = jobsearch.SampleSource.rows

    def counted(self, language):
        read.append(language)
        return rows(self, language)

    monkeypatch.setattr(jobsearch.SampleSource, "rows", counted)
    with jobsearch.open(tmp_path / "store") as both:
        both._encoders = jobs._encoders
        done = both.ingest_sample(languages=["en", "de"], cache_mb=0)
    assert read == ["en", "de"]
    assert [(s.alias.split("__")[3], s.language) for s in done] == [
        ("pretrained", "en"),
        ("pretrained", "de"),
        ("finetuned", "en"),
        ("finetuned", "de"),
    ]


def test_each_title_is_normalised_once(
    empty: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest import reading
    from jobsearch import text, types
    from jobsearch.models import cached, encoder

    calls = []

    def counted(title: str) -> str:
        calls.append(title)
        return text.normalize_title(title)

    for module in (reading, types, cached, encoder):
        monkeypatch.setattr(module, "normalize_title", counted)
    [summary] = empty.ingest_sample(languages="en", cache_dir=tmp_path / "cache")
    assert len(calls) == summary.titles


@pytest.mark.parametrize(
    "options",
    [
        {"to": "en"},
        {"to": ["de", "en"], "top": 3},
        {"to": ("EN",), "isco": "2", "kinds": "preferred"},
        {"to": ["en", "de"], "group_by_concept": True, "top": 4},
        {"to": "de", "min_score": 0.5, "variant": "pretrained"},
        {"top": 7, "query_language": "de", "variant": "paper"},
        {"to": "en", "isco": "01"},
    ],
    ids=str,
)
def test_many_queries_get_the_hits_of_single_ones(jobs: Jobs, options: dict) -> None:
    if options.get("variant") == "paper":
        options = {**options, "to": ["de", "en"]}
    one_by_one = [jobs.search(query, exact=True, **options) for query in QUERIES]
    together = jobs.search_many(QUERIES, **options)
    for one, many in zip(one_by_one, together, strict=True):
        assert (many.query, many.normalized) == (one.query, one.normalized)
        assert [hit.point_id for hit in many] == [hit.point_id for hit in one]
        assert [hit.score for hit in many] == pytest.approx([hit.score for hit in one], abs=1e-6)
        assert [hit.others for hit in many] == [hit.others for hit in one]


def test_many_queries_are_embedded_once(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = jobs.encoder("finetuned")
    asked = []
    encode = encoder.encode_queries
    monkeypatch.setattr(
        encoder, "encode_queries", lambda texts: asked.append(list(texts)) or encode(texts)
    )
    assert len(jobs.search_many(QUERIES, to=["en", "de"])) == len(QUERIES)
    assert asked == [["Krankenschwester", "nurse", "cook", "Köchin", "software developer"]]
    assert jobs.search_many([], to="en") == []


def test_strings_are_single_values(jobs: Jobs) -> None:
    assert {hit.isco[:3] for hit in jobs.search("nurse", to="en", isco="222") if hit.isco} == {
        "222"
    }
    assert {hit.kind for hit in jobs.search("nurse", to="en", kinds="preferred")} == {"preferred"}
    with pytest.raises(InvalidInput, match="`queries` is the single text 'nurse'"):
        jobs.search_many("nurse", to="en")
    with pytest.raises(InvalidInput, match="query 1: the query '' has no letter"):
        jobs.search_many(["nurse", ""], to="en")
    with pytest.raises(InvalidInput, match="unknown language 'elvish'"):
        jobs.search("nurse", to="elvish")
    with pytest.raises(CollectionNotFound, match="no titles in fr"):
        jobs.search("nurse", to=["en", "fr"])


def test_evaluate(empty: Jobs, tmp_path: Path) -> None:
    measured = empty.evaluate("sample", pairs=["en-en"], results=tmp_path / "results")
    assert "builtin pretrained" in measured.table()
    [cell] = jobsearch.read_evaluation(tmp_path / "results").cells
    assert cell.metrics == measured.cells[0].metrics
    with pytest.raises(InvalidInput, match="unknown benchmark 'nothing': give one of talentclef"):
        empty.evaluate("nothing")
    with pytest.raises(InvalidInput, match="unknown baseline 'nothing': give one of random"):
        empty.evaluate("sample", baselines="nothing")


def test_a_source_is_removed_and_brought_back(empty: Jobs, tmp_path: Path) -> None:
    table = tmp_path / "own.csv"
    table.write_text("t\nnurse on a ship\ncook on a ship\nteacher of ships\n")
    options = {"cache_dir": tmp_path / "cache"}
    empty.ingest_sample(languages="en", **options)
    [both] = empty.ingest(table, title="t", language="en", **options)
    assert both.kept_sources == ("sample",)

    built = empty.remove_source(ALIAS, "sample")
    assert (built.points, [s.source for s in built.sources]) == (3, ["own"])
    assert {hit.source for hit in empty.search("nurse", to="en")} == {"own"}
    assert empty.verify(ALIAS) == []
    assert empty.rollback(ALIAS) == both.collection
    assert {hit.source for hit in empty.search("nurse on a ship", to="en")} == {"own", "sample"}

    with pytest.raises(InvalidInput, match="has no source 'esco', only sample, own"):
        empty.remove_source(ALIAS, "esco")
    with pytest.raises(InvalidInput, match=f"give the alias {ALIAS}"):
        empty.remove_source(both.collection, "own")
    with pytest.raises(CollectionNotFound):
        empty.remove_source("jobs__fr__builtin__pretrained", "own")


def test_the_last_source_leaves_an_empty_collection(empty: Jobs, tmp_path: Path) -> None:
    [only] = empty.ingest_sample(languages="en", cache_dir=tmp_path / "cache")
    assert empty.remove_source(ALIAS, "sample").points == 0
    assert list(empty.search("nurse", to="en")) == []
    assert list(empty.search_many(["nurse"], to="en")[0]) == []
    assert empty.rollback(ALIAS) == only.collection


def test_threads_share_it(jobs: Jobs) -> None:
    expected = [[hit.point_id for hit in jobs.search(query, to="en")] for query in QUERIES]
    fresh = Jobs(jobs.settings)
    fresh._encoders = jobs._encoders
    with fresh, ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda query: fresh.search(query, to="en"), QUERIES))
            assert [[hit.point_id for hit in result] for result in found] == expected


def best_title(jobs: Jobs) -> str:
    return jobs.search("Krankenschwester", to="en", variant="pretrained").hits[0].title


forked_jobs: Jobs


def best_title_of_forked(_: int) -> str:
    return best_title(forked_jobs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_it_opens_the_store_again(jobs: Jobs) -> None:
    """With a warm engine and warm threads of torch, which a fork does not copy."""
    expected = best_title(jobs)
    jobs.search_many([f"nurse {number}" for number in range(600)], to="en", variant="pretrained")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        queries = ["Krankenschwester", *(f"cook {number}" for number in range(600))]
        many = jobs.search_many(queries, to="en", variant="pretrained")
        answers = [best_title(jobs), many[0].hits[0].title]
        os.write(writer, "\n".join(answers).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        assert (status, pipe.read().split("\n")) == (0, [expected] * 2)
    assert best_title(jobs) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_pool_by_fork_uses_it(jobs: Jobs) -> None:
    global forked_jobs  # noqa: PLW0603 # what a fork copies
    forked_jobs = jobs
    expected = best_title(jobs)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(best_title_of_forked, range(4)).get(120) == [expected] * 4


def test_another_process_opens_it_from_a_pickle(jobs: Jobs) -> None:
    expected = best_title(jobs)
    script = (
        "import pickle, sys; jobs = pickle.loads(sys.stdin.buffer.read()); "
        "print(jobs.search('Krankenschwester', to='en', variant='pretrained').hits[0].title)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(jobs), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == expected


def test_a_key_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(Jobs(Settings(api_key=Secret("key"))))


def test_it_can_be_used_after_it_was_closed(jobs: Jobs) -> None:
    expected = best_title(jobs)
    jobs.close()
    assert best_title(jobs) == expected


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="'jobsearch' has no attribute 'nothing'"):
        jobsearch.nothing  # noqa: B018
    assert {"open", "Jobs", "Filters"} <= set(dir(jobsearch))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_both_processes_ingest_after_a_fork(empty: Jobs, tmp_path: Path) -> None:
    """The engine's process of the parent is not shared with, nor ended by, the new process."""
    options = {"cache_dir": tmp_path / "cache"}
    empty.ingest_sample(languages="en", **options)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            with jobsearch.open(tmp_path / "other", variant="pretrained") as other:
                other._encoders = empty._encoders
                other.ingest_sample(languages="de", **options)
            atexit._run_exitfuncs()
            os._exit(0)
        finally:
            os._exit(1)
    [summary] = empty.ingest_sample(languages="es", **options)
    assert os.waitpid(child, 0)[1] == 0
    [again] = empty.ingest_sample(languages="es", force=True, **options)
    assert again.points == summary.points


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 1e300])
def test_times_that_cannot_be_used(empty: Jobs, tmp_path: Path, number: float) -> None:
    for name in ("timeout_s", "retry_s"):
        with pytest.raises(InvalidInput, match=rf"`{name}` is {re.escape(str(number))}: give 0"):
            jobsearch.open(tmp_path, **{name: number})
    with pytest.raises(InvalidInput, match=rf"`hours` is {re.escape(str(number))}: give 0 to"):
        empty.prune(hours=number)
    with pytest.raises(InvalidInput, match=r"`max_rejects` is .*: give a share"):
        empty.ingest_sample(languages="zh", max_rejects=number, cache_dir=tmp_path)
