"""Builds of shards in a child process that runs the engine.

There are two reasons. The engine holds Python's global lock while it converts and stores points,
which would delay the encoding of titles in the same process. And the engine writes through memory
maps, where a full disk kills the process: here it kills the child, and the parent reports an error.

One child serves all builds of its parent, one request at a time, over two pipes. It starts with the
first build, and again if it died. It ends with its parent: on Linux at once, elsewhere after the
current request. It reads only what its parent sends.
"""

import atexit
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar, cast

from jobsearch.errors import StoreError
from jobsearch.store.embedded.shard import Shard
from jobsearch.store.protocol import PointBatch, ScoredPoint
from jobsearch.types import Filters, VectorStorage
from jobsearch.vectors import Vectors

# Ctrl-C reaches every process of a terminal; the child ignores it, so that the parent decides what
# ends. multiprocessing is not used, as it would import the parent's main script a second time.
_CHILD = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "parent, *rest = sys.argv[1:]; sys.path[:] = rest; "
    "from jobsearch.store.embedded.process import main; main(int(parent))"
)
_PR_SET_PDEATHSIG = 1


class ShardWriter:
    """A new collection in the folder ``path``: a :class:`Shard` in the child process.

    All methods raise ``StoreError`` if the child died; the build is lost in that case.

    Args:
        path: folder of the collection; it is created.
        dim: length of the vectors.
        exact_up_to: up to this number of points, no index is built.
        storage: storage format of the vectors.
    """

    def __init__(
        self, path: Path, dim: int, *, exact_up_to: int, storage: VectorStorage = VectorStorage()
    ) -> None:
        # The child may have another working directory.
        self.path = path.absolute()
        self.dim = dim
        self._engine = EngineProcess.running()
        self._call("create", dim, exact_up_to=exact_up_to, storage=storage)

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._engine.call(self.path, method, *args, **options)

    def upsert(self, points: PointBatch) -> None:
        """Add or replace points that are already checked."""
        self._call("upsert", points)

    def count(self, filters: Filters | None = None) -> int:
        """Count the points that pass the filter; the number is exact."""
        return cast(int, self._call("count", filters))

    def query(
        self, vectors: Vectors, depth: int, filters: Filters | None, *, exact: bool
    ) -> list[list[ScoredPoint]]:
        """Return the ``depth`` nearest points to each vector, in the engine's order."""
        points = self._call("query", vectors, depth, filters, exact=exact)
        return cast(list[list[ScoredPoint]], points)

    def scroll(self, filters: Filters | None, batch_size: int) -> Iterator[PointBatch]:
        """Iterate over the points that pass the filter, sorted by id."""
        return iter(cast(Sequence[PointBatch], self._call("scroll", filters, batch_size)))

    def seal(self) -> None:
        """Build the index, write everything to disk and close; see :meth:`Shard.seal`."""
        self._call("seal")

    def close(self) -> None:
        """Abandon the build and release its files."""
        # If the child died, its files are already released.
        with suppress(StoreError):
            self._call("close")


class EngineProcess:
    """The parent's handle of the child process."""

    _shared: ClassVar["EngineProcess | None"] = None
    _starting: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def running(cls) -> "EngineProcess":
        """Return this process's child; start one if needed, without waiting for it."""
        with cls._starting:
            if cls._shared is None or cls._shared._process.poll() is not None:
                cls._shared = cls()
            return cls._shared

    @classmethod
    def forget(cls) -> None:
        """Give up the child, without ending it: after a fork it belongs to the other process."""
        cls._starting = threading.Lock()
        if cls._shared is not None:
            atexit.unregister(cls._shared._end)
            cls._shared = None

    def __init__(self) -> None:
        self._calling = threading.Lock()
        started: Future[subprocess.Popen[bytes]] = Future()
        # On Linux the child ends with the thread that started it: keep it alive.
        threading.Thread(target=_run_child, args=(started,), daemon=True).start()
        self._process = started.result()
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        atexit.register(self._end)

    def call(self, path: Path, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of a shard in the child; return its result or raise its error.

        Raises:
            StoreError: the child died.
        """
        request = pickle.dumps((path, method, args, options), protocol=5)
        with self._calling:
            try:
                self._requests.write(request)
                self._requests.flush()
                failed, answer = pickle.load(self._answers)  # noqa: S301
            except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
                raise self._death_error(path) from error
            except BaseException:
                # Interrupted: the pending answer must not be taken for the next one.
                self._end()
                raise
        if failed:
            raise answer
        return answer

    def _death_error(self, path: Path) -> StoreError:
        with suppress(OSError):
            self._requests.close()
        code = self._process.wait()
        self._end()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return StoreError(
            f"the embedded engine died ({how}) while {path} was being built: check whether the "
            "disk or the memory is full, then ingest again"
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._requests.close()
        self._answers.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=EngineProcess.forget)


def _run_child(started: "Future[subprocess.Popen[bytes]]") -> None:
    """Start the child and wait until it ends."""
    try:
        child = subprocess.Popen(  # noqa: S603 # our own interpreter and code
            [sys.executable, "-c", _CHILD, str(os.getpid()), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except BaseException as error:
        started.set_exception(error)
        return
    started.set_result(child)
    child.wait()


def main(parent: int) -> None:
    """Run the child of the process ``parent``."""
    if sys.platform == "linux":
        # A thread cannot watch the parent: the engine holds Python's lock while it builds an index.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    # Output that the engine prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The parent may end at any time, even in the middle of a request.
    with suppress(OSError, EOFError, pickle.UnpicklingError):
        serve(sys.stdin.buffer, answers)
    # Exit at once: shards that are still open belong to abandoned builds.
    os._exit(0)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests in order until ``EOFError``.

    A request is pickled as (path, method, arguments, options), an answer as (failed, result or
    error).
    """
    shards: dict[Path, Shard] = {}
    while True:
        path, method, args, options = pickle.load(requests)  # noqa: S301
        failed, outcome = False, None
        try:
            if method == "create":
                shards[path] = Shard(path, *args, **options, new=True)
            else:
                closing = method in ("seal", "close")
                shard = shards.pop(path) if closing else shards[path]
                outcome = getattr(shard, method)(*args, **options)
                outcome = list(outcome) if isinstance(outcome, Iterator) else outcome
        except BaseException as error:  # the engine's panics are not subclasses of Exception
            failed, outcome = True, _portable(error)
        pickle.dump((failed, outcome), answers, protocol=5)
        answers.flush()


def _portable(error: BaseException) -> BaseException:
    """Return the error, or a replacement that can be pickled, with its traceback as a note."""
    note = f"in the engine's process: {''.join(traceback.format_exception(error))}"
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return RuntimeError(note)
    copy.add_note(note)
    return copy
