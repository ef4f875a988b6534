"""The files in which a Qdrant server's snapshots come: tar archives that only a server can read.

Of its own version or the next. What is read here is the collection's metadata, in ``config.json``,
before a server is given one.
"""

import json
import tarfile
from pathlib import Path

from jobsearch.errors import CollectionMismatch, StoreError
from jobsearch.store.metadata import CollectionMetadata
from jobsearch.store.names import check_alias

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
