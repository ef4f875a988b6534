"""Connections to a Qdrant server."""

import ipaddress
import re
import socket
import warnings
from urllib.parse import SplitResult, urlsplit

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client import QdrantClient

from jobsearch.errors import InvalidInput, JobSearchError, StoreError
from jobsearch.store.server.errors import store_error_for
from jobsearch.store.server.snapshots import ServerSnapshots
from jobsearch.store.server.store import ServerStore
from jobsearch.types import Topology

#: The first release that keeps metadata with a collection.
MIN_SERVER = (1, 16)

_DEFAULT_PORT = 6333
_HEADER_VALUE = re.compile("[!-~]+(?: +[!-~]+)*")
_GRPC_CONNECT_S = 0.5
_GRPC_ANSWER_S = 2


def connect(
    location: str, *, api_key: str | None, timeout_s: float, retry_s: float, topology: Topology
) -> ServerStore:
    """Open the store of a server (``http(s)://host[:port]``, port 6333 if none) or ``:memory:``.

    Vectors travel by gRPC if the port after the REST port speaks it and takes the key, as in a
    default installation (6333 and 6334), else by REST; so they do if the URL has a path, which
    gRPC knows nothing of.

    Raises:
        InvalidInput: the URL or the key cannot be used, or the key would travel unencrypted.
        StoreUnavailable: nobody answers.
        StoreError: the server is too old or refuses the key.
    """
    if location == ":memory:":
        client = QdrantClient(":memory:")
        return ServerStore(client, client, ":memory:", local=True)
    url = _check_url(location, api_key)
    where = _shown(url)
    control = _client(location, url, api_key, timeout_s, prefer_grpc=False)
    try:
        _check_server(control, where)
    except Exception as error:
        control.close()
        if isinstance(error, JobSearchError) or (mapped := store_error_for(error, where)) is None:
            raise
        raise mapped from error
    bulk = _grpc_client(location, url, api_key, timeout_s) or control
    return ServerStore(control, bulk, where, local=False, retry_s=retry_s, topology=topology)


def connect_snapshots(location: str, *, api_key: str | None, timeout_s: float) -> ServerSnapshots:
    """The server's own snapshots; nothing is asked yet.

    Raises:
        InvalidInput: the URL or the key cannot be used, or the key would travel unencrypted.
    """
    url = _check_url(location, api_key)
    where = _shown(url)
    http = httpx.Client(
        base_url=(
            url if url.port else url._replace(netloc=f"{url.netloc}:{_DEFAULT_PORT}")
        ).geturl(),
        headers={"api-key": api_key} if api_key else None,
        timeout=timeout_s,
        trust_env=not _is_direct(url),
    )
    return ServerSnapshots(http, where)


def _shown(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc}{url.path}"


def _check_url(location: str, api_key: str | None) -> SplitResult:
    # Neither the URL nor the reason is shown where a password may be in it.
    try:
        url = urlsplit(location)
        host, _ = url.hostname, url.port
    except ValueError:
        raise InvalidInput(
            "what was given as the store is no URL that can be read: write http://localhost:6333"
        ) from None
    if url.scheme not in ("http", "https"):
        raise InvalidInput(
            f"the store's URL begins with {url.scheme}://, a server is asked by http:// or "
            "https://: write http://localhost:6333"
        )
    if not host:
        raise InvalidInput(f"the store {location!r} names no host: write http://localhost:6333")
    if url.username or url.password or url.query:
        raise InvalidInput(
            f"the store's URL on {host} must carry no credentials: set JOBSEARCH_API_KEY instead"
        )
    # What else reads the URL must find the host that is checked here.
    bare = f"[{host}]" if ":" in host else host
    if url.netloc.lower().removesuffix(f":{url.port}") != bare or url.path.startswith("//"):
        raise InvalidInput(
            f"the store's URL on {host} can be read in two ways: write http://localhost:6333"
        )
    if api_key and url.scheme == "http" and not _is_loopback(host):
        raise InvalidInput(
            f"the API key would travel unencrypted to {host}: use https://, or no key"
        )
    # The HTTP library would name the key in its complaint.
    if api_key and not _HEADER_VALUE.fullmatch(api_key):
        raise InvalidInput(
            "the API key has white space around it, a line end or a character that is not ASCII, "
            "which no header can carry: set JOBSEARCH_API_KEY to the key alone"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_direct(url: SplitResult) -> bool:
    """Whether no proxy may be asked: what one is told unencrypted has left this machine."""
    return url.scheme == "http" and _is_loopback(url.hostname or "")


def _client(
    location: str, url: SplitResult, api_key: str | None, timeout_s: float, *, prefer_grpc: bool
) -> QdrantClient:
    direct = _is_direct(url)
    with warnings.catch_warnings():
        # Refused above unless the server is on this machine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=location,
            port=_DEFAULT_PORT,
            grpc_port=(url.port or _DEFAULT_PORT) + 1,
            prefer_grpc=prefer_grpc,
            api_key=api_key,
            timeout=max(1, round(timeout_s)),
            # Its own check warns from a thread; _check_server raises.
            check_compatibility=False,
            trust_env=not direct,
            grpc_options={"grpc.enable_http_proxy": 0} if direct else None,
        )


def _check_server(client: QdrantClient, where: str) -> None:
    version = client.info().version
    try:
        release = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        release = (0, 0)
    if release < MIN_SERVER:
        raise StoreError(
            f"the server at {where} is Qdrant {version}, jobsearch needs "
            f"{'.'.join(map(str, MIN_SERVER))} or newer: update it, `docker compose up -d` "
            "starts a new one"
        )
    # The version is told to everybody; this one asks for the key.
    client.get_collections()


def _grpc_client(
    location: str, url: SplitResult, api_key: str | None, timeout_s: float
) -> QdrantClient | None:
    if url.path.strip("/"):
        return None
    port = (url.port or _DEFAULT_PORT) + 1
    try:
        with socket.create_connection((url.hostname or "", port), timeout=_GRPC_CONNECT_S):
            pass
    except OSError:
        return None
    # The version is told to everybody; who does not speak gRPC is not told the key.
    for key, ask in ((None, QdrantClient.info), (api_key, QdrantClient.get_collections)):
        probe = _client(location, url, key, _GRPC_ANSWER_S, prefer_grpc=True)
        try:
            ask(probe)
        except grpc.RpcError:
            # Something else listens there.
            return None
        finally:
            probe.close()
    return _client(location, url, api_key, timeout_s, prefer_grpc=True)
