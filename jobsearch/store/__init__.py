"""The vector store: collections of titles in Qdrant, embedded or on a server.

Only this package knows ``qdrant_client`` and ``qdrant_edge``, and it loads one when a store of its
kind is opened.
"""

from jobsearch.store.base import CollectionInfo, PointBatch, ScoredPoint, Store, Vectors
from jobsearch.store.metadata import CollectionMetadata, check_collection

__all__ = [
    "CollectionInfo",
    "CollectionMetadata",
    "PointBatch",
    "ScoredPoint",
    "Store",
    "Vectors",
    "check_collection",
    "open_store",
]


def open_store(location: str, *, api_key: str | None = None, timeout_s: float = 30.0) -> Store:
    """Open a store; nothing is written before something is stored.

    Args:
        location: a folder (embedded engine), ``http(s)://host:port`` of a Qdrant server, or
            ``:memory:`` for a small store that ends with the process.
        api_key: of the server.
        timeout_s: how long one request to the server may take.

    Raises:
        InvalidInput: the location is empty, or the key would travel unencrypted.
        StoreUnavailable: the server does not answer.
        StoreError: it is too old or refuses the key.
    """
    if location == ":memory:" or location.startswith(("http://", "https://")):
        from jobsearch.store.connect import connect

        return connect(location, api_key=api_key, timeout_s=timeout_s)
    from jobsearch.store.edge import EdgeStore

    return EdgeStore(location)
