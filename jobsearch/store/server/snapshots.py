"""Snapshots that a Qdrant server makes of a collection, with its graph and the indexes of fields.

See qdrant.tech/documentation/operations/snapshots.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from qdrant_client import models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tqdm import tqdm

from jobsearch.errors import CollectionMismatch, StoreDamaged, StoreError
from jobsearch.files import whole_file
from jobsearch.store.metadata import CollectionMetadata, check_alias
from jobsearch.store.server.errors import store_error_for

#: Where a server's collection keeps the alias it was built for: its name is lost in a snapshot.
ALIAS = "alias"

_CONFIG = ("config.json", "./config.json")
_MAX_CONFIG_BYTES = 4_000_000


def is_server_snapshot(path: Path) -> bool:
    """Whether a file is a tar archive, as all of them are."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except (OSError, ValueError, tarfile.TarError):
        return False


def read_snapshot(path: Path) -> tuple[str, CollectionMetadata]:
    """The alias and the metadata of the collection that a snapshot was made of.

    Raises:
        StoreError: the file is no snapshot of a collection of jobsearch.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            kept = json.loads(_config(archive))["metadata"]
        metadata = CollectionMetadata.from_dict(kept)
        return check_alias(kept[ALIAS], metadata.language, metadata.encoder), metadata
    except (
        OSError,
        tarfile.TarError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise StoreError(
            f"{path} is no snapshot that a Qdrant server made of a collection of jobsearch "
            f"({error or type(error).__name__})"
        ) from error
    except CollectionMismatch as error:
        raise CollectionMismatch(f"{path}: {error}") from error


def _config(archive: tarfile.TarFile) -> bytes:
    for member in archive:
        if member.name in _CONFIG and member.isfile() and member.size <= _MAX_CONFIG_BYTES:
            file = archive.extractfile(member)
            return file.read() if file else b""
    raise LookupError("it has no config.json")


# While it makes one or takes one in, a server says nothing.
_SILENT_S = 3600.0
_CHUNK = 1 << 20
# An answer that is not of the form it should have.
_NONSENSE = (AttributeError, LookupError, TypeError, ValueError)


class ServerSnapshots:
    """The snapshots of a server that is one node: of a cluster, each node makes its own.

    Use :func:`jobsearch.store.open_server_snapshots`.

    Args:
        http: asks the server, with its key.
        location: URL without secrets, for messages.
    """

    def __init__(self, http: httpx.Client, location: str) -> None:
        self._http = http
        self._location = location

    def save(self, name: str, path: Path, *, progress: bool = False) -> None:
        """Have a snapshot made of a collection, and fetch it into ``path``, whole or not at all.

        Its SHA-256 lies beside it (``path`` with ``.sha256`` added, as ``sha256sum`` writes it).
        The server keeps no copy, unless it cannot be told to delete it.

        Raises:
            StoreError: the server is a cluster or refuses, the file cannot be written, or what
                arrives is not what was sent.
        """
        self._check_one_node()
        with whole_file(path, "choose another place", StoreError) as partial:
            with self._mapped():
                made = models.SnapshotDescription(**self._ask("POST", _snapshots_of(name)))
            there = _snapshots_of(name, made.name)
            try:
                digest = self._fetch(there, partial, made.size, path.name, progress=progress)
            finally:
                with suppress(StoreError):
                    self._ask("DELETE", there)
            if digest != (made.checksum or digest):
                raise StoreDamaged(
                    f"the snapshot of {name} arrived altered from {self._location}: try again"
                )
            read_snapshot(partial)
            _checksum_file(path).unlink(missing_ok=True)
        with whole_file(_checksum_file(path), "choose another place", StoreError) as partial:
            partial.write_bytes(f"{digest}  ".encode() + os.fsencode(path.name) + b"\n")

    def restore(self, path: Path, name: str, *, progress: bool = False) -> None:
        """Make a collection ``name``, which must not be there, of the snapshot in ``path``.

        Raises:
            StoreDamaged: the file is not what its ``.sha256`` says.
            StoreError: the server is a cluster, or does not take it.
        """
        self._check_one_node()
        digest = _checked_digest(path)
        with (
            path.open("rb") as file,
            tqdm.wrapattr(
                file, "read", path.stat().st_size, desc=path.name, **_bar(progress=progress)
            ) as counted,
        ):
            self._ask(
                "POST",
                _snapshots_of(name, "upload"),
                # Of a snapshot and a copy elsewhere, the snapshot counts.
                params={"priority": "snapshot", "wait": "true", "checksum": digest},
                files={"snapshot": (f"{name}.snapshot", counted)},
            )
        # Some versions keep what was uploaded.
        with suppress(StoreError), self._mapped():
            for kept in self._ask("GET", _snapshots_of(name)):
                self._ask("DELETE", _snapshots_of(name, kept["name"]))

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _check_one_node(self) -> None:
        with self._mapped():
            nodes = len(self._ask("GET", "/cluster").get("peers", {}))
        if nodes > 1:
            raise StoreError(
                f"{self._location} is a cluster of {nodes} nodes, each of which can only save "
                "what it holds itself: take a snapshot without --native, which has all"
            )

    def _fetch(self, there: str, partial: Path, size: int, called: str, *, progress: bool) -> str:
        digest = hashlib.sha256()
        with (
            self._mapped(),
            self._http.stream("GET", there) as response,
            partial.open("wb") as file,
            tqdm(total=size, desc=called, **_bar(progress=progress)) as bar,
        ):
            if response.is_error:
                response.read()
                raise UnexpectedResponse.for_response(response)
            for chunk in response.iter_bytes(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        return digest.hexdigest()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        with self._mapped():
            patience = httpx.Timeout(self._http.timeout.connect, read=_SILENT_S)
            response = self._http.request(method, path, timeout=patience, **options)
            if response.is_error:
                raise UnexpectedResponse.for_response(response)
            return response.json()["result"]

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RequestError, UnexpectedResponse, *_NONSENSE) as error:
            lost = isinstance(error, httpx.RequestError)
            mapped = store_error_for(
                ResponseHandlingException(error) if lost else error, self._location
            )
            raise mapped or StoreError(
                f"what answers at {self._location} is no Qdrant, or a broken one: {error}"
            ) from error


def _snapshots_of(name: str, *more: str) -> str:
    parts = (quote(part, safe="") for part in (name, "snapshots", *more))
    return "/collections/" + "/".join(parts)


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checked_digest(path: Path) -> str:
    """The SHA-256 of a file, which must be the one beside it, if there is one."""
    beside = _checksum_file(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        noted = beside.read_bytes().split()[:1] if beside.exists() else [digest.encode()]
    except OSError as error:
        raise StoreError(
            f"{path} and {beside.name} cannot be read ({error.strerror or error})"
        ) from error
    if noted != [digest.encode()]:
        raise StoreDamaged(
            f"{path} is not what {beside.name} says: it was altered or cut short since it was "
            "made; restore another one"
        )
    return digest


def _bar(*, progress: bool) -> dict[str, Any]:
    # None: only on a terminal.
    return {"unit": "B", "unit_scale": True, "disable": None if progress else True}
