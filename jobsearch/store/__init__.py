"""The vector store: collections of titles in Qdrant, embedded or on a server.

Only this package imports ``qdrant_client`` and ``qdrant_edge``, each when a store that needs it is
opened.
"""

from typing import TYPE_CHECKING

from jobsearch.errors import InvalidInput
from jobsearch.store.location import MEMORY, check_folder, is_server
from jobsearch.store.metadata import CollectionMetadata, check_collection
from jobsearch.store.protocol import CollectionInfo, PointBatch, ScoredPoint, Store
from jobsearch.types import Topology

if TYPE_CHECKING:
    from jobsearch.store.server.snapshots import ServerSnapshots

__all__ = [
    "CollectionInfo",
    "CollectionMetadata",
    "PointBatch",
    "ScoredPoint",
    "Store",
    "check_collection",
    "open_server_snapshots",
    "open_store",
]


def open_store(
    location: str,
    *,
    api_key: str | None = None,
    timeout_s: float = 30.0,
    retry_s: float = 30.0,
    topology: Topology = Topology(),
) -> Store:
    """Open a store; opening writes nothing.

    Args:
        location: a folder (embedded engine), ``http(s)://host:port`` of a Qdrant server, or
            ``:memory:`` for a small store that ends with the process. A server's address without
            ``http(s)://`` is refused.
        api_key: API key of the server.
        timeout_s: timeout of one request to the server.
        retry_s: how long to retry temporary server failures (no answer, overload, internal errors).
            Opening does not retry.
        topology: how a server distributes new collections over a cluster.

    Raises:
        InvalidInput: the URL or the key is invalid, the key would be sent unencrypted, a topology
            is given for a folder, or the folder looks like the address of a server.
        StoreUnavailable: the server does not answer.
        StoreError: the server is too old or rejects the key.
    """
    if location == MEMORY or is_server(location):
        from jobsearch.store.server.connect import connect

        return connect(
            location, api_key=api_key, timeout_s=timeout_s, retry_s=retry_s, topology=topology
        )
    check_folder(location)
    if topology != Topology():
        raise InvalidInput(
            f"the store {location} is a folder, and `shards`, `replicas` and `write_consistency` "
            'need a Qdrant server: leave them out, or give `store="http://host:6333"`'
        )
    from jobsearch.store.embedded.store import EmbeddedStore

    return EmbeddedStore(location)


def open_server_snapshots(
    location: str, *, api_key: str | None = None, timeout_s: float = 30.0
) -> "ServerSnapshots":
    """Open the native snapshots of a server; opening sends no request.

    Args:
        location: ``http(s)://host:port`` of the server.
        api_key: API key of the server.
        timeout_s: how long to wait for a connection, or for the next bytes of a file.

    Raises:
        InvalidInput: the location is not a server, the URL or the key is invalid, or the key would
            be sent unencrypted.
    """
    if not is_server(location):
        raise InvalidInput(
            f"the store {location} is not a Qdrant server, and only a server saves and restores "
            'native snapshots: give `store="http://host:6333"`, or save a snapshot without '
            "`native`, which any store can restore"
        )
    from jobsearch.store.server.connect import connect_snapshots

    return connect_snapshots(location, api_key=api_key, timeout_s=timeout_s)
