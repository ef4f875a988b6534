"""The limits of one REST request: a deadline, and a size of its answer."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from jobsearch.errors import StoreError, StoreUnavailable
from jobsearch.store import open_server_snapshots, open_store
from jobsearch.store.server import limits

_BODY = json.dumps({"title": "qdrant", "version": "1.16.3"}).encode()
_PAUSE_S = 0.1

Answer = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Serve raw answers on a loopback port: each connection gets ``answer``."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(1 << 16):
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def head(length: int, *headers: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {length}", *headers)
    return "\r\n".join([*lines, "", ""]).encode()


def drip(data: bytes) -> Answer:
    """Send one byte after the other."""

    def answer(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(_PAUSE_S)

    return answer


def after(start: bytes, rest: Answer) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        rest(connection)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        drip(head(1000) + bytes(1000)),
        after(head(1000), drip(b"{" * 1000)),
        after(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", drip(b"1\r\n{\r\n" * 200)),
        after(b"HTTP/1.1 200 OK\r\n", drip(b"X-A: b\r\n" * 200)),
    ],
    ids=["headers", "body", "chunks", "endless headers"],
)
def test_a_server_that_sends_a_byte_now_and_then(answer: Answer) -> None:
    started = time.monotonic()
    with (
        answering(answer) as url,
        pytest.raises(StoreUnavailable, match=r"timed out|whole request"),
    ):
        open_store(url, timeout_s=1)
    assert time.monotonic() - started < 5
    with (
        answering(answer) as url,
        closing(open_server_snapshots(url, timeout_s=1)) as snapshots,
        pytest.raises(StoreUnavailable, match=r"timed out|whole request"),
    ):
        snapshots.save("name", Path("never"))
    assert time.monotonic() - started < 10


def test_a_server_that_reads_slowly() -> None:
    def slowly(connection: socket.socket) -> None:
        while True:
            time.sleep(_PAUSE_S)
            connection.recv(1 << 14)

    with answering(slowly) as url, httpx.Client(timeout=1) as client:
        limits.limit(client)
        started = time.monotonic()
        with pytest.raises(httpx.WriteTimeout), limits.limited(1):
            client.post(url, content=bytes(64 << 20))
        assert time.monotonic() - started < 5


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" " * (1 << 16))


@pytest.mark.parametrize("head_of_answer", [head(10**12), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_without_end(head_of_answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER_BYTES", 1 << 20)
    with (
        answering(after(head_of_answer, endless)) as url,
        pytest.raises(StoreError, match=r"is not valid for Qdrant \(the answer is larger than"),
    ):
        open_store(url)


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_answer_is_refused_before_it_is_read(coding: str) -> None:
    body = gzip.compress(bytes(6 << 20))
    sent = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(head(len(body), f"Content-Encoding: {coding}"))
        time.sleep(_PAUSE_S)
        sent.append(len(body))
        connection.sendall(body)

    with (
        answering(answer) as url,
        pytest.raises(StoreError, match=r"the answer is compressed .*, which was not asked for"),
    ):
        open_store(url)


def test_limits_end_with_their_request() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(head(len(_BODY)) + _BODY)

    with answering(answer) as url, httpx.Client(timeout=1) as client:
        limits.limit(client)
        for _ in range(2):
            with limits.limited(1):
                assert client.get(url).json()["title"] == "qdrant"
            # The connection is used again, after its first deadline.
            time.sleep(1.1)
        assert client.get(url).json()["title"] == "qdrant"
        with pytest.raises(limits.AnswerRefused), limits.limited(1, max_bytes=len(_BODY)):
            client.get(url)
