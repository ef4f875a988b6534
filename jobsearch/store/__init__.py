"""The vector store: collections of titles in Qdrant, embedded or on a server.

Only this package knows ``qdrant_client`` and ``qdrant_edge``, and it loads one when a store of its
kind is opened.
"""

from typing import TYPE_CHECKING

from jobsearch.errors import InvalidInput
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
    """Open a store; nothing is written before something is stored.

    Args:
        location: a folder (embedded engine), ``http(s)://host:port`` of a Qdrant server, or
            ``:memory:`` for a small store that ends with the process.
        api_key: of the server.
        timeout_s: how long one request to the server may take.
        retry_s: how long to go on sending one while the server fails in passing (does not answer,
            is overloaded, has trouble of its own); it must answer at once when it is opened.
        topology: how a server spreads new collections over a cluster.

    Raises:
        InvalidInput: the location is empty, the key would travel unencrypted, or a folder is to be
            spread over a cluster.
        StoreUnavailable: the server does not answer.
        StoreError: it is too old or refuses the key.
    """
    if location == ":memory:" or "://" in location:
        from jobsearch.store.server.connect import connect

        return connect(
            location, api_key=api_key, timeout_s=timeout_s, retry_s=retry_s, topology=topology
        )
    if topology != Topology():
        raise InvalidInput(
            f"the store {location} is a folder of this machine: shards, replicas and write "
            "consistency are for a server, --store http://host:6333"
        )
    from jobsearch.store.embedded.store import EmbeddedStore

    return EmbeddedStore(location)


def open_server_snapshots(
    location: str, *, api_key: str | None = None, timeout_s: float = 30.0
) -> "ServerSnapshots":
    """The snapshots that a server makes itself; nothing is asked yet.

    Args:
        location: ``http(s)://host:port`` of the server.
        api_key: of the server.
        timeout_s: how long to wait for a connection, or for more of a file.

    Raises:
        InvalidInput: the location is no server, or the key would travel unencrypted.
    """
    if "://" not in location:
        raise InvalidInput(
            f"the store {location} is no Qdrant server, which alone makes and takes snapshots of "
            "its own: name one, --store http://host:6333, or take a snapshot without --native, "
            "which any store takes"
        )
    from jobsearch.store.server.connect import connect_snapshots

    return connect_snapshots(location, api_key=api_key, timeout_s=timeout_s)
