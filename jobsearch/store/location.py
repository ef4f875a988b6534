"""Locations of stores: the path of a folder, the URL of a Qdrant server, or ``:memory:``."""

import re
from pathlib import Path

from jobsearch.errors import InvalidInput

#: A store in memory, which ends with its process.
MEMORY = ":memory:"

_EXAMPLE = "http://localhost:6333"
_PORT = 6333
_DOMAIN = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"
_IP_4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_SCHEME = re.compile(r"(https?)(?::|$)", re.IGNORECASE)
_HOST = re.compile(rf"localhost|{_IP_4}|{_DOMAIN}", re.IGNORECASE)
_ADDRESS = re.compile(r"(?P<host>[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::(?P<port>\d+))?", re.I)


def is_server(location: str) -> bool:
    """Whether a location is a URL."""
    return "://" in location


def check_folder(location: str) -> None:
    """Raise ``InvalidInput`` if a location looks like a server's address without ``http://``.

    Otherwise a misspelt URL would become an empty store in a folder of that name. A folder that
    exists is accepted, and so is a path that begins with ``/``, ``./`` or ``../``.
    """
    path = location.replace("\\", "/")
    first = path.partition("/")[0]
    if first in ("", ".", "..") or Path(first).exists() or Path(location).is_absolute():
        return
    if ":" in first or _SCHEME.match(first) or _HOST.fullmatch(first):
        # The text before @ may be a password.
        shown = location.rpartition("@")[2]
        raise InvalidInput(
            f"the store {shown!r} looks like the address of a server: give its URL {_url(path)}, "
            f"or ./{shown} for a folder of that name"
        )


def _url(path: str) -> str:
    """The URL that was probably meant, or an example."""
    scheme = _SCHEME.match(path.partition("/")[0])
    rest = path[scheme.end() :] if scheme else path
    address = _ADDRESS.fullmatch(rest.rpartition("@")[2].strip("/").partition("/")[0])
    if address is None:
        return _EXAMPLE
    host, port = address["host"], address["port"] or _PORT
    kind = scheme[1].lower() if scheme else _usual_scheme(host)
    return f"{kind}://{host}:{port}"


def _usual_scheme(host: str) -> str:
    return "https" if re.fullmatch(_DOMAIN, host, re.IGNORECASE) else "http"
