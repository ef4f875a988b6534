"""Zenodo as far as a download needs it: a record and a file, and what can go wrong with them."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps

from ingest.download import ZenodoFile

RECORD = 15292308
NAME = "TaskA.zip"


class Zenodo:
    """What is served; tests change it as they go.

    ``ills`` are used up by requests of the file, one each: ``cut`` (the connection ends after half
    of the body), ``hang`` (half of the body, then nothing until ``released``), ``no-range`` (all of
    the file whatever was asked), ``moved`` (another range than was asked), ``other`` (as many other
    bytes), ``endless`` (up to a thousand bodies, of which ``sent`` were taken) or a status code.
    ``record_ills`` are status codes for requests of the record. ``requests`` lists path and Range
    header.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.md5 = hashlib.md5(content).hexdigest()
        self.ills: list[str | int] = []
        self.record_ills: list[int] = []
        self.record: object = None
        self.retry_after = ""
        self.requests: list[tuple[str, str | None]] = []
        self.user_agents: set[str] = set()
        self.halfway, self.released = threading.Event(), threading.Event()
        self.sent = 0
        self.site = ""

    @property
    def file(self) -> ZenodoFile:
        return ZenodoFile(RECORD, NAME, "jobsearch eval talentclef", self.site)

    @property
    def asked(self) -> list[str | None]:
        """Range headers of the requests of the file."""
        return [asked for path, asked in self.requests if path.endswith("/content")]


class _Handler(BaseHTTPRequestHandler):
    zenodo: Zenodo

    def do_GET(self) -> None:
        z = self.zenodo
        asked = self.headers.get("Range")
        z.requests.append((self.path, asked))
        z.user_agents.add(self.headers.get("User-Agent", ""))
        if self.path == f"/api/records/{RECORD}":
            self._record()
        elif self.path == f"/api/records/{RECORD}/files/{NAME}/content":
            self._file(z.ills.pop(0) if z.ills else "", asked)
        else:
            self._answer(404, b"not found")

    def _record(self) -> None:
        z = self.zenodo
        if z.record_ills:
            self._answer(z.record_ills.pop(0), b"")
            return
        url = f"{z.site}/api/records/{RECORD}/files/{NAME}/content"
        record = {
            "id": RECORD,
            "files": [
                {"key": "TaskB.zip", "size": 1, "checksum": "md5:0", "links": {"self": "x"}},
                {
                    "key": NAME,
                    "size": len(z.content),
                    "checksum": f"md5:{z.md5}",
                    "links": {"self": url},
                },
            ],
        }
        body = z.record if z.record is not None else record
        self._answer(200, body if isinstance(body, bytes) else dumps(body).encode())

    def _file(self, ill: str | int, asked: str | None) -> None:
        z = self.zenodo
        if isinstance(ill, int):
            self._answer(ill, b"")
            return
        content = z.content[::-1] if ill == "other" else z.content
        start = 0
        if asked and ill != "no-range":
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found, asked
            start = int(found[1])
            if start >= len(content):
                self._answer(416, b"")
                return
            if ill == "moved":
                start = 0
        self.send_response(206 if asked and ill != "no-range" else 200)
        if asked and ill != "no-range":
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        body = content[start:]
        if ill != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if ill in ("cut", "hang"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if ill == "hang":
                z.halfway.set()
                z.released.wait(30)
        elif ill == "endless":
            for z.sent in range(1000):
                self.wfile.write(body)
        else:
            self.wfile.write(body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status >= 400 and self.zenodo.retry_after:
            self.send_header("Retry-After", self.zenodo.retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has had enough is no failure of the server's."""


@contextmanager
def serving(content: bytes) -> Iterator[Zenodo]:
    zenodo = Zenodo(content)
    handler = type("Handler", (_Handler,), {"zenodo": zenodo})
    server = _Server(("127.0.0.1", 0), handler)
    zenodo.site = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield zenodo
    finally:
        zenodo.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
