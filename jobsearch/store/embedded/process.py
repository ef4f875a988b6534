"""Shards that are being built, in a process of the engine's own.

Making points and taking them in both hold Python's lock: in the process that encodes titles they
would hold up the encoding. And the engine writes through memory maps, where a full disk ends the
process: here that is a child, and its parent goes on with an error that says so.

One child serves all builds of a process, a request at a time, over two pipes. It is started when a
build begins (anew, if it died), ends when its parent does (on Linux at once, elsewhere when the
request under way is done), and reads nothing but what its parent sends.
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

# Ctrl-C reaches every process of a terminal: what it ends is for the parent to say. A start by
# multiprocessing would import the parent's main script a second time.
_CHILD = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "parent, *rest = sys.argv[1:]; sys.path[:] = rest; "
    "from jobsearch.store.embedded.process import main; main(int(parent))"
)
_PR_SET_PDEATHSIG = 1


class ShardWriter:
    """A new collection in the folder ``path``: a :class:`Shard` in the engine's process.

    All methods raise ``StoreError`` if that process died; what was being built is lost then.

    Args:
        path: its folder, made here.
        dim: length of the vectors.
        exact_up_to: number of points up to which no index is built.
        storage: how the vectors are kept.
    """

    def __init__(
        self, path: Path, dim: int, *, exact_up_to: int, storage: VectorStorage = VectorStorage()
    ) -> None:
        # The process may have been started in another working directory.
        self.path = path.absolute()
        self.dim = dim
        self._engine = EngineProcess.running()
        self._ask("create", dim, exact_up_to=exact_up_to, storage=storage)

    def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        return self._engine.ask(self.path, method, *args, **options)

    def upsert(self, points: PointBatch) -> None:
        """Add or replace checked points."""
        self._ask("upsert", points)

    def count(self, filters: Filters | None = None) -> int:
        """Exact number of points that pass the filter."""
        return cast(int, self._ask("count", filters))

    def query(
        self, vectors: Vectors, depth: int, filters: Filters | None, *, exact: bool
    ) -> list[list[ScoredPoint]]:
        """The ``depth`` nearest points to each vector, as the engine orders them."""
        found = self._ask("query", vectors, depth, filters, exact=exact)
        return cast(list[list[ScoredPoint]], found)

    def scroll(self, filters: Filters | None, batch_size: int) -> Iterator[PointBatch]:
        """All points that pass the filter, sorted by id."""
        return iter(cast(Sequence[PointBatch], self._ask("scroll", filters, batch_size)))

    def seal(self) -> None:
        """Build the index, write everything to disk and close; see :meth:`Shard.seal`."""
        self._ask("seal")

    def close(self) -> None:
        """Give it up and release its files."""
        # If the process died it holds nothing any more.
        with suppress(StoreError):
            self._ask("close")


class EngineProcess:
    """The child, seen from its parent."""

    _shared: ClassVar["EngineProcess | None"] = None
    _starting: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def running(cls) -> "EngineProcess":
        """The child of this process; starts one if there is none, and does not wait for it."""
        with cls._starting:
            if cls._shared is None or cls._shared._process.poll() is not None:
                cls._shared = cls()
            return cls._shared

    def __init__(self) -> None:
        self._asking = threading.Lock()
        started: Future[subprocess.Popen[bytes]] = Future()
        # It ends with the thread that started it, so that one stays.
        threading.Thread(target=_attend, args=(started,), daemon=True).start()
        self._process = started.result()
        self._requests = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)
        atexit.register(self._end)

    def ask(self, path: Path, method: str, *args: Any, **options: Any) -> Any:
        """Have a method of the shard in ``path`` called, and give or raise what that did.

        Raises:
            StoreError: the process died.
        """
        request = pickle.dumps((path, method, args, options), protocol=5)
        with self._asking:
            try:
                self._requests.write(request)
                self._requests.flush()
                failed, answer = pickle.load(self._answers)  # noqa: S301
            except (OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
                raise self._death(path) from error
            except BaseException:
                # Interrupted: the answer that is still to come must not be taken for the next one.
                self._end()
                raise
        if failed:
            raise answer
        return answer

    def _death(self, path: Path) -> StoreError:
        with suppress(OSError):
            self._requests.close()
        code = self._process.wait()
        self._end()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return StoreError(
            f"the embedded engine died ({how}) while {path} was being built: look whether the disk "
            "or the memory is full, then ingest again"
        )

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._requests.close()
        self._answers.close()


def _attend(started: "Future[subprocess.Popen[bytes]]") -> None:
    """Start the child and wait for its end."""
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
    """What the child of the process ``parent`` runs."""
    if sys.platform == "linux":
        # No thread could watch: the engine keeps Python's lock for as long as it makes an index.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
    # Whatever the engine prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The parent may end at any time, in the middle of a request too.
    with suppress(OSError, EOFError, pickle.UnpicklingError):
        serve(sys.stdin.buffer, answers)
    # Shards that are still open were given up: no time is spent on them.
    os._exit(0)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests in order until ``EOFError``: each with whether it failed, and the outcome."""
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
        except BaseException as error:  # panics of the engine are no Exceptions
            failed, outcome = True, _portable(error)
        pickle.dump((failed, outcome), answers, protocol=5)
        answers.flush()


def _portable(error: BaseException) -> BaseException:
    """The error as it can be sent, with where it happened."""
    told = f"in the engine's process: {''.join(traceback.format_exception(error))}"
    try:
        sent: BaseException = pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return RuntimeError(told)
    sent.add_note(told)
    return sent
