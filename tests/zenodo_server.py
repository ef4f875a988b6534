"""A local server that stands in for Zenodo: one record, one file, and faults on request."""

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
    """The state of the server; tests change it.

    Each request for the file takes one of ``faults``: ``cut`` (the connection ends after half of
    the body), ``hang`` (half of the body, then nothing until ``released``), ``no-range`` (the whole
    file, without regard to the Range header), ``moved`` (another range than requested), ``other``
    (the same number of other bytes), ``endless`` (up to a thousand bodies; ``sent`` counts them) or
    a status code. ``record_faults`` are status codes for requests for the record. ``requests``
    lists the path and the Range header of each request.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.md5 = hashlib.md5(content).hexdigest()
        self.faults: list[str | int] = []
        self.record_faults: list[int] = []
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
    def ranges(self) -> list[str | None]:
        """Range headers of the requests for the file."""
        return [header for path, header in self.requests if path.endswith("/content")]


class _Handler(BaseHTTPRequestHandler):
    zenodo: Zenodo

    def do_GET(self) -> None:
        z = self.zenodo
        range_header = self.headers.get("Range")
        z.requests.append((self.path, range_header))
        z.user_agents.add(self.headers.get("User-Agent", ""))
        if self.path == f"/api/records/{RECORD}":
            self._record()
        elif self.path == f"/api/records/{RECORD}/files/{NAME}/content":
            self._file(z.faults.pop(0) if z.faults else "", range_header)
        else:
            self._answer(404, b"not found")

    def _record(self) -> None:
        z = self.zenodo
        if z.record_faults:
            self._answer(z.record_faults.pop(0), b"")
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

    def _file(self, fault: str | int, range_header: str | None) -> None:
        z = self.zenodo
        if isinstance(fault, int):
            self._answer(fault, b"")
            return
        content = z.content[::-1] if fault == "other" else z.content
        start = 0
        if range_header and fault != "no-range":
            match = re.fullmatch(r"bytes=(\d+)-", range_header)
            assert match, range_header
            start = int(match[1])
            if start >= len(content):
                self._answer(416, b"")
                return
            if fault == "moved":
                start = 0
        self.send_response(206 if range_header and fault != "no-range" else 200)
        if range_header and fault != "no-range":
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        body = content[start:]
        if fault != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault in ("cut", "hang"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if fault == "hang":
                z.halfway.set()
                z.released.wait(30)
        elif fault == "endless":
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
        """Ignore clients that close the connection early."""


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
