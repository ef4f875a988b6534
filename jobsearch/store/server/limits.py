"""Limits of one REST request: a deadline, and a size of its answer. And answers without the key.

httpx limits the time between two bytes, and the size of nothing: a server that sends a byte now and
then would be waited for without end, and a few compressed megabytes could fill the memory. gRPC
has a deadline of its own for each call.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx
from qdrant_client import QdrantClient

#: Maximum size of one answer. 1,000 points of 4,096 dimensions take 100 MB in JSON.
MAX_ANSWER_BYTES = 128 << 20

# A request is sent in pieces, because the deadline is checked before each of them.
_PIECE_BYTES = 1 << 16

#: Shown in place of the API key.
MASK = "***"


class AnswerRefused(Exception):
    """The answer is too large, or compressed."""


def mask(text: str, secret: str | None) -> str:
    """Replace every occurrence of the secret, also as JSON writes it, by :data:`MASK`."""
    for form in (secret, json.dumps(secret)[1:-1]) if secret else ():
        text = text.replace(form, MASK)
    return text


class _Request(threading.local):
    """The limits of the request that this thread is sending."""

    ends: float | None = None
    bytes_left = 0

    def timeout_s(self, given: float | None, error: type[Exception]) -> float | None:
        """The shorter of a timeout and the time that is left; raise if no time is left."""
        if self.ends is None:
            return given
        left = self.ends - time.monotonic()
        if left <= 0:
            raise error("the time for the whole request is over")
        return left if given is None else min(given, left)

    def count(self, received: int) -> None:
        if self.ends is None:
            return
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise AnswerRefused("the answer is larger than the limit")


_request = _Request()


@contextmanager
def limited(timeout_s: float, max_bytes: int | None = None) -> Iterator[None]:
    """Limit the request that this thread sends within the context, by a client of :func:`limit`.

    Args:
        timeout_s: time for the whole request, from the connection to the last byte of the answer.
        max_bytes: maximum size of the answer, including its headers; :data:`MAX_ANSWER_BYTES` if
            None.

    Raises:
        httpx.TimeoutException: the time is over.
        AnswerRefused: the answer is too large.
    """
    _request.ends = time.monotonic() + timeout_s
    _request.bytes_left = MAX_ANSWER_BYTES if max_bytes is None else max_bytes
    try:
        yield
    finally:
        _request.ends = None


class _Stream(httpcore.NetworkStream):
    """A connection that keeps the limits of the current request."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, _request.timeout_s(timeout, httpcore.ReadTimeout))
        _request.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            left = _request.timeout_s(timeout, httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + _PIECE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _request.timeout_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.NetworkBackend):
    """Opens connections that keep the limits."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        left = _request.timeout_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_tcp(host, port, left, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        left = _request.timeout_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._network.connect_unix_socket(path, left, socket_options))

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


def limit(http: httpx.Client) -> None:
    """Make a client keep the limits of :func:`limited`, and refuse compressed answers."""
    # httpx takes no network of one's own, neither for its connections nor for those by a proxy.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool: Any = transport._pool
            pool._network_backend = _Network(pool._network_backend)
    http.headers["accept-encoding"] = "identity"
    http.event_hooks = {"response": [_refuse_compressed]}


def _refuse_compressed(response: httpx.Response) -> None:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise AnswerRefused(f"the answer is compressed ({encoding[:20]}), which was not asked for")


def limit_client(client: QdrantClient, timeout_s: float, secret: str | None) -> None:
    """Give every REST request of a client a deadline and a size limit, and mask the API key.

    Args:
        client: the client.
        timeout_s: time for one request.
        secret: the API key; refusals of the server do not show it.
    """
    rest = client.http.client
    limit(rest._client)

    def send(request: httpx.Request, send_on: Callable[[httpx.Request], httpx.Response]) -> Any:
        with limited(timeout_s):
            response = send_on(request)
        if not response.is_error:
            return response
        content = mask(response.content.decode(errors="replace"), secret).encode()
        kept = [(name, text) for name, text in response.headers.items() if name == "retry-after"]
        return httpx.Response(response.status_code, headers=kept, content=content, request=request)

    rest.add_middleware(send)
