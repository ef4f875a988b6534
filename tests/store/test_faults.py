"""Temporary and permanent failures of a server, and builds that are resumed."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from fake_encoder import FakeEncoder
from faulty_proxy import FAULTS, Faults, proxied
from grpc_server import serving_grpc
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from rest_server import Answer, LocalQdrant, serving
from tenacity import wait_fixed, wait_none
from test_server import Refused
from titles import (
    ALIAS,
    COUNT,
    DIM,
    POINTS,
    VECTORS,
    batch,
    build,
    encoder_info,
    metadata,
    records,
    unit_vectors,
)

from ingest.pipeline import IngestSummary, ingest
from ingest.sources import SampleSource, TableSource
from ingest.sources.base import Source
from jobsearch.errors import CollectionChanged, InvalidInput, StoreError
from jobsearch.models.encoder import DocumentEncoder
from jobsearch.store import (
    CollectionMetadata,
    PointBatch,
    ScoredPoint,
    Store,
    open_store,
)
from jobsearch.store.metadata import build_name
from jobsearch.store.server import errors, requests
from jobsearch.types import FILTER_FIELDS, Topology, VectorStorage
from jobsearch.vectors import Vectors

RETRY_S = 30.0
# On a busy machine, an answer takes seconds.
TIMEOUT_S = 5.0


@pytest.fixture
def many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of some ten points, so that an ingest takes many of them."""
    monkeypatch.setattr(requests, "_UPSERT_BYTES", 18_000)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable pauses, except those that a server requests."""
    monkeypatch.setattr(errors, "_back_off", wait_none())


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC refuses requests for a second after a lost connection: time enough for a busy loop."""
    monkeypatch.setattr(errors, "_back_off", wait_fixed(0.05))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Skip pauses and record their lengths."""
    recorded: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", recorded.append)
    return recorded


def ingest_sample(store: Store, encoder: DocumentEncoder, **options: bool) -> IngestSummary:
    return ingest(SampleSource(), "en", store, encoder, **options)


def contents(store: Store, name: str) -> dict[str, str]:
    """Return id -> title of every point, and check that no id occurs twice."""
    found = [(i, p["title"]) for points in store.scroll(name) for i, p in points_of(points)]
    assert len(dict(found)) == len(found) == store.count(name)
    return dict(found)


def points_of(points: PointBatch) -> Iterator[tuple[str, dict[str, str]]]:
    return zip(points.ids, points.payloads, strict=True)


@pytest.fixture(scope="module")
def encoder() -> FakeEncoder:
    return FakeEncoder(dim=DIM)


@pytest.fixture(scope="module")
def undisturbed(encoder: FakeEncoder) -> dict[str, str]:
    with closing(open_store(":memory:")) as store:
        return contents(store, ingest_sample(store, encoder).collection)


@pytest.mark.usefixtures("many_requests", "no_pause")
@pytest.mark.parametrize("kind", FAULTS)
def test_an_ingest_survives_temporary_failures(
    kind: str, encoder: FakeEncoder, undisturbed: dict[str, str]
) -> None:
    faults = Faults(kind)
    with (
        serving(LocalQdrant()) as server,
        proxied(server, faults) as url,
        closing(open_store(url, timeout_s=TIMEOUT_S, retry_s=RETRY_S)) as store,
    ):
        faults.share = 0.05 if kind in ("hole", "429 with Retry-After") else 0.3
        summary = ingest_sample(store, encoder)
        faults.share = 0.0
        assert faults.struck > 0
        assert contents(store, summary.alias) == undisturbed
        assert store.verify(summary.alias) == []
        assert [info.name for info in store.collections()] == [summary.collection]


@pytest.mark.usefixtures("many_requests", "short_pauses")
@pytest.mark.parametrize("kind", ["latency", "reset", "half"])
def test_an_ingest_by_grpc_survives_temporary_failures(
    kind: str, encoder: FakeEncoder, undisturbed: dict[str, str]
) -> None:
    faults = Faults(kind)
    with (
        serving_grpc() as (server, points),
        proxied(server, faults) as url,
        closing(open_store(url, timeout_s=TIMEOUT_S, retry_s=RETRY_S)) as store,
    ):
        faults.share = 0.2
        summary = ingest_sample(store, encoder)
        faults.share = 0.0
        assert faults.struck > 0
        assert "upsert" in points.calls
        assert contents(store, summary.alias) == undisturbed


@pytest.mark.usefixtures("many_requests")
@pytest.mark.parametrize("kind", sorted(FAULTS.keys() - {"latency"}))
def test_an_ingest_fails_in_time_and_changes_nothing_if_failures_persist(
    kind: str, encoder: FakeEncoder, undisturbed: dict[str, str]
) -> None:
    faults = Faults(kind)
    with (
        serving(LocalQdrant()) as server,
        proxied(server, faults) as url,
        closing(open_store(url, timeout_s=TIMEOUT_S, retry_s=0.5)) as store,
    ):
        live = ingest_sample(store, encoder)

        def fails_from_now_on(*args: Any) -> Any:
            faults.share = 1.0
            return real(*args)

        real = store.upsert
        store.upsert = fails_from_now_on  # type: ignore[method-assign]
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            ingest_sample(store, encoder, force=True)
        # A few requests are given up, each after two tries at most that take their time.
        assert time.monotonic() - started < 90
        assert url in str(caught.value)
        faults.share = 0.0
        assert store.aliases() == {live.alias: live.collection}
        assert contents(store, live.alias) == undisturbed


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_temporary_http_statuses(status: int) -> None:
    answer = UnexpectedResponse(status, "", b"busy", httpx.Headers())
    assert errors.is_temporary(answer)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
def test_a_refusal_is_final(status: int, pauses: list[float]) -> None:
    local, refused = LocalQdrant(), []

    def answer(method: str, path: str, body: Any) -> Answer:
        if path.endswith("/points"):
            refused.append(path)
            return status, {"status": {"error": "no"}}
        return local(method, path, body)

    with serving(answer) as url, closing(open_store(url)) as store:
        name = build_name(ALIAS, encoder_info())
        store.create(name, metadata(COUNT))
        with pytest.raises(StoreError):
            store.upsert(name, POINTS)
    assert len(refused) == 1
    assert pauses == []


def test_pauses_grow_and_are_logged(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    local, failures = LocalQdrant(), iter([500, 502, 503, 504, 500])

    def answer(method: str, path: str, body: Any) -> Answer:
        if path == "/aliases" and (status := next(failures, 0)):
            return status, {"status": {"error": "busy"}}
        return local(method, path, body)

    monkeypatch.setattr("random.uniform", lambda low, high: high)
    with (
        serving(answer) as url,
        closing(open_store(url)) as store,
        caplog.at_level(logging.WARNING, "jobsearch"),
    ):
        assert store.aliases() == {}
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert len(caplog.messages) == 5
    assert caplog.messages[0].endswith("trying again in 0.2 s")


def failing(*errors: Exception) -> tuple[list[Exception], Callable[[], str]]:
    """Return a request that raises each of these errors in turn, and the list of remaining ones."""
    left = list(errors)

    def request() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return left, request


@pytest.mark.usefixtures("no_pause")
def test_retry_after_is_honoured_within_the_limit(pauses: list[float]) -> None:
    left, request = failing(ResourceExhaustedResponse("slow down", 7))
    assert errors.retrying(30.0)(request) == "done"
    assert pauses == [7]

    left, request = failing(*[ResourceExhaustedResponse("slow down", 31)] * 2)
    with pytest.raises(ResourceExhaustedResponse):
        errors.retrying(30.0)(request)
    assert len(left) == 1
    assert pauses == [7]


@pytest.mark.usefixtures("no_pause")
def test_the_retry_time_starts_with_the_first_failure() -> None:
    slow = ResponseHandlingException(httpx.ReadTimeout("slow"))
    took = iter([5.0, 0.4, 0.4, 0.4])
    left, request = failing(*[slow] * 4)
    clock = [0.0]

    def slowly() -> str:
        clock[0] += next(took)
        return request()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenacity.time.monotonic", lambda: clock[0])
        with pytest.raises(ResponseHandlingException):
            errors.retrying(1.0)(slowly)
    assert left == [], "after 5.0, 5.4, 5.8 and 6.2 seconds"


def test_no_retry_without_retry_time(pauses: list[float]) -> None:
    left, request = failing(*[ResponseHandlingException(httpx.ReadTimeout("slow"))] * 2)
    with pytest.raises(ResponseHandlingException):
        errors.retrying(0.0)(request)
    assert (len(left), pauses) == (1, [])


def test_an_invalid_answer_is_final() -> None:
    assert not errors.is_temporary(ResponseHandlingException(ValueError("no JSON")))
    assert not errors.is_temporary(ZeroDivisionError())


@pytest.mark.parametrize(
    ("code", "temporary"),
    [
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, True),
        (grpc.StatusCode.INTERNAL, True),
        (grpc.StatusCode.ABORTED, True),
        (grpc.StatusCode.CANCELLED, True),
        (grpc.StatusCode.FAILED_PRECONDITION, True),
        (grpc.StatusCode.INVALID_ARGUMENT, False),
        (grpc.StatusCode.NOT_FOUND, False),
        (grpc.StatusCode.UNAUTHENTICATED, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, False),
    ],
)
def test_temporary_grpc_codes(code: grpc.StatusCode, temporary: bool) -> None:
    assert errors.is_temporary(Refused(code)) is temporary


@pytest.mark.parametrize(("status", "swapped"), [(500, True), (408, True), (403, False)])
def test_a_swap_with_unknown_outcome(status: int, swapped: bool, encoder: FakeEncoder) -> None:
    """Nothing is deleted that the alias may point at by now."""
    local = LocalQdrant()

    def fail_after_the_swap(method: str, path: str, body: Any) -> Answer:
        if path != "/collections/aliases" or not failing_now:
            return local(method, path, body)
        if swapped:
            local(method, path, body)
        return status, {"status": {"error": "Waiting for consensus operation commit failed"}}

    failing_now = False
    with serving(fail_after_the_swap) as url, closing(open_store(url, retry_s=0)) as store:
        first = ingest_sample(store, encoder)
        failing_now = True
        with pytest.raises(StoreError) as caught:
            ingest_sample(store, encoder, force=True)
        assert ("is not known" in str(caught.value)) is swapped
        failing_now = False
        names = [info.name for info in store.collections()]
        assert len(names) == (2 if swapped else 1)
        assert store.aliases() == {first.alias: names[-1]}
        assert store.verify(first.alias) == []
        ingest_sample(store, encoder, force=True)
        assert len(store.collections()) == 2


# The build of a collection


def test_the_graph_is_built_after_the_upload() -> None:
    local = LocalQdrant()
    with serving(local) as url, closing(open_store(url)) as store:
        name = build(store, POINTS)
    made, graph = local.configured[name]
    assert made == {
        "vectors": {"size": VECTORS.shape[1], "distance": "Cosine"},
        "hnsw_config": {"m": 0},
    }
    threshold = 20_000 * VECTORS.shape[1] * 4 // 1024
    assert graph == {
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": threshold}
    }


def test_the_configuration_of_a_collection() -> None:
    local = LocalQdrant()
    topology = Topology(shards=6, replicas=2, write_consistency=1)
    with serving(local) as url, closing(open_store(url, topology=topology)) as store:
        for quantization in ("int8", "binary"):
            name = build_name(ALIAS, encoder_info())
            storage = VectorStorage(quantization, on_disk=True)
            store.create(name, replace(metadata(COUNT), storage=storage))
            assert store.describe(name).metadata.storage == storage
            made = local.configured[name][0]
            assert made["vectors"]["on_disk"] is True
            assert (made["shard_number"], made["replication_factor"]) == (6, 2)
            assert made["write_consistency_factor"] == 1
            kept = {"int8": ("scalar", {"type": "int8"}), "binary": ("binary", {})}[quantization]
            assert made["quantization_config"] == {kept[0]: {**kept[1], "always_ram": True}}


def test_a_topology_that_is_left_out_is_that_of_the_live_collection() -> None:
    """A second source, a restored snapshot or a copy must not reset a cluster's layout."""
    local = LocalQdrant()

    def cluster(method: str, path: str, body: Any) -> Answer:
        status, answer = local(method, path, body)
        made = local.configured.get(path.removeprefix("/collections/"))
        if method == "GET" and made:
            params = answer["result"]["config"]["params"]
            names = ("shard_number", "replication_factor", "write_consistency_factor")
            params |= {name: made[0].get(name) or 1 for name in names}
        return status, answer

    def shape(name: str) -> list[int]:
        made = local.configured[name][0]
        names = ("shard_number", "replication_factor", "write_consistency_factor")
        return [made.get(key) for key in names]

    with serving(cluster) as url:
        topology = Topology(shards=6, replicas=3, write_consistency=2)
        with closing(open_store(url, topology=topology)) as store:
            assert shape(build(store, POINTS)) == [6, 3, 2]
        with closing(open_store(url)) as store:
            assert shape(build(store, POINTS)) == [6, 3, 2]
        with closing(open_store(url, topology=Topology(replicas=1))) as store:
            assert shape(build(store, POINTS)) == [6, 1, 2]


def test_a_folder_takes_no_topology(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="`shards`, `replicas` and `write_consistency` need a Qdrant server"
    ):
        open_store(str(tmp_path), topology=Topology(shards=2))


def test_a_waiting_optimiser_is_triggered() -> None:
    local, waited = LocalQdrant(), []

    def grey_at_first(method: str, path: str, body: Any) -> Answer:
        status, answer = local(method, path, body)
        if method == "GET" and path.endswith(name) and len(waited) < 2 and graph_asked_for():
            waited.append(path)
            answer["result"]["status"] = "grey"
        return status, answer

    def graph_asked_for() -> bool:
        return len(local.configured.get(name, ())) > 1

    name = build_name(ALIAS, encoder_info())
    with serving(grey_at_first) as url, closing(open_store(url)) as store:
        store.create(name, metadata(COUNT))
        store.upsert(name, POINTS)
        store.finish(name, metadata(COUNT))
    graph, *triggers = local.configured[name][1:]
    assert graph["hnsw_config"]["m"] == 16
    assert triggers == [{"optimizers_config": {}}], "not at every poll"


def test_requests_with_long_vectors_stay_below_the_limit() -> None:
    sizes: list[int] = []

    class Weighing(LocalQdrant):
        def upsert(self, name: str, body: Any) -> Any:
            sizes.append(len(json.dumps(body, ensure_ascii=False).encode()))
            return super().upsert(name, body)

    wide = batch(records(200), unit_vectors(200, dim=3072))
    long = [{**payload, "title": "職" * 500} for payload in wide.payloads]
    with serving(Weighing()) as url, closing(open_store(url)) as store:
        name = build_name(ALIAS, encoder_info(dim=3072))
        store.create(name, metadata(200, dim=3072))
        store.upsert(name, PointBatch(wide.ids, wide.vectors, long))
        assert store.count(name) == 200
    assert len(sizes) == 2
    assert max(sizes) <= requests._UPSERT_BYTES
    assert requests._UPSERT_BYTES * 2 < 32 << 20


# Interrupted ingests


class Killed(BaseException):
    """Ends an ingest without clean-up, as SIGKILL does."""


def interrupted(
    store: Store, encoder: DocumentEncoder, after: int, source: Source | None = None
) -> None:
    """An ingest that ends after so many uploads."""
    uploads = iter(range(after))

    def upsert(name: str, points: PointBatch) -> None:
        if next(uploads, None) is None:
            raise Killed
        real(name, points)

    real, drop = store.upsert, store.drop
    store.upsert = upsert  # type: ignore[method-assign]
    store.drop = lambda name: None  # type: ignore[method-assign]
    with pytest.raises(Killed):
        ingest(source or SampleSource(), "en", store, encoder)
    store.upsert, store.drop = real, drop  # type: ignore[method-assign]


@pytest.mark.parametrize("uploads", [0, 1, 4, 100])
def test_resume(
    uploads: int, encoder: FakeEncoder, undisturbed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.pipeline.CHUNK_SIZE", 20)
    with serving(LocalQdrant()) as url, closing(open_store(url)) as store:
        if uploads < 100:
            interrupted(store, encoder, uploads)
        else:
            # All points are stored, and the ingest is killed before it finishes the build.
            store.finish, finish = interrupted_finish, store.finish  # type: ignore[method-assign]
            with pytest.raises(Killed):
                store.drop, drop = lambda name: None, store.drop  # type: ignore[method-assign]
                ingest(SampleSource(), "en", store, encoder)
            store.finish, store.drop = finish, drop  # type: ignore[method-assign]
        [left] = store.collections()
        assert (left.metadata.status, left.aliases) == ("building", ())
        had = contents(store, left.name)
        encoder = FakeEncoder(dim=DIM)
        summary = ingest(SampleSource(), "en", store, encoder, resume=True)
        assert summary.collection == left.name
        assert contents(store, summary.alias) == undisturbed
        assert store.verify(summary.alias) == []
        # A text is embedded again only for another concept that has it too.
        assert len(encoder.documents) <= len(undisturbed) - len(had)
        assert [info.name for info in store.collections()] == [left.name]


INGEST = f"""
import sys
from fake_encoder import FakeEncoder
from ingest.pipeline import ingest
from ingest.sources import SampleSource
from jobsearch.store import open_store
from jobsearch.store.server import requests
requests._UPSERT_BYTES = 18_000
ingest(SampleSource(), "en", open_store(sys.argv[1]), FakeEncoder(dim={DIM}))
"""


@pytest.mark.parametrize(
    ("method", "path", "times"),
    [("PUT", "/points", 10), ("PATCH", "", 1), ("POST", "/aliases", 1)],
)
def test_a_process_that_is_killed_during_a_request(
    method: str, path: str, times: int, encoder: FakeEncoder, undisturbed: dict[str, str]
) -> None:
    local, seen = LocalQdrant(), []
    children: list[subprocess.Popen[bytes]] = []

    def answer(asked: str, where: str, body: Any) -> Answer:
        if children and asked == method and where.endswith(path):
            seen.append(where)
            if len(seen) == times:
                children[0].kill()
        return local(asked, where, body)

    with serving(answer) as url, closing(open_store(url)) as store:
        command = [sys.executable, "-c", INGEST, url]
        path_of_tests = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        children.append(subprocess.Popen(command, env=path_of_tests))
        assert children[0].wait(timeout=120) == -signal.SIGKILL
        children.clear()
        # Let the server finish its current request.
        time.sleep(0.2)
        before = store.aliases()
        [left] = store.collections()
        assert (before == {}) == (path != "/aliases")
        summary = ingest_sample(store, encoder, resume=True)
        assert summary.collection == left.name
        assert contents(store, summary.alias) == undisturbed
        assert store.verify(summary.alias) == []
        assert [info.name for info in store.collections()] == [left.name]


def interrupted_finish(name: str, metadata: CollectionMetadata) -> None:
    raise Killed


def test_resume_creates_missing_indexes(encoder: FakeEncoder) -> None:
    local = LocalQdrant()
    with serving(local) as url, closing(open_store(url)) as store:
        interrupted(store, encoder, 0)
        [left] = store.collections()
    local.indexed[left.name] = ["isco"]
    with serving(local) as url, closing(open_store(url)) as store:
        summary = ingest(SampleSource(), "en", store, encoder, resume=True)
        assert summary.collection == left.name
        assert set(local.indexed[left.name]) == set(FILTER_FIELDS)
        assert store.verify(summary.alias) == []
        local.indexed[left.name] = ["isco"]
        assert store.verify(summary.alias)[0].startswith("no index of language, source, ")


def test_resume_needs_the_same_plan(encoder: FakeEncoder, undisturbed: dict[str, str]) -> None:
    with serving(LocalQdrant()) as url, closing(open_store(url)) as store:
        interrupted(store, encoder, 1)
        [left] = store.collections()
        other = ingest(
            SampleSource(), "en", store, encoder, resume=True, storage=VectorStorage("int8")
        )
        assert other.collection != left.name
        fresh = ingest(SampleSource(), "en", store, encoder, force=True)
        assert fresh.collection != left.name
        assert contents(store, fresh.alias) == undisturbed


def test_only_the_last_builder_may_finish_a_build(encoder: FakeEncoder) -> None:
    with (
        serving(LocalQdrant()) as url,
        closing(open_store(url)) as one,
        closing(open_store(url)) as two,
    ):
        name = build_name(ALIAS, encoder_info())
        one.create(name, metadata(COUNT))
        one.upsert(name, POINTS)
        two.upsert(name, POINTS)
        with pytest.raises(CollectionChanged, match="another process has resumed"):
            one.finish(name, metadata(COUNT))
        with pytest.raises(CollectionChanged, match="another process has resumed"):
            one.drop(name)
        two.finish(name, metadata(COUNT))
        two.swap_alias(ALIAS, name, expected=None)
        assert one.verify(ALIAS) == []


def test_resume_needs_the_same_topology() -> None:
    local = LocalQdrant()

    def with_two_shards(method: str, path: str, body: Any) -> Answer:
        status, answer = local(method, path, body)
        if method == "GET" and "config" in (answer.get("result") or {}):
            answer["result"]["config"]["params"]["shard_number"] = 2
        return status, answer

    name = build_name(ALIAS, encoder_info())
    with serving(with_two_shards) as url:
        with closing(open_store(url, topology=Topology(shards=2))) as begun:
            begun.create(name, metadata(COUNT))
        with (
            closing(open_store(url, topology=Topology(shards=6))) as other,
            pytest.raises(StoreError, match="was begun with 2 shards"),
        ):
            other.upsert(name, POINTS)
        with closing(open_store(url, topology=Topology(shards=2))) as same:
            same.upsert(name, POINTS)


def test_few_titles_are_checked_although_many_are_kept(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    table = tmp_path / "jobs.csv"
    table.write_text("title\n" + "".join(f"plumber for {n} houses\n" for n in range(300)))
    with serving(LocalQdrant()) as url, closing(open_store(url)) as store:
        ingest(SampleSource(), "en", store, encoder)
        source = TableSource(table, title="title", language="en")
        interrupted(store, encoder, 1, source)
        real = store.query

        def query(name: str, vectors: Vectors, **options: Any) -> list[list[ScoredPoint]]:
            sizes.append(len(vectors))
            return real(name, vectors, **options)

        monkeypatch.setattr(store, "query", query)
        summary = ingest(source, "en", store, encoder, resume=True)
        assert summary.kept_sources
        assert store.count(summary.alias) == summary.total_points
    assert sizes
    assert max(sizes) <= 64


def test_resume_without_an_unfinished_build(
    tmp_path: Path, encoder: FakeEncoder, undisturbed: dict[str, str]
) -> None:
    with closing(open_store(str(tmp_path / "store"))) as store:
        summary = ingest(SampleSource(), "en", store, encoder, resume=True)
        assert contents(store, summary.alias) == undisturbed
