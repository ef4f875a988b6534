"""The API key and passwords in URLs are never shown or sent to others."""

import os
import socketserver
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from grpc_server import serving_grpc
from rest_server import Answer, LocalQdrant, serving
from titles import ALIAS, POINTS, build

from jobsearch.cli import main
from jobsearch.errors import InvalidInput, StoreError
from jobsearch.store import open_store

SECRET = "s3cr3t"
LOCAL = LocalQdrant()


def locked(method: str, path: str, body: Any) -> Answer:
    return LOCAL(method, path, body) if path == "/" else (401, "Invalid API key or JWT")


def failing(method: str, path: str, body: Any) -> Answer:
    return 500, {"status": {"error": "out of memory"}}


@pytest.mark.parametrize(
    ("server", "command"),
    [
        (locked, ("--debug", "collections", "list")),
        (failing, ("--debug", "collections", "list")),
        (failing, ("--log-format", "json", "search", "nurse", "--to", "en")),
        (locked, ("--debug", "doctor")),
    ],
)
def test_output_about_a_failing_server_does_not_show_the_key(
    server: Callable[..., Answer], command: tuple[str, ...]
) -> None:
    with serving(server) as url:
        done = subprocess.run(
            [sys.executable, "-c", "from jobsearch.cli import main; main()", *command,
             "--store", url, "--retry", "0"],
            env={**os.environ, "JOBSEARCH_API_KEY": f"{SECRET}-key"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert url in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "key",
    [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\nX-Other: 1", f"{SECRET}\x00", f"{SECRET}-é", " "],
)
def test_keys_that_are_invalid_in_a_header(key: str) -> None:
    """The HTTP library would quote such a header in its error message."""
    with serving(LocalQdrant()) as url, pytest.raises(InvalidInput) as caught:
        open_store(url, api_key=key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "`api_key` (JOBSEARCH_API_KEY) contains outer white space" in shown
    assert SECRET not in shown


@contextmanager
def listening(reply: bytes, port: int = 0) -> Iterator[tuple[int, bytearray]]:
    """Answer every message at a port with ``reply``; yield the port and the received bytes."""
    received = bytearray()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(0.5)
            with suppress(OSError):
                while data := self.request.recv(65536):
                    received.extend(data)
                    self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], received
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "grpc_proxy"])
def test_a_proxy_does_not_get_the_key_of_a_server_on_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    keys: list[str | None] = []
    with listening(b"HTTP/1.1 200 OK\r\n\r\n") as (port, received), serving_grpc() as (url, points):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        with closing(open_store(url, api_key=SECRET, retry_s=0, timeout_s=5)) as store:
            build(store, POINTS)
        keys += points.keys
    assert received == b""
    assert set(keys) == {SECRET}, "the key reaches the server"


def test_a_service_that_does_not_speak_grpc_does_not_get_the_key() -> None:
    with serving(LocalQdrant()) as url:
        # The SETTINGS frame, with which an HTTP/2 server starts.
        settings_frame = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        with (
            listening(settings_frame, int(url.rsplit(":", 1)[1]) + 1) as (_, received),
            closing(open_store(url, api_key=SECRET)) as store,
        ):
            assert store.aliases() == {}
    assert received
    assert SECRET.encode() not in received


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost//qdrant.example.org:6333/x",
        "http://127.0.0.1:6333//[::ffff:192.0.2.1]:6333",
        "http://[::1].qdrant.example.org",
        "http://qdrant.example.org[::1]:6333",
    ],
)
def test_urls_that_parsers_read_differently(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"is ambiguous|is not a valid URL"):
        open_store(url, api_key=SECRET)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"http://me:{SECRET}@localhost:port", "is not a valid URL"),
        (f"http://me:{SECRET}/x@localhost:6333", "is not a valid URL"),
        (f"http://me:{SECRET}@[::1", "is not a valid URL"),
        (f"http://localhost:{SECRET}", "is not a valid URL"),
        (f"HTTP://me:{SECRET}@localhost", "contains credentials"),
        (f"https://localhost/?api-key={SECRET}", "contains credentials"),
        (f"qdrant://me:{SECRET}@localhost:6333", "begins with qdrant://"),
    ],
)
def test_urls_with_a_password(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


QUOTED = f'{SECRET}-"key"'


def echoing(method: str, path: str, body: Any) -> Answer:
    return 500, {"status": {"error": f"no: {QUOTED} (api-key: {QUOTED})"}}


def echoing_later(method: str, path: str, body: Any) -> Answer:
    return LOCAL(method, path, body) if path == "/" else echoing(method, path, body)


def echoing_busy(method: str, path: str, body: Any) -> Answer:
    return 429, {"status": {"error": f"too many requests of {QUOTED}"}}


def echoing_nonsense(method: str, path: str, body: Any) -> Answer:
    return 200, {"title": QUOTED, "version": {"of": QUOTED}}


def echoing_version(method: str, path: str, body: Any) -> Answer:
    return 200, {"title": "qdrant", "version": QUOTED}


@pytest.mark.parametrize(
    "server", [echoing, echoing_later, echoing_busy, echoing_nonsense, echoing_version]
)
@pytest.mark.parametrize(
    "command",
    [
        ("collections", "list", "--json"),
        ("--debug", "collections", "list"),
        ("--log-format", "json", "search", "nurse", "--to", "en"),
        ("doctor", "--json"),
        ("collections", "snapshot", "jobs__en__a__pretrained", "file", "--native"),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_a_key_that_the_server_repeats_is_masked(
    server: Callable[..., Answer], command: tuple[str, ...], monkeypatch, tmp_path: Path, capfd
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBSEARCH_API_KEY", QUOTED)
    with serving(server) as url:
        done = CliRunner().invoke(main, [*command, "--store", url, "--retry", "0.2"])
    shown = done.output + capfd.readouterr().err
    if done.exception:
        shown += "".join(traceback.format_exception(done.exception))
    assert done.exit_code in (1, 3)
    assert SECRET not in shown
    assert "unexpected" not in shown


def test_a_key_that_the_server_repeats_by_grpc_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    # Messages and logs cut the text of a server, but no key in half.
    texts = iter([f"{SECRET} is unknown", f"{'y' * 298}{SECRET}"])
    with (
        serving_grpc() as (url, points),
        closing(open_store(url, api_key=SECRET, retry_s=0.2)) as store,
    ):
        build(store, POINTS)

        def refuse(call: str, name: str, context: Any) -> None:
            context.abort(grpc.StatusCode.INTERNAL, next(texts, SECRET))

        points._check = refuse  # type: ignore[method-assign]
        with pytest.raises(StoreError) as caught:
            store.query(ALIAS, POINTS.vectors[:1], limit=1)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "*** is unknown" in caplog.text
    assert SECRET[:3] not in shown
