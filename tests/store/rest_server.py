"""A stand-in for Qdrant's REST interface, backed by the client's local mode.

It tests requests and answers over HTTP where no Qdrant server can be started. Only the ``server``
engine of the contract suite tests the behaviour of a real server.
"""

import hashlib
import io
import json
import re
import ssl
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

from pydantic import BaseModel
from qdrant_client import QdrantClient, models

from jobsearch.store.ranking import FILTERED_EF, OVERSAMPLING
from jobsearch.types import FILTER_FIELDS

Answer = tuple[int, Any]


@contextmanager
def serving(
    answer: Callable[[str, str, Any], Answer], tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve ``answer(method, path, body)`` on a free loopback port; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self._body(self.rfile.read(length)) if length else None
            path, _, options = self.path.partition("?")
            if path.endswith("/snapshots/upload"):
                checksum = hashlib.sha256(body).hexdigest()
                assert options == f"priority=snapshot&wait=true&checksum={checksum}"
            if body and re.search(r"/(points|index)$", path) and self.command == "PUT":
                # Otherwise a server answers before the points can be searched.
                assert "wait=true" in options
            status, content = answer(self.command, path, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _body(self, data: bytes) -> Any:
            kind = self.headers.get("Content-Type", "")
            if not kind.startswith("multipart/form-data"):
                return json.loads(data)
            [file] = message_from_bytes(
                f"Content-Type: {kind}\r\n\r\n".encode() + data
            ).get_payload()
            assert file.get_param("name", header="content-disposition") == "snapshot"
            return file.get_payload(decode=True)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LocalQdrant:
    """Answers requests from ``QdrantClient(":memory:")``."""

    ROUTES: ClassVar[list[tuple[str, str, str]]] = [
        ("GET", r"/", "version"),
        ("GET", r"/aliases", "aliases"),
        ("POST", r"/collections/aliases", "change_aliases"),
        ("GET", r"/collections", "names"),
        ("GET", r"/collections/([^/]+)/exists", "exists"),
        ("GET", r"/collections/([^/]+)", "info"),
        ("PUT", r"/collections/([^/]+)", "create"),
        ("PATCH", r"/collections/([^/]+)", "update"),
        ("DELETE", r"/collections/([^/]+)", "drop"),
        ("PUT", r"/collections/([^/]+)/index", "index"),
        ("PUT", r"/collections/([^/]+)/points", "upsert"),
        ("POST", r"/collections/([^/]+)/points/query/batch", "query"),
        ("POST", r"/collections/([^/]+)/points/scroll", "scroll"),
        ("POST", r"/collections/([^/]+)/points/count", "count"),
        ("GET", r"/cluster", "cluster"),
        ("GET", r"/collections/([^/]+)/snapshots", "list_snapshots"),
        ("POST", r"/collections/([^/]+)/snapshots", "make_snapshot"),
        ("GET", r"/collections/([^/]+)/snapshots/([^/]+)", "fetch_snapshot"),
        ("DELETE", r"/collections/([^/]+)/snapshots/([^/]+)", "delete_snapshot"),
        ("POST", r"/collections/([^/]+)/snapshots/upload", "take_snapshot"),
    ]

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.indexed: dict[str, list[str]] = {}
        self.configured: dict[str, list[dict[str, Any]]] = {}
        self.exact: list[bool] = []
        self.snapshots: dict[str, dict[str, bytes]] = {}

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        for verb, pattern, name in self.ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                try:
                    result = getattr(self, name)(*match.groups(), *([body] if body else []))
                except ValueError as error:
                    status = 404 if str(error).endswith("not found") else 400
                    return status, {"status": {"error": str(error)}, "time": 0}
                if name in ("version", "fetch_snapshot"):
                    return 200, result
                return 200, {"result": _plain(result), "status": "ok", "time": 0}
        return 404, {"status": {"error": f"no route {method} {path}"}, "time": 0}

    def version(self) -> Any:
        return {"title": "qdrant - vector search engine", "version": "1.16.3"}

    def aliases(self) -> Any:
        return self.client.get_aliases()

    def change_aliases(self, body: Any) -> Any:
        operations = models.ChangeAliasesOperation(**body).actions
        # A server carries out actions one by one, so with separate actions to delete and create an
        # alias, it would be missing for a moment, or after a failure.
        assert [type(operation) for operation in operations] == [models.CreateAliasOperation]
        return self.client.update_collection_aliases(operations)

    def names(self) -> Any:
        return self.client.get_collections()

    def exists(self, name: str) -> Any:
        return {"exists": self.client.collection_exists(name)}

    def info(self, name: str) -> Any:
        found = self.client.get_collection(name)
        physical = {a.alias_name: a.collection_name for a in self.client.get_aliases().aliases}
        keyword = models.PayloadIndexInfo(data_type=models.PayloadSchemaType.KEYWORD, points=0)
        indexed = self.indexed.get(physical.get(name, name), ())
        return found.model_copy(update={"payload_schema": dict.fromkeys(indexed, keyword)})

    def create(self, name: str, body: Any) -> Any:
        request = models.CreateCollection(**body)
        self.configured[name] = [{k: v for k, v in body.items() if k != "metadata"}]
        return self.client.create_collection(
            name, vectors_config=request.vectors, metadata=request.metadata
        )

    def update(self, name: str, body: Any) -> Any:
        if "metadata" in body:
            return self.client.update_collection(name, metadata=body["metadata"])
        self.configured[name].append(body)
        return True

    def drop(self, name: str) -> Any:
        return self.client.delete_collection(name)

    def index(self, name: str, body: Any) -> Any:
        assert body["field_schema"] == "keyword"
        self.indexed.setdefault(name, []).append(body["field_name"])
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

    def upsert(self, name: str, body: Any) -> Any:
        return self.client.upsert(name, models.PointsBatch(**body).batch)

    def query(self, name: str, body: Any) -> Any:
        searches = models.QueryRequestBatch(**body).searches
        for search in searches:
            self.exact.append(search.params.exact)
            check_params(search)
        return self.client.query_batch_points(name, searches)

    def scroll(self, name: str, body: Any) -> Any:
        request = models.ScrollRequest(**body)
        points, following = self.client.scroll(
            name,
            scroll_filter=request.filter,
            limit=request.limit or 10,
            offset=request.offset,
            with_payload=True,
            with_vectors=True,
        )
        return models.ScrollResult(points=points, next_page_offset=following)

    def count(self, name: str, body: Any) -> Any:
        return self.client.count(name, count_filter=models.CountRequest(**body).filter)

    def cluster(self) -> Any:
        return {"status": "disabled"}

    def list_snapshots(self, name: str) -> Any:
        return [{"name": each, "size": 0} for each in self.snapshots.get(name, {})]

    def make_snapshot(self, name: str) -> Any:
        config = {"metadata": self.client.get_collection(name).config.metadata}
        points, _ = self.client.scroll(name, limit=10**6, with_vectors=True)
        data = archive({"0/points": _plain(points), "config.json": config})
        made = f"{name}-1-2026-11-26-00-00-00.snapshot"
        self.snapshots.setdefault(name, {})[made] = data
        return {"name": made, "size": len(data), "checksum": hashlib.sha256(data).hexdigest()}

    def fetch_snapshot(self, name: str, made: str) -> Any:
        return self.snapshots[name][made]

    def delete_snapshot(self, name: str, made: str) -> Any:
        del self.snapshots[name][made]
        return True

    def take_snapshot(self, name: str, data: bytes) -> Any:
        with tarfile.open(fileobj=io.BytesIO(data)) as files:
            config, points = (json.load(files.extractfile(n)) for n in ("config.json", "0/points"))
        size = len(points[0]["vector"])
        self.client.create_collection(
            name,
            vectors_config=models.VectorParams(size=size, distance=models.Distance.COSINE),
            metadata=config["metadata"],
        )
        kept = ("id", "vector", "payload")
        self.client.upsert(name, [models.PointStruct(**{k: p[k] for k in kept}) for p in points])
        self.indexed[name] = list(FILTER_FIELDS)
        self.snapshots[name] = {"uploaded.snapshot": data}
        return True


def archive(files: dict[str, Any]) -> bytes:
    """A tar archive of JSON files."""
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w") as writer:
            for name, content in files.items():
                data = json.dumps(content).encode()
                member = tarfile.TarInfo(name)
                member.size = len(data)
                writer.addfile(member, io.BytesIO(data))
        return out.getvalue()


def check_params(query: Any) -> None:
    """Check that a query has all search parameters that a real server needs."""
    params = query.params
    assert params is not None
    assert params.exact is not None
    assert params.quantization.rescore
    assert params.quantization.oversampling == OVERSAMPLING
    filtered = query.filter is not None
    assert (params.acorn is not None and params.acorn.enable is True) == filtered
    assert (params.hnsw_ef == FILTERED_EF) == filtered
    query.params = None  # local mode warns that it ignores them


def _plain(result: Any) -> Any:
    if isinstance(result, BaseModel):
        return result.model_dump(mode="json")
    return [_plain(each) for each in result] if isinstance(result, list) else result
