"""Many processes use one store at the same time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import indent

import pytest
from titles import ALIAS, COUNT, POINTS, TITLES, VECTORS, batch, build

from jobsearch.store import PointBatch, Store, open_store

pytestmark = pytest.mark.slow

READERS, NEWCOMERS, SWAPS = 8, 3, 12


def reading_script(prepare: str, read: str) -> str:
    """Return a script that reads a store repeatedly until its stdin is closed.

    ``read`` adds errors to ``wrong`` and counts answers in ``answers``; the script prints both.
    """
    return f"""
import json, sys, threading
from collections import Counter
from contextlib import closing
import numpy as np
from jobsearch.store import open_store
{prepare}
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
answers, wrong = Counter(), []
print("ready", flush=True)
while not ended.is_set() or not answers:
    try:
{indent(read, " " * 8)}
    except Exception as error:
        wrong.append(repr(error))
print(json.dumps([wrong, answers]))
"""


#: Queries all points; an answer is the name of the build that they belong to.
READER = reading_script(
    "store, queries = open_store(sys.argv[1]), np.load(sys.argv[2])",
    f"""\
[hits] = store.query({ALIAS!r}, queries, limit={COUNT})
builds = {{hit.payload["run_id"] for hit in hits}}
if len(hits) != {COUNT} or len(builds) != 1:
    wrong.append([len(hits), sorted(builds)])
answers.update(builds)""",
)

#: Reopens the store for every read; an answer is the number of titles.
NEWCOMER = reading_script(
    "",
    f"""\
with closing(open_store(sys.argv[1])) as store:
    answers[store.count({ALIAS!r})] += 1""",
)


def of_build(number: int) -> PointBatch:
    payloads = [{**payload, "run_id": f"build {number}"} for payload in POINTS.payloads]
    return PointBatch(POINTS.ids, POINTS.vectors, payloads)


@contextmanager
def reading(count: int, script: str, *arguments: Path) -> Iterator["list[subprocess.Popen[str]]"]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    readers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        yield readers
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def test_readers_see_the_old_build_or_the_new_one(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "queries.npy", POINTS.vectors[:1])
    with closing(open_store(str(tmp_path / "store"))) as store:
        build(store, of_build(0))
        with reading(READERS, READER, tmp_path / "store", tmp_path / "queries.npy") as readers:
            for number in range(1, SWAPS):
                build(store, of_build(number))
            store.rollback(ALIAS)
            results = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]
    assert [wrong for wrong, _ in results] == [[]] * READERS
    seen = {name for _, answers in results for name in answers}
    assert len(seen) > 1


def test_a_reader_that_opens_the_store_sees_the_old_build_or_the_new_one(tmp_path: Path) -> None:
    """A swap deletes the files of an older build, which another process may be opening."""
    sizes = range(COUNT, COUNT // 2 - 1, -3)
    with closing(open_store(str(tmp_path / "store"))) as store:
        build(store, POINTS)
        with reading(NEWCOMERS, NEWCOMER, tmp_path / "store") as readers:
            for size in sizes[1:]:
                build(store, batch(TITLES[:size], VECTORS[:size]))
            results = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]
    assert [wrong for wrong, _ in results] == [[]] * NEWCOMERS
    assert {int(count) for _, counts in results for count in counts} <= set(sizes)


INGEST = "from jobsearch.cli import main; main()"


@pytest.mark.parametrize("language", ["de"])
def test_of_simultaneous_ingests_one_wins(tmp_path: Path, language: str) -> None:
    options = ["--languages", language, "--variant", "pretrained", "--store", str(tmp_path / "s")]
    options += ["--cache-dir", str(tmp_path / "cache"), "--force", "--json"]
    command = [sys.executable, "-c", INGEST, "ingest", "sample", *options]
    racing = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = [each.communicate(timeout=300) for each in racing]
    codes = [each.returncode for each in racing]
    assert set(codes) <= {0, 1}
    assert 0 in codes
    for code, (_, message) in zip(codes, outputs, strict=True):
        if code:
            assert "is locked by process" in message or "another ingest was faster" in message
    with closing(open_store(str(tmp_path / "s"))) as store:
        [alias] = store.aliases()
        assert store.verify(alias) == []
        ingested = [each for out, _ in outputs if out for each in json.loads(out)["ingested"]]
        assert {store.count(alias)} == {each["points"] for each in ingested}
        assert_no_leftovers(store)


def assert_no_leftovers(store: Store) -> None:
    assert {info.metadata.status for info in store.collections()} == {"ready"}
