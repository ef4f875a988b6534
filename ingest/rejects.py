"""The list of rows that could not be used."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ingest.sources.base import Reject
from jobsearch.errors import SourceError, TooManyRejects
from jobsearch.whole_file import new_partial, put_in_place

_SHOWN_REASONS = 3


class RejectLog:
    """Counts rejects and writes them, one JSON object a line, as they come.

    Used as a context manager. The file appears when all rows have been read; if there are no
    rejects, one that an earlier run left is removed, for it no longer tells the truth.

    Args:
        path: where to write; they are only counted if None.

    Raises:
        SourceError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._partial: Path | None = None
        self._stream: TextIO | None = None
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, Reject] = {}

    def __enter__(self) -> "RejectLog":
        return self

    def add(self, reject: Reject) -> None:
        """Note one reject."""
        self._reasons[reject.reason] += 1
        self._examples.setdefault(reject.reason, reject)
        if self._path is None:
            return
        try:
            if self._stream is None:
                self._partial = new_partial(self._path)
                # What could not be decoded cannot be encoded either: it is shown as an escape.
                self._stream = self._partial.open("w", encoding="utf-8", errors="backslashreplace")
            self._stream.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")
        except OSError as error:
            raise self._cannot_write(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._path is None:
            return
        try:
            if self._stream is not None:
                self._stream.close()
            if error is not None:
                return
            if self._partial is not None:
                put_in_place(self._partial, self._path)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as problem:
            if error is None:
                raise self._cannot_write(problem) from problem
        finally:
            if self._partial is not None:
                with suppress(OSError):
                    self._partial.unlink(missing_ok=True)

    @property
    def file(self) -> Path | None:
        """The file that lists them, None if there is none."""
        return self._path if self._stream is not None else None

    def check_share(self, rejected: int, rows: int, limit: float, where: str) -> None:
        """Refuse a source of which too much is bad.

        Raises:
            TooManyRejects: with the commonest reasons and an example of each.
        """
        if rejected <= limit * rows:
            return
        reasons = "; ".join(
            f"{reason} ({count:,}, e.g. {self._examples[reason].file} "
            f"line {self._examples[reason].line})"
            for reason, count in self._reasons.most_common(_SHOWN_REASONS)
        )
        listed = f"All are listed in {self.file}. " if self.file else ""
        raise TooManyRejects(
            f"{where}: {rejected:,} of {rows:,} rows ({rejected / rows:.1%}) were rejected, more "
            f"than {limit:.1%}: {reasons}. {listed}Nothing was stored: correct the file, or allow "
            "more with --max-rejects"
        )

    def _cannot_write(self, error: OSError) -> SourceError:
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        return SourceError(
            f"cannot write the rejects to {self._path} ({error.strerror or error}): "
            "choose another folder with --rejects"
        )
