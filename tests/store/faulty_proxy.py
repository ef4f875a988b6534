"""A proxy between client and server that injects faults of networks and servers.

A fault affects the answer, after the server has carried out the request. This is the hard case,
since the client cannot know that the request was carried out.
"""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

LATENCY_S = 0.05
_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with timeout 0: closing resets the connection


def status(code: int, *headers: str) -> bytes:
    """An answer without a body."""
    lines = [f"HTTP/1.1 {code} No", "Content-Length: 0", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


#: Name of a fault -> function from an answer to the bytes that are sent and whether the connection
#: stays open, or to None for a reset. A hole sends nothing and keeps the connection open.
FAULTS: dict[str, Callable[[bytes], tuple[bytes, bool] | None]] = {
    "latency": lambda answer: (answer, True),
    "reset": lambda answer: None,
    "half": lambda answer: (answer[: len(answer) // 2], False),
    "hole": lambda answer: (b"", True),
    "429": lambda answer: (status(429), False),
    "429 with Retry-After": lambda answer: (status(429, "Retry-After: 1"), False),
    "500": lambda answer: (status(500), False),
    "503": lambda answer: (status(503), False),
}


class Faults:
    """Chooses faults at random, for a ``share`` of the answers; the seed makes it repeatable.

    Args:
        kinds: faults to choose from.
        seed: seed of the random choice.
    """

    def __init__(self, *kinds: str, seed: int = 0) -> None:
        self._kinds = kinds
        self._random = random.Random(seed)
        self._choosing = threading.Lock()
        self.share = 0.0
        self.struck = 0

    def next(self) -> str:
        """Return the fault for the next answer; empty for no fault."""
        with self._choosing:
            if self._random.random() >= self.share:
                return ""
            self.struck += 1
            return self._random.choice(self._kinds)


@contextmanager
def proxied(url: str, faults: Faults) -> Iterator[str]:
    """Serve ``url`` and the gRPC port after it on other ports; yield the new URL."""
    upstream = int(url.rsplit(":", 1)[1])
    while True:
        with ExitStack() as stack:
            rest = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = rest.getsockname()[1]
            try:
                grpc = stack.enter_context(socket.create_server(("127.0.0.1", port + 1)))
            except OSError:
                continue  # taken
            for server, to in ((rest, upstream), (grpc, upstream + 1)):
                stack.callback(server.shutdown, socket.SHUT_RDWR)
                args = (server, to, faults, server is rest)
                threading.Thread(target=_accept, args=args, daemon=True).start()
            yield f"http://127.0.0.1:{port}"
            return


def _accept(server: socket.socket, port: int, faults: Faults, rest: bool) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            try:
                upstream = socket.create_connection(("127.0.0.1", port))
            except OSError:
                client.close()
                continue
            pumps = ((_requests, ()), (_answers, (faults, rest)))
            for pump, more in pumps:
                args = (client, upstream, *more)
                threading.Thread(target=pump, args=args, daemon=True).start()


def _requests(client: socket.socket, upstream: socket.socket) -> None:
    with suppress(OSError):
        while data := client.recv(_CHUNK):
            upstream.sendall(data)
    _close(upstream)


def _answers(client: socket.socket, upstream: socket.socket, faults: Faults, rest: bool) -> None:
    with suppress(OSError):
        while data := upstream.recv(_CHUNK):
            # An HTTP answer may arrive in several pieces; only the first one gets a fault.
            fault = faults.next() if data.startswith(b"HTTP/") or not rest else ""
            if fault == "latency":
                time.sleep(LATENCY_S)
            outcome = FAULTS[fault](data) if fault else (data, True)
            if outcome is None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                _close(client, socket.SHUT_RD)
                break
            client.sendall(outcome[0])
            if not outcome[1]:
                break
    _close(client)
    _close(upstream)


def _close(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    # Shut down first: close alone has no effect while another thread reads from the socket.
    with suppress(OSError):
        connection.shutdown(how)
    connection.close()
