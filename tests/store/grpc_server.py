"""A stand-in for Qdrant's gRPC interface, beside the REST interface of rest_server."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc.collections_service_pb2_grpc import (
    CollectionsServicer,
    add_CollectionsServicer_to_server,
)
from qdrant_client.grpc.points_service_pb2_grpc import (
    PointsServicer,
    add_PointsServicer_to_server,
)
from qdrant_client.grpc.qdrant_pb2_grpc import QdrantServicer, add_QdrantServicer_to_server
from rest_server import LocalQdrant, check_params, serving


class Health(QdrantServicer):
    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return messages.HealthCheckReply(title="qdrant", version="1.16.3")


class Collections(CollectionsServicer):
    def List(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return messages.ListCollectionsResponse()


class Points(PointsServicer):
    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.calls: list[str] = []
        self.keys: list[str | None] = []

    def _check(self, call: str, name: str, context: grpc.ServicerContext) -> None:
        self.calls.append(call)
        self.keys.append(dict(context.invocation_metadata()).get("api-key"))
        aliases = {each.alias_name for each in self.client.get_aliases().aliases}
        if name not in aliases and not self.client.collection_exists(name):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Collection {name} doesn't exist!")

    def Upsert(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._check("upsert", request.collection_name, context)
        assert request.wait
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        self.client.upsert(request.collection_name, points)
        return messages.PointsOperationResponse(
            result=messages.UpdateResult(operation_id=0, status=messages.UpdateStatus.Completed)
        )

    def QueryBatch(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._check("query", request.collection_name, context)
        queries = [GrpcToRest.convert_query_points(query) for query in request.query_points]
        for query in queries:
            check_params(query)
        found = self.client.query_batch_points(request.collection_name, queries)
        return messages.QueryBatchResponse(
            result=[
                messages.BatchResult(
                    result=[RestToGrpc.convert_scored_point(point) for point in answer.points]
                )
                for answer in found
            ]
        )

    def Scroll(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._check("scroll", request.collection_name, context)
        offset: models.ExtendedPointId | None = None
        if request.HasField("offset"):
            offset = GrpcToRest.convert_point_id(request.offset)
        records, following = self.client.scroll(
            request.collection_name,
            scroll_filter=(
                GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None
            ),
            limit=request.limit,
            offset=offset,
            with_payload=True,
            with_vectors=True,
        )
        return messages.ScrollResponse(
            result=[RestToGrpc.convert_record(record) for record in records],
            next_page_offset=(
                RestToGrpc.convert_extended_point_id(following) if following else None
            ),
        )


@contextmanager
def serving_grpc(
    certificate: Path | None = None, key: Path | None = None
) -> Iterator[tuple[str, Points]]:
    """Serve REST on a free loopback port and gRPC on the next one; yield the URL and the calls."""
    local, tls, credentials = LocalQdrant(), None, None
    if certificate and key:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        pair = (key.read_bytes(), certificate.read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
    while True:
        with serving(local, tls) as url:
            server = grpc.server(
                ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)]
            )
            points = Points(local.client)
            add_PointsServicer_to_server(points, server)
            add_CollectionsServicer_to_server(Collections(), server)
            add_QdrantServicer_to_server(Health(), server)
            where = f"127.0.0.1:{int(url.rsplit(':', 1)[1]) + 1}"
            try:
                if credentials:
                    server.add_secure_port(where, credentials)
                else:
                    server.add_insecure_port(where)
            except RuntimeError:
                continue  # taken
            server.start()
            try:
                yield url, points
            finally:
                server.stop(None).wait()
            return
