"""Files that are there when they are complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobsearch.errors import BenchmarkError


@contextmanager
def whole_file(path: Path, instead: str) -> Iterator[Path]:
    """Give a file to write; it takes the place of ``path`` if nothing is raised.

    Args:
        path: of the file; folders above it are made.
        instead: what to do if it cannot be written, e.g. "choose another file".

    Raises:
        BenchmarkError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be written ({error.strerror or error}): {instead}"
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
