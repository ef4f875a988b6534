"""Files that are there when they are complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobsearch.errors import JobSearchError


@contextmanager
def whole_file(path: Path, instead: str, error: type[JobSearchError]) -> Iterator[Path]:
    """Give a file to write; it takes the place of ``path`` if nothing is raised.

    Args:
        path: of the file; folders above it are made.
        instead: what to do if it cannot be written, e.g. "choose another file".
        error: what is raised then.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as reason:
        raise error(
            f"{path} cannot be written ({reason.strerror or reason}): {instead}"
        ) from reason
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
