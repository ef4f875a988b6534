"""Neither the API key nor a password in a URL is ever shown."""

import os
import socketserver
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from grpc_server import serving_grpc
from rest_server import Answer, LocalQdrant, serving
from titles import POINTS, build

from jobsearch.errors import InvalidInput
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
def test_a_server_that_refuses(server: Callable[..., Answer], command: tuple[str, ...]) -> None:
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
def test_keys_that_no_header_can_carry(key: str) -> None:
    """The HTTP library quotes such a header in its complaint."""
    with serving(LocalQdrant()) as url, pytest.raises(InvalidInput) as caught:
        open_store(url, api_key=key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "set JOBSEARCH_API_KEY to the key alone" in shown
    assert SECRET not in shown


@contextmanager
def listening(reply: bytes, port: int = 0) -> Iterator[tuple[int, bytearray]]:
    """A port whose callers are answered with ``reply``; gives it, and all that they say."""
    heard = bytearray()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(0.5)
            with suppress(OSError):
                while said := self.request.recv(65536):
                    heard.extend(said)
                    self.request.sendall(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], heard
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "grpc_proxy"])
def test_no_proxy_hears_the_key_of_a_server_on_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    keys: list[str | None] = []
    with listening(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heard), serving_grpc() as (url, points):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        with closing(open_store(url, api_key=SECRET, retry_s=0, timeout_s=5)) as store:
            build(store, POINTS)
        keys += points.keys
    assert heard == b""
    assert set(keys) == {SECRET}, "it does reach the server"


def test_who_does_not_speak_grpc_is_not_told_the_key() -> None:
    with serving(LocalQdrant()) as url:
        # The settings frame that an HTTP/2 server begins with.
        hello = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
        with (
            listening(hello, int(url.rsplit(":", 1)[1]) + 1) as (_, heard),
            closing(open_store(url, api_key=SECRET)) as store,
        ):
            assert store.aliases() == {}
    assert heard
    assert SECRET.encode() not in heard


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost//qdrant.example.org:6333/x",
        "http://127.0.0.1:6333//[::ffff:192.0.2.1]:6333",
        "http://[::1].qdrant.example.org",
        "http://qdrant.example.org[::1]:6333",
    ],
)
def test_urls_that_name_another_host_to_another_reader(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"can be read in two ways|no URL that can be read"):
        open_store(url, api_key=SECRET)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://me:{SECRET}@localhost:port", "no URL that can be read"),
        (f"http://me:{SECRET}/x@localhost:6333", "no URL that can be read"),
        (f"http://me:{SECRET}@[::1", "no URL that can be read"),
        (f"http://localhost:{SECRET}", "no URL that can be read"),
        (f"HTTP://me:{SECRET}@localhost", "no credentials"),
        (f"https://localhost/?api-key={SECRET}", "no credentials"),
        (f"qdrant://me:{SECRET}@localhost:6333", "begins with qdrant://"),
    ],
)
def test_urls_with_a_password(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
