"""Native snapshots of a Qdrant server: one collection with its graph and payload indexes.

See qdrant.tech/documentation/operations/snapshots.
"""

import hashlib
import json
import math
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
from jobsearch.store.server.errors import (
    BAD_ANSWER,
    bad_answer_error,
    cause_without,
    map_client_error,
)
from jobsearch.store.server.limits import AnswerRefused, limited

#: Metadata key of the alias that a collection was built for; a snapshot does not have its name.
ALIAS = "alias"

_CONFIG = ("config.json", "./config.json")
_MAX_CONFIG_BYTES = 4_000_000


def is_server_snapshot(path: Path) -> bool:
    """Whether a file is a tar archive, the format of native snapshots."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except (OSError, ValueError, tarfile.TarError):
        return False


def read_snapshot(path: Path) -> tuple[str, CollectionMetadata]:
    """Read the alias and the metadata of the collection in a snapshot.

    Raises:
        StoreError: the file is not a native snapshot of a jobsearch collection.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            stored = json.loads(_config(archive))["metadata"]
        metadata = CollectionMetadata.from_dict(stored)
        return check_alias(stored[ALIAS], metadata.language, metadata.encoder), metadata
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
            f"{path} is not a native snapshot of a jobsearch collection "
            f"({error or type(error).__name__}): give a file that `jobsearch collections snapshot` "
            "wrote with `native`"
        ) from error
    except CollectionMismatch as error:
        raise CollectionMismatch(f"{path}: {error}") from error


def _config(archive: tarfile.TarFile) -> bytes:
    for member in archive:
        if member.name in _CONFIG and member.isfile() and member.size <= _MAX_CONFIG_BYTES:
            file = archive.extractfile(member)
            return file.read() if file else b""
    raise LookupError("it has no config.json")


# While a server creates or restores a snapshot, it sends nothing.
_PATIENCE_S = 3600.0
_CHUNK_BYTES = 1 << 20
# Headers of an answer, beside the file.
_HEADER_BYTES = 1 << 20


class ServerSnapshots:
    """Saves and restores native snapshots of a server with one node.

    In a cluster, each node would only save its own part. Use
    :func:`jobsearch.store.open_server_snapshots` to create one.

    Args:
        http: client with the server's URL and API key.
        location: URL without secrets, for messages.
        secret: the API key, which messages do not show.
    """

    def __init__(self, http: httpx.Client, location: str, *, secret: str | None = None) -> None:
        self._http = http
        self._location = location
        self._secret = secret

    def save(self, name: str, path: Path, *, progress: bool = False) -> None:
        """Save a snapshot of a collection to ``path``, atomically.

        The SHA-256 of the file is written to ``path`` with ``.sha256`` added, in the format of
        ``sha256sum``. The server's copy is deleted afterwards; a failure to delete it is ignored.

        Args:
            name: collection or alias.
            path: target file.
            progress: draw a progress bar on stderr, if that is a terminal.

        Raises:
            StoreError: the server is a cluster or refuses, or the file cannot be written.
            StoreDamaged: the file was altered on the way.
        """
        self._check_one_node()
        checksum_file = _checksum_file(path)
        with whole_file(checksum_file, "choose another place", StoreError) as checksum:
            with whole_file(path, "choose another place", StoreError) as partial:
                digest = self._save(name, partial, path.name, progress=progress)
                # It would not match the new snapshot.
                checksum_file.unlink(missing_ok=True)
            checksum.write_bytes(f"{digest}  ".encode() + os.fsencode(path.name) + b"\n")

    def _save(self, name: str, partial: Path, title: str, *, progress: bool) -> str:
        """Let the server make a snapshot, download and check it; returns its SHA-256."""
        with self._mapped_errors():
            made = models.SnapshotDescription(
                **self._request("POST", _snapshots_url(name), patience_s=_PATIENCE_S)
            )
        url = _snapshots_url(name, made.name)
        try:
            digest = self._fetch(url, partial, made.size, title, progress=progress)
        finally:
            with suppress(StoreError):
                self._request("DELETE", url)
        if digest != (made.checksum or digest):
            raise StoreDamaged(
                f"the snapshot of {name} from {self._location} was altered on the way: try again"
            )
        read_snapshot(partial)
        return digest

    def restore(self, path: Path, name: str, *, progress: bool = False) -> None:
        """Restore the snapshot in ``path`` as a new collection.

        Args:
            path: the snapshot.
            name: physical name of the new collection, which must not exist.
            progress: draw a progress bar on stderr, if that is a terminal.

        Raises:
            StoreDamaged: the file does not match its ``.sha256`` file.
            StoreError: the server is a cluster, or rejects the snapshot.
        """
        self._check_one_node()
        digest = _checked_digest(path)
        with (
            path.open("rb") as file,
            tqdm.wrapattr(
                file, "read", path.stat().st_size, desc=path.name, **_bar(progress=progress)
            ) as content,
        ):
            self._request(
                "POST",
                _snapshots_url(name, "upload"),
                # A large file may take hours.
                patience_s=math.inf,
                # If another replica exists, the snapshot wins.
                params={"priority": "snapshot", "wait": "true", "checksum": digest},
                files={"snapshot": (f"{name}.snapshot", content)},
            )
        # Some server versions keep the uploaded file.
        with suppress(StoreError), self._mapped_errors():
            for uploaded in self._request("GET", _snapshots_url(name)):
                self._request("DELETE", _snapshots_url(name, uploaded["name"]))

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    def _check_one_node(self) -> None:
        with self._mapped_errors():
            nodes = len(self._request("GET", "/cluster").get("peers", {}))
        if nodes > 1:
            raise StoreError(
                f"{self._location} is a cluster of {nodes} nodes, and a native snapshot of a node "
                "has only its own part of a collection: save and restore snapshots without `native`"
            )

    def _fetch(self, url: str, partial: Path, size: int, title: str, *, progress: bool) -> str:
        """Download a snapshot into ``partial`` and return its SHA-256."""
        digest = hashlib.sha256()
        with (
            self._mapped_errors(),
            # A large file may take hours, but no longer than its size.
            limited(math.inf, max(0, size) + _HEADER_BYTES),
            self._http.stream("GET", url) as response,
            partial.open("wb") as file,
            tqdm(total=size, desc=title, **_bar(progress=progress)) as bar,
        ):
            if response.is_error:
                response.read()
                raise UnexpectedResponse.for_response(response)
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
        return digest.hexdigest()

    def _request(
        self, method: str, path: str, *, patience_s: float | None = None, **options: Any
    ) -> Any:
        """Send a request and return its result; ``patience_s`` replaces the client's timeout."""
        usual = self._http.timeout
        whole_s = patience_s or usual.read or _PATIENCE_S
        with self._mapped_errors(), limited(whole_s):
            timeout = httpx.Timeout(usual.connect, read=min(whole_s, _PATIENCE_S))
            response = self._http.request(method, path, timeout=timeout, **options)
            if response.is_error:
                raise UnexpectedResponse.for_response(response)
            return response.json()["result"]

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RequestError, UnexpectedResponse, AnswerRefused, *BAD_ANSWER) as error:
            sent = isinstance(error, (httpx.RequestError, AnswerRefused))
            mapped = map_client_error(
                ResponseHandlingException(error) if sent else error, self._location, self._secret
            )
            mapped = mapped or bad_answer_error(error, self._location, self._secret)
            raise mapped from cause_without(self._secret, error)


def _snapshots_url(name: str, *more: str) -> str:
    parts = (quote(part, safe="") for part in (name, "snapshots", *more))
    return "/collections/" + "/".join(parts)


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _checked_digest(path: Path) -> str:
    """Return the SHA-256 of a file, after comparing it with its checksum file, if that exists."""
    checksum_file = _checksum_file(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        expected = [digest.encode()]
        if checksum_file.exists():
            expected = checksum_file.read_bytes().split()[:1]
    except OSError as error:
        raise StoreError(
            f"{path} and {checksum_file.name} cannot be read ({error.strerror or error}): "
            "check that they are readable files"
        ) from error
    if expected != [digest.encode()]:
        raise StoreDamaged(
            f"{path} does not match {checksum_file.name}: the file was altered or truncated; "
            "restore another snapshot"
        )
    return digest


def _bar(*, progress: bool) -> dict[str, Any]:
    # None disables the bar unless stderr is a terminal.
    return {"unit": "B", "unit_scale": True, "disable": None if progress else True}
