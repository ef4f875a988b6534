"""The REST paths of a Qdrant server that the store uses, in front of the client's local mode.

It shows that requests and answers survive the way through HTTP where no Qdrant server can be
started; what a real server does with them only the ``server`` engine of the contract suite shows.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

from pydantic import BaseModel
from qdrant_client import QdrantClient, models

from jobsearch.store.vectors import FILTERED_EF, OVERSAMPLING

Answer = tuple[int, Any]


@contextmanager
def serving(answer: Callable[[str, str, Any], Answer]) -> Iterator[str]:
    """Serve ``answer(method, path, body)`` on a free loopback port; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path, _, options = self.path.partition("?")
            if body and re.search(r"/(points|index)$", path) and self.command == "PUT":
                # Else a server answers before it can be searched.
                assert "wait=true" in options
            status, content = answer(self.command, path, body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
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
        ("POST", r"/collections/([^/]+)/points/delete", "delete"),
    ]

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.indexed: dict[str, list[str]] = {}
        self.configured: dict[str, list[dict[str, Any]]] = {}
        self.exact: list[bool] = []

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        for verb, pattern, name in self.ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                try:
                    result = getattr(self, name)(*match.groups(), *([body] if body else []))
                except ValueError as error:
                    status = 404 if str(error).endswith("not found") else 400
                    return status, {"status": {"error": str(error)}, "time": 0}
                if name == "version":
                    return 200, result
                return 200, {"result": _plain(result), "status": "ok", "time": 0}
        return 404, {"status": {"error": f"no route {method} {path}"}, "time": 0}

    def version(self) -> Any:
        return {"title": "qdrant - vector search engine", "version": "1.16.3"}

    def aliases(self) -> Any:
        return self.client.get_aliases()

    def change_aliases(self, body: Any) -> Any:
        operations = models.ChangeAliasesOperation(**body).actions
        # A server carries actions out one by one: between two, or after the first of them failed,
        # there would be no alias.
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

    def delete(self, name: str, body: Any) -> Any:
        return self.client.delete(name, models.FilterSelector(**body))


def check_params(query: Any) -> None:
    """How a query is to be answered: no part of it that a real server needs may be missing."""
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
