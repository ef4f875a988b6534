"""The engine's process: its answers, and the death of the process or of its parent."""

import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from titles import ALIAS, COUNT, DIM, POINTS, TITLES, VECTORS, batch, build, encoder_info, metadata

from jobsearch.errors import StoreError
from jobsearch.store.embedded import process as engine_process
from jobsearch.store.embedded.process import EngineProcess, ShardWriter, serve
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.store.metadata import build_name


@pytest.fixture
def writer(tmp_path: Path) -> ShardWriter:
    return ShardWriter(tmp_path / "shard", DIM, exact_up_to=50_000)


#: An engine that prints to stdout in two ways, fails with an exception that cannot be pickled, and
#: blocks.
STRANGE = """
import ctypes, os, sys
parent, *rest = sys.argv[1:]
sys.path[:] = rest
from jobsearch.store.embedded import process

class Foreign(BaseException):
    def __reduce__(self):
        raise TypeError("cannot be pickled")

class Strange(process.Shard):
    def count(self, filters=None):
        os.write(1, b"a line of the engine\\n")
        print("another line", flush=True)
        return super().count(filters)

    def scroll(self, filters, batch_size):
        raise Foreign("panicked at row 7")

    def seal(self):
        # Holds Python's lock, as the engine does while it builds an index.
        ctypes.PyDLL(None).sleep(60)

process.Shard = Strange
process.main(int(parent))
"""


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardWriter]:
    """A writer in a new process that runs the strange engine."""
    monkeypatch.setattr(engine_process, "_CHILD", STRANGE)
    monkeypatch.setattr(EngineProcess, "_shared", None)
    yield ShardWriter(tmp_path / "strange", DIM, exact_up_to=50_000)
    kill(EngineProcess.running())


def kill(process: EngineProcess) -> None:
    process._process.send_signal(signal.SIGKILL)
    process._process.wait(20)


def test_a_writer_answers_like_a_shard(writer: ShardWriter) -> None:
    writer.upsert(POINTS)
    assert writer.count() == COUNT
    found = writer.query(POINTS.vectors[:1], 1, None, exact=True)
    assert found[0][0].id == POINTS.ids[0]
    assert sum(len(points) for points in writer.scroll(None, 7)) == COUNT


def test_the_live_collection_survives_the_death_of_the_engine(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "store")
    live = build(store, POINTS)
    name = build_name(ALIAS, encoder_info())
    store.create(name, metadata(COUNT))
    kill(EngineProcess.running())
    with pytest.raises(StoreError, match=r"engine died \(signal 9\).*ingest again"):
        store.upsert(name, POINTS)
    assert store.count(ALIAS) == COUNT
    assert store.aliases()[ALIAS] == live
    store.drop(name)
    # The next build starts a new process.
    assert store.aliases()[ALIAS] == live != build(store, POINTS)
    store.close()


IDLE = """
from jobsearch.store.embedded.process import EngineProcess
import time
print(EngineProcess.running()._process.pid, flush=True)
time.sleep(60)
"""
BUSY = f"""
from pathlib import Path
from jobsearch.store.embedded import process
process._CHILD = {STRANGE!r}
shard = process.ShardWriter(Path("shard"), 16, exact_up_to=100)
print(shard._engine._process.pid, flush=True)
shard.seal()
"""


@pytest.mark.parametrize("script", [IDLE, BUSY], ids=["idle", "busy"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_engine_ends_with_its_parent(script: str, end: signal.Signals, tmp_path: Path) -> None:
    if script == BUSY and sys.platform != "linux":
        pytest.skip("only Linux can end a process with its parent")
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.send_signal(end)
    parent.wait(20)
    parent.stdout.close()
    for _ in range(200):
        if not runs(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the engine still runs after its parent has ended")


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_several_builds_at_the_same_time(tmp_path: Path) -> None:
    counts: dict[int, int] = {}

    def fill(number: int) -> None:
        shard = ShardWriter(tmp_path / str(number), DIM, exact_up_to=50_000)
        for start in range(0, 40, 10):
            points = batch(TITLES[start : start + 10], VECTORS[start : start + 10])
            shard.upsert(points)
        counts[number] = shard.count()
        shard.seal()

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {0: 40, 1: 40, 2: 40}


def test_errors_are_raised_in_the_parent(writer: ShardWriter, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError) as raised:
        ShardWriter(writer.path, DIM, exact_up_to=50_000)
    assert "in the engine's process" in raised.value.__notes__[0]
    # The process still answers.
    assert writer.count() == 0


def test_output_of_the_engine_does_not_mix_with_answers(
    strange: ShardWriter, capfd: pytest.CaptureFixture[str]
) -> None:
    strange.upsert(POINTS)
    assert [strange.count(), strange.count()] == [COUNT, COUNT]
    assert capfd.readouterr().out == ""


def test_an_error_that_cannot_be_pickled(strange: ShardWriter) -> None:
    with pytest.raises(RuntimeError, match=r"in the engine's process: (?s:.*)panicked at row 7"):
        strange.scroll(None, 5)
    assert strange.count() == 0


def test_a_request_that_cannot_be_pickled(writer: ShardWriter) -> None:
    with pytest.raises(Exception, match="lambda"):
        writer.count(lambda: None)  # type: ignore[arg-type]
    assert writer.count() == 0


INTERRUPTED = f"""
import signal, sys
# A test run in the background may have inherited that the signal is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(Path(__file__).parent)!r})
from titles import COUNT, POINTS, encoder_info, metadata
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.store.metadata import build_name
store = EmbeddedStore(sys.argv[1])
with store.build_lock(sys.argv[2]):
    name = build_name(sys.argv[2], encoder_info())
    store.create(name, metadata(COUNT))
    try:
        print("building", flush=True)
        while True:
            store.upsert(name, POINTS)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        store.drop(name)
"""


def test_ctrl_c_only_reaches_the_parent(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with closing(EmbeddedStore(path)) as store:
        live = build(store, POINTS)
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(path), ALIAS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "building\n"
        os.killpg(parent.pid, signal.SIGINT)
        try:
            out, err = parent.communicate(timeout=30)
        finally:
            parent.kill()
    assert (parent.returncode, out, err) == (0, "interrupted\n", "")
    with closing(EmbeddedStore(path)) as store:
        assert store.aliases() == {ALIAS: live}
        assert [info.name for info in store.collections()] == [live]


def test_an_interrupted_answer_is_not_read_as_the_next(
    writer: ShardWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(stream: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine_process.pickle, "load", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.count()
    with pytest.raises(StoreError, match=r"engine died \(signal 9\)"):
        writer.count()
    writer.close()
    assert ShardWriter(tmp_path / "next", DIM, exact_up_to=50_000).count() == 0


def test_requests_and_answers(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    requests, answers = io.BytesIO(), io.BytesIO()
    for request in (
        (path, "create", (DIM,), {"exact_up_to": 50_000}),
        (path, "upsert", (POINTS,), {}),
        (path, "count", (), {}),
        (path, "scroll", (None, 5), {}),
        (path, "no_such_method", (), {}),
        (path, "close", (), {}),
        (path, "count", (), {}),
    ):
        pickle.dump(request, requests)
    requests.seek(0)
    with pytest.raises(EOFError):
        serve(requests, answers)
    answers.seek(0)
    results = [pickle.load(answers) for _ in range(7)]
    assert [failed for failed, _ in results] == [False, False, False, False, True, False, True]
    assert results[2][1] == COUNT
    assert np.concatenate([points.vectors for points in results[3][1]]).shape == (COUNT, DIM)
    assert isinstance(results[4][1], AttributeError)
    assert isinstance(results[6][1], KeyError)
