"""Connections to a Qdrant server."""

import ipaddress
import re
import socket
import warnings
from urllib.parse import SplitResult, urlsplit

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client import QdrantClient

from jobsearch.errors import InvalidInput, StoreError
from jobsearch.store.server.errors import (
    BAD_ANSWER,
    bad_answer_error,
    cause_without,
    map_client_error,
)
from jobsearch.store.server.limits import MAX_ANSWER_BYTES, limit, limit_client, mask
from jobsearch.store.server.snapshots import ServerSnapshots
from jobsearch.store.server.store import ServerStore
from jobsearch.types import Topology

#: The first release that stores metadata with a collection.
MIN_SERVER = (1, 16)

_DEFAULT_PORT = 6333
_MAX_VERSION_CHARS = 20
_HEADER_VALUE = re.compile("[!-~]+(?: +[!-~]+)*")
_GRPC_CONNECT_S = 0.5
_GRPC_ANSWER_S = 2


def connect(
    location: str, *, api_key: str | None, timeout_s: float, retry_s: float, topology: Topology
) -> ServerStore:
    """Connect to a server, ``http(s)://host[:port]`` with default port 6333, or to ``:memory:``.

    Vectors are sent by gRPC if the port after the REST port speaks gRPC and accepts the key, as in
    a default installation (6333 and 6334). Otherwise they are sent by REST, also if the URL has a
    path, which gRPC does not support.

    Raises:
        InvalidInput: the URL or the key is invalid, or the key would be sent unencrypted.
        StoreUnavailable: the server does not answer.
        StoreError: the server is too old or rejects the key.
    """
    if location == ":memory:":
        client = QdrantClient(":memory:")
        return ServerStore(client, client, ":memory:", local=True)
    url = _check_url(location, api_key)
    shown = _without_secrets(url)
    control = _client(location, url, api_key, timeout_s, prefer_grpc=False)
    try:
        _check_server(control, shown, api_key)
    except Exception as error:
        control.close()
        mapped = map_client_error(error, shown, api_key)
        if mapped is None and isinstance(error, BAD_ANSWER):
            mapped = bad_answer_error(error, shown, api_key)
        if mapped is None:
            raise
        raise mapped from cause_without(api_key, error)
    bulk = _grpc_client(location, url, api_key, timeout_s) or control
    return ServerStore(
        control, bulk, shown, local=False, retry_s=retry_s, topology=topology, secret=api_key
    )


def connect_snapshots(location: str, *, api_key: str | None, timeout_s: float) -> ServerSnapshots:
    """Open the native snapshots of a server; no request is sent.

    Raises:
        InvalidInput: the URL or the key is invalid, or the key would be sent unencrypted.
    """
    url = _check_url(location, api_key)
    http = httpx.Client(
        base_url=(
            url if url.port else url._replace(netloc=f"{url.netloc}:{_DEFAULT_PORT}")
        ).geturl(),
        headers={"api-key": api_key} if api_key else None,
        timeout=timeout_s,
        trust_env=not _is_direct(url),
    )
    limit(http)
    return ServerSnapshots(http, _without_secrets(url), secret=api_key)


def _without_secrets(url: SplitResult) -> str:
    return f"{url.scheme}://{url.netloc}{url.path}"


def _check_url(location: str, api_key: str | None) -> SplitResult:
    # Messages do not show a URL, or a parser's message, that may contain a password.
    try:
        url = urlsplit(location)
        host, _ = url.hostname, url.port
    except ValueError:
        raise InvalidInput(
            "`store` is not a valid URL: give one such as http://localhost:6333"
        ) from None
    if url.scheme not in ("http", "https"):
        raise InvalidInput(
            f"`store` begins with {url.scheme}://, but a server's URL begins with http:// or "
            "https://: give one such as http://localhost:6333"
        )
    if not host:
        raise InvalidInput(
            f"`store` is {location!r}, which has no host: give a URL such as http://localhost:6333"
        )
    if url.username or url.password or url.query:
        raise InvalidInput(
            f"the URL of the store on {host} contains credentials: give `api_key` "
            "(JOBSEARCH_API_KEY) instead"
        )
    # Other URL parsers must find the same host as this one, since its security is checked here.
    bare = f"[{host}]" if ":" in host else host
    if url.netloc.lower().removesuffix(f":{url.port}") != bare or url.path.startswith("//"):
        raise InvalidInput(
            f"the URL of the store on {host} is ambiguous: give one such as http://localhost:6333"
        )
    if api_key and url.scheme == "http" and not _is_loopback(host):
        raise InvalidInput(
            f"`api_key` would be sent unencrypted to {host}: use https://, or no key"
        )
    # The error message of the HTTP library would show the key.
    if api_key and not _HEADER_VALUE.fullmatch(api_key):
        raise InvalidInput(
            "`api_key` (JOBSEARCH_API_KEY) contains outer white space, a line break or a character "
            "outside ASCII, which an HTTP header cannot contain: give the key alone"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_direct(url: SplitResult) -> bool:
    """Whether to bypass proxies: the URL is unencrypted, so the key must not leave this machine."""
    return url.scheme == "http" and _is_loopback(url.hostname or "")


def _client(
    location: str, url: SplitResult, api_key: str | None, timeout_s: float, *, prefer_grpc: bool
) -> QdrantClient:
    direct = _is_direct(url)
    with warnings.catch_warnings():
        # _check_url allows this only for a server on this machine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=location,
            port=_DEFAULT_PORT,
            grpc_port=(url.port or _DEFAULT_PORT) + 1,
            prefer_grpc=prefer_grpc,
            api_key=api_key,
            timeout=max(1, round(timeout_s)),
            # The client would only warn, from a thread; _check_server raises.
            check_compatibility=False,
            trust_env=not direct,
            grpc_options={
                "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
                **({"grpc.enable_http_proxy": 0} if direct else {}),
            },
        )
    limit_client(client, timeout_s, api_key)
    return client


def _check_server(client: QdrantClient, where: str, secret: str | None) -> None:
    version = client.info().version
    try:
        release = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        release = (0, 0)
    if release < MIN_SERVER:
        shown = mask(version, secret)[:_MAX_VERSION_CHARS]
        raise StoreError(
            f"the server at {where} is Qdrant {shown}, and jobsearch needs "
            f"{'.'.join(map(str, MIN_SERVER))} or newer: update it, or start a new one with "
            "`docker compose up -d`"
        )
    # The version needs no key; this request does.
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
    # The first request needs no key: a service that does not speak gRPC must not get the key.
    for key, request in ((None, QdrantClient.info), (api_key, QdrantClient.get_collections)):
        probe = _client(location, url, key, _GRPC_ANSWER_S, prefer_grpc=True)
        try:
            request(probe)
        except grpc.RpcError:
            # Another service listens there.
            return None
        finally:
            probe.close()
    return _client(location, url, api_key, timeout_s, prefer_grpc=True)
