"""Files of :mod:`ingest.zenodo`: fetched whole and with the right checksum, or not at all.

What the record says of a file (address, size, MD5) decides. ``pooch`` compares the checksum,
fetches again what broke off or differs, and puts the file in its place in one step; urllib3 asks
again where the server is busy or cannot be reached at once. What neither has stands here: going on
with what a broken download has left, and a receipt beside the file, by which a later call sees
without the network that the file is whole.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pooch
from requests import RequestException, Response, Session
from tqdm import tqdm

from ingest.zenodo import ATTEMPTS, Entry, ZenodoFile, check_status, get, open_session, read_record
from jobsearch.errors import DownloadFailed
from jobsearch.store.locks import hold
from jobsearch.whole_file import whole_file

_OTHER_DOWNLOAD_S = 600
# What is lost of a connection that breaks, at most.
_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is there and whole.

    Args:
        path: where it lies.
        downloaded: whether that took a download; otherwise it was there.
        url: where the record says it comes from.
        size_bytes: of the file.
        md5: as the record has it.
        sha256: of the file.
        verified_at: when the MD5 was compared with the record's (ISO 8601, UTC).
    """

    path: Path
    downloaded: bool
    url: str
    size_bytes: int
    md5: str
    sha256: str
    verified_at: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "path": str(self.path)}


def _ignore(message: str) -> None:
    pass


def fetch(
    file: ZenodoFile,
    folder: str | Path,
    *,
    progress: bool = False,
    say: Callable[[str], None] = _ignore,
) -> Fetched:
    """Fetch a file, unless it is there and whole; one that is there and damaged is replaced.

    A download that is broken off leaves ``.<name>.<md5>.partial``, with which the next goes on. Of
    two at once the second waits for the first.

    Args:
        file: what to fetch.
        folder: where to put it; made if need be.
        progress: draw a bar on the standard error, if that is a terminal.
        say: is told, in one line, why a file that is there is fetched again.

    Raises:
        DownloadFailed: Zenodo cannot be reached or does not give the file; the folder cannot be
            written to.
        StoreLocked: another download of it did not end within ten minutes.
    """
    path = Path(folder) / file.name
    if known := _by_receipt(path):
        return known
    try:
        with open_session() as session:
            entry = read_record(session, file)
            with hold(path.with_name(f".{path.name}.lock"), f"{path}", _OTHER_DOWNLOAD_S):
                downloaded = not _is_whole(path, entry, say)
                if downloaded:
                    _download(session, file, entry, path, progress=progress)
                return _write_receipt(path, entry, downloaded=downloaded)
    except OSError as error:
        raise DownloadFailed(
            f"{path} cannot be written ({error.strerror or error}): make room, or choose another "
            "folder"
        ) from error


def _is_whole(path: Path, entry: Entry, say: Callable[[str], None]) -> bool:
    if not path.exists():
        return False
    if pooch.file_hash(path, "md5") == entry.md5:
        return True
    say(f"{path} is damaged (its checksum is not that of the record): it is fetched again")
    return False


def _download(
    session: Session, file: ZenodoFile, entry: Entry, path: Path, *, progress: bool
) -> None:
    """Put the file in its place, or leave that as it is."""
    folder = path.parent.absolute()
    library = pooch.create(
        path=folder,
        base_url=entry.url,
        registry={path.name: f"md5:{entry.md5}"},
        urls={path.name: entry.url},
        retry_if_failed=ATTEMPTS - 1,
    )
    partial = folder / f".{path.name}.{entry.md5}.partial"
    try:
        library.fetch(path.name, downloader=_Resuming(session, file, entry, partial, progress))
    except RequestException as error:  # before OSError: it is one
        raise DownloadFailed(
            f"{entry.url} broke off {ATTEMPTS} times ({error}): what has arrived is kept, run the "
            f"command again to go on, or {file.by_hand}"
        ) from error
    except ValueError as error:
        raise DownloadFailed(
            f"{entry.url} gave {ATTEMPTS} times other bytes than those of MD5 {entry.md5} that "
            f"{file.record_url} announces: try again later"
        ) from error


class _Resuming:
    """A downloader for pooch that goes on with a partial file.

    It raises a ``RequestException`` where pooch should call it again, with what is then there.
    """

    def __init__(
        self, session: Session, file: ZenodoFile, entry: Entry, partial: Path, progress: bool
    ) -> None:
        self._session, self._file, self._entry = session, file, entry
        self._partial, self._progress = partial, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        target = Path(output_file)
        # pooch has made it; left there, it would outlive a process that is killed.
        target.unlink(missing_ok=True)
        there = self._left()
        if there != self._entry.size_bytes:
            self._go_on(url, there if there < self._entry.size_bytes else 0)
        # From here on it is pooch's, which deletes it if its checksum is wrong.
        self._partial.replace(target)

    def _left(self) -> int:
        """Size of what a broken download has left; 0 if that is nothing.

        Others may write into that folder, too, and the name can be foreseen.
        """
        try:
            found = self._partial.lstat()
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise DownloadFailed(
                f"{self._partial} is no file that a download has left, but a link or the like: "
                "delete it, or choose another folder"
            )
        return found.st_size

    def _go_on(self, url: str, start: int) -> None:
        size = self._entry.size_bytes
        headers = {"Range": f"bytes={start}-"} if start else {}
        with get(self._session, self._file, url, headers=headers, stream=True) as response:
            if response.status_code == 416:
                self._partial.unlink(missing_ok=True)
                raise RequestException(f"the server does not go on at byte {start}")
            check_status(response, self._file)
            # 200 is the answer of a server that knows no ranges: all of the file.
            arrived = self._save(response, start if response.status_code == 206 else 0)
        if arrived < size:
            raise RequestException(f"{arrived:,} of {size:,} bytes arrived")

    def _save(self, response: Response, start: int) -> int:
        """Write the body from byte ``start`` on; returns the size of what is there then."""
        with (
            open(self._partial, "ab" if start else "wb", opener=_no_link) as out,
            tqdm(
                total=self._entry.size_bytes,
                initial=start,
                desc=self._file.name,
                unit="B",
                unit_scale=True,
                disable=None if self._progress else True,  # None: only on a terminal
            ) as bar,
        ):
            for chunk in response.iter_content(_CHUNK_BYTES):
                out.write(chunk)
                bar.update(len(chunk))
                if out.tell() > self._entry.size_bytes:
                    break  # not this file, and perhaps without end
            return out.tell()


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _receipt(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _by_receipt(path: Path) -> Fetched | None:
    """The file, if it is there with the bytes that its receipt names."""
    try:
        receipt = json.loads(_receipt(path).read_text(encoding="utf-8"))
        fetched = Fetched(path, downloaded=False, **receipt)
        return fetched if pooch.file_hash(path, "sha256") == fetched.sha256 else None
    except (OSError, ValueError, TypeError):
        return None


def _write_receipt(path: Path, entry: Entry, *, downloaded: bool) -> Fetched:
    receipt = {
        "url": entry.url,
        "size_bytes": entry.size_bytes,
        "md5": entry.md5,
        "sha256": pooch.file_hash(path, "sha256"),
        "verified_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with whole_file(_receipt(path), "make room, or choose another folder", DownloadFailed) as new:
        new.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    return Fetched(path, downloaded, **receipt)
