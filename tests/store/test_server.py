"""Servers that are down, old, locked or not Qdrant; and URLs that are refused at once."""

import json
import re
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest
from grpc_server import serving_grpc
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse
from rest_server import Answer, LocalQdrant, serving
from titles import ALIAS, COUNT, POINTS, build, encoder_info, metadata

from jobsearch.errors import InvalidInput, StoreError, StoreUnavailable
from jobsearch.store import open_store
from jobsearch.store.metadata import build_name
from jobsearch.store.server.errors import map_client_error
from jobsearch.store.server.store import ServerStore
from jobsearch.types import FILTER_FIELDS


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that is reserved, but that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_no_server(closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    with pytest.raises(StoreUnavailable) as caught:
        open_store(url, api_key="secret")
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert url in message
    assert "docker compose up -d" in message
    assert "secret" not in message
    assert "\n" not in message


def test_a_server_that_goes_away() -> None:
    with serving(LocalQdrant()) as url:
        store = open_store(url, retry_s=0)
        build(store, POINTS)
    with closing(store):
        for use in (
            store.aliases,
            store.collections,
            lambda: store.count(ALIAS),
            lambda: store.query(ALIAS, POINTS.vectors[:1], limit=1),
            lambda: list(store.scroll(ALIAS)),
            lambda: store.create(build_name(ALIAS, encoder_info()), metadata(1)),
        ):
            with pytest.raises(StoreUnavailable, match=url):
                use()


def test_a_server_that_hangs() -> None:
    def slow(method: str, path: str, body: Any) -> Answer:
        time.sleep(1.5)
        return 200, {"title": "qdrant", "version": "1.16.3"}

    with serving(slow) as url, pytest.raises(StoreUnavailable, match=r"\(timed out\)"):
        open_store(url, timeout_s=1)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "rejects the API key: set `api_key` (JOBSEARCH_API_KEY)"),
        (403, 'does not allow this request with the API key ("Invalid API key or JWT"): '),
    ],
)
def test_a_wrong_key(status: int, message: str) -> None:
    local = LocalQdrant()

    def locked(method: str, path: str, body: Any) -> Answer:
        if path == "/":
            return local(method, path, body)
        return status, "Invalid API key or JWT"

    with serving(locked) as url, pytest.raises(StoreError) as caught:
        open_store(url, api_key="wrong")
    assert str(caught.value).startswith(f"the server at {url} {message}"), caught.value
    assert caught.value.exit_code == 1


def test_a_read_only_key() -> None:
    local = LocalQdrant()
    requests: list[tuple[str, str]] = []

    def read_only(method: str, path: str, body: Any) -> Answer:
        requests.append((method, path))
        if method == "GET" or re.search(r"/points(/query|/query/batch|/scroll|/count)?$", path):
            return local(method, path, body)
        return 403, {"status": {"error": "Forbidden: Global manage access is required"}}

    with serving(local) as url, closing(open_store(url)) as store:
        name = build(store, POINTS)
    with serving(read_only) as url, closing(open_store(url, api_key="reader")) as store:
        [info] = store.collections()
        assert (info.name, info.points, info.aliases) == (name, COUNT, (ALIAS,))
        assert len(store.query(ALIAS, POINTS.vectors[:2], limit=3)) == 2
        assert store.count(ALIAS) == COUNT
        assert sum(len(points) for points in store.scroll(ALIAS)) == COUNT
        assert store.verify(ALIAS) == []
        assert not [each for each in requests if each[0] not in ("GET", "POST")]
        for write in (
            lambda: build(store, POINTS),
            lambda: store.drop(name),
            lambda: store.rollback(ALIAS),
        ):
            with pytest.raises(StoreError):
                write()
    assert local("GET", "/collections", None)[1]["result"]["collections"] == [{"name": name}]


@pytest.mark.parametrize("version", ["1.15.5", "0.9.0", "dev", ""])
def test_an_old_server(version: str) -> None:
    def old(method: str, path: str, body: Any) -> Answer:
        return 200, {"title": "qdrant", "version": version}

    with serving(old) as url, pytest.raises(StoreError, match=r"jobsearch needs 1\.16 or newer"):
        open_store(url)


@pytest.mark.parametrize("version", ["1.16.0", "1.20.1", "2.0.0-rc1"])
def test_a_recent_server(version: str) -> None:
    local = LocalQdrant()

    def recent(method: str, path: str, body: Any) -> Answer:
        if path == "/":
            return 200, {"title": "qdrant", "version": version}
        return local(method, path, body)

    with serving(recent) as url, closing(open_store(url)) as store:
        assert store.location == url
        assert store.collections() == []


@pytest.mark.parametrize("answer", [(500, {"status": {"error": "out of\nmemory"}}), (418, "tea")])
def test_a_server_with_errors(answer: Answer) -> None:
    with (
        serving(lambda *request: answer) as url,
        pytest.raises(StoreError, match=rf"the server at {url} answered {answer[0]}") as caught,
    ):
        open_store(url)
    assert "\n" not in str(caught.value)


def test_something_else_than_qdrant() -> None:
    with (
        serving(lambda *request: (200, {"hello": "world"})) as url,
        pytest.raises(StoreUnavailable, match=f"no Qdrant answers at {url}"),
    ):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("http://qdrant.example.org:6333", "key", "unencrypted to qdrant.example.org"),
        ("http://10.0.0.7:6333", "key", "unencrypted to 10.0.0.7"),
        ("http://localhost.example.org", "key", "unencrypted to localhost.example.org"),
        ("http://127.0.0.1.example.org", "key", "unencrypted to 127.0.0.1.example.org"),
        ("http://me:secret@localhost:6333", None, "contains credentials"),
        ("https://localhost:6333/?api-key=secret", None, "contains credentials"),
        ("http://", None, "has no host"),
        ("http://localhost:port", None, "is not a valid URL"),
        ("http://[::1", None, "is not a valid URL"),
    ],
)
def test_urls_that_are_refused(url: str, key: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        open_store(url, api_key=key)
    assert "secret" not in str(caught.value)


def test_an_unencrypted_key_is_allowed_on_this_machine() -> None:
    with warnings.catch_warnings(), serving_grpc() as (url, points):
        warnings.simplefilter("error")
        with closing(open_store(url, api_key="key")) as store:
            build(store, POINTS)
    assert set(points.keys) == {"key"}


@pytest.mark.parametrize("exact", [True, False])
def test_exact_is_passed_to_the_server(exact: bool) -> None:
    local = LocalQdrant()
    with serving(local) as url, closing(open_store(url)) as store:
        build(store, POINTS)
        local.exact.clear()
        store.query(ALIAS, POINTS.vectors[:2], limit=3, exact=exact)
    assert local.exact == [exact, exact]


def test_every_filter_field_is_indexed_before_the_data() -> None:
    local = LocalQdrant()
    with serving(local) as url, closing(open_store(url)) as store:
        name = build_name(ALIAS, encoder_info())
        store.create(name, metadata(COUNT))
        assert tuple(local.indexed[name]) == FILTER_FIELDS


def test_collections_of_other_programs_are_ignored() -> None:
    local = LocalQdrant()
    params = models.VectorParams(size=3, distance=models.Distance.DOT)
    local.client.create_collection("songs", vectors_config=params)
    alias = models.CreateAlias(collection_name="songs", alias_name="music")
    local.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with serving(local) as url, closing(open_store(url)) as store:
        name = build(store, POINTS)
        assert [info.name for info in store.collections()] == [name]
        assert store.aliases() == {ALIAS: name}
        with pytest.raises(StoreError, match="no collection songs"):
            store.drop("songs")
    assert local.client.collection_exists("songs")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (models.CollectionStatus.YELLOW, "reports .* as yellow"),
        (models.CollectionStatus.RED, "reports .* as red"),
    ],
)
def test_an_index_that_is_never_ready(status: models.CollectionStatus, message: str) -> None:
    local, ready = LocalQdrant(), False

    def busy(method: str, path: str, body: Any) -> Answer:
        code, answer = local(method, path, body)
        if method == "GET" and path.endswith(name) and not ready:
            answer["result"]["status"] = status.value
        return code, answer

    name = build_name(ALIAS, encoder_info())
    with serving(busy) as url, closing(QdrantClient(url=url, check_compatibility=False)) as client:
        store = ServerStore(client, client, url, local=False, index_timeout_s=0.3)
        store.create(name, metadata(COUNT))
        store.upsert(name, POINTS)
        with pytest.raises(StoreError, match=message):
            store.finish(name, metadata(COUNT))
        ready = True
        store.finish(name, metadata(COUNT))
        assert store.describe(name).metadata.status == "ready"


class Refused(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """An error as gRPC raises it, which is also a call."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "details\nhere"


Refused.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (Refused(grpc.StatusCode.UNAVAILABLE), StoreUnavailable, "no Qdrant answers at URL"),
        (Refused(grpc.StatusCode.DEADLINE_EXCEEDED), StoreUnavailable, "(DEADLINE_EXCEEDED)"),
        (Refused(grpc.StatusCode.UNAUTHENTICATED), StoreError, "rejects the API key"),
        (
            Refused(grpc.StatusCode.PERMISSION_DENIED),
            StoreError,
            "does not allow this request",
        ),
        (Refused(grpc.StatusCode.INTERNAL), StoreError, "details here"),
        (ResourceExhaustedResponse("slow down", 3), StoreUnavailable, "slow down"),
        (json.JSONDecodeError("Expecting value", "", 0), StoreError, "is not valid for Qdrant"),
        (UnexpectedResponse(507, "", b"disk\nfull", None), StoreError, "507: disk full"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_errors_of_the_client_are_mapped(
    error: Exception, kind: type[StoreError], message: str
) -> None:
    mapped = map_client_error(error, "URL")
    assert type(mapped) is kind
    assert message in str(mapped)


def test_another_client_may_resume_a_build() -> None:
    with (
        serving(LocalQdrant()) as url,
        closing(open_store(url)) as one,
        closing(open_store(url)) as two,
    ):
        name = build_name(ALIAS, encoder_info())
        one.create(name, metadata(COUNT))
        two.upsert(name, POINTS)
        two.finish(name, metadata(COUNT))
        assert one.verify(name) == []


def test_other_errors_are_not_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert map_client_error(ValueError("a bug"), "URL") is None
    client = QdrantClient(":memory:")
    with closing(ServerStore(client, client, ":memory:", local=True)) as store:
        monkeypatch.setattr(client, "get_aliases", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.aliases()


def test_memory_needs_no_server() -> None:
    with closing(open_store(":memory:")) as store, store.build_lock(ALIAS):
        build(store, POINTS)
        assert store.location == ":memory:"
        assert store.count(ALIAS) == COUNT


def test_points_are_sent_by_grpc_if_possible() -> None:
    with serving_grpc() as (url, points), closing(open_store(url)) as store:
        build(store, POINTS)
        assert store.verify(ALIAS) == []
    assert points.calls == ["upsert", "scroll", "query"]


def test_another_service_on_the_grpc_port_is_not_used() -> None:
    # The service on the next port does not speak gRPC, so vectors are sent by REST.
    for _ in range(20):
        with serving(LocalQdrant()) as url, socket.socket() as other:
            try:
                other.bind(("127.0.0.1", int(url.rsplit(":", 1)[1]) + 1))
            except OSError:
                continue
            other.listen()
            with closing(open_store(url)) as store:
                assert isinstance(store, ServerStore)
                build(store, POINTS)
                assert store.count(ALIAS) == COUNT
            return
    pytest.skip("no two consecutive ports are free")
