"""Files of :mod:`ingest.download`: fetched whole and with the right checksum, or not at all.

What the record says of a file (address, size, MD5) decides. ``pooch`` compares the checksum,
fetches again what broke off or differs, and puts the file in its place in one step; urllib3 asks
again where the server is busy or cannot be reached at once. What neither has stands here: going on
with what a broken download has left, and a receipt beside the file, by which a later call sees
without the network that the file is whole.
"""

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pooch
from requests import RequestException, Response, Session
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3 import BaseHTTPResponse, Retry

from jobsearch.errors import DownloadFailed
from jobsearch.files import file_lock, whole_file

#: How often a request is made where the server is busy.
ATTEMPTS = 5
_CONNECT_ATTEMPTS = 3
_CONNECT_S, _READ_S = 10, 30
_LONGEST_PAUSE_S = 60
_BUSY = (429, 500, 502, 503, 504)
_MD5 = re.compile("md5:([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class ZenodoFile:
    """A file of a Zenodo record.

    Args:
        record: number of the record, which is that of one version: its files do not change.
        name: of the file.
        reader: the command that reads it, for messages.
        site: where Zenodo is.
    """

    record: int
    name: str
    reader: str
    site: str = "https://zenodo.org"

    @property
    def record_url(self) -> str:
        """Where the record is asked for."""
        return f"{self.site}/api/records/{self.record}"

    @property
    def by_hand(self) -> str:
        """The way without this module."""
        return (
            f"download {self.name} by hand from {self.site}/records/{self.record} "
            f"and give its path to `{self.reader} PATH`"
        )


TALENTCLEF_2025 = ZenodoFile(15292308, "TaskA.zip", "jobsearch eval talentclef")


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """What a record says of a file."""

    url: str
    size_bytes: int
    md5: str


def open_session() -> Session:
    """A session that asks again, after a pause, where that may help."""
    retry = _Retry(
        total=ATTEMPTS - 1,
        connect=_CONNECT_ATTEMPTS - 1,
        status_forcelist=_BUSY,
        backoff_factor=0.5,
        raise_on_status=False,
    )
    session = Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.mount("http://", HTTPAdapter(max_retries=retry))
    # Zenodo asks clients to say who they are, and has held up those that did not
    # (https://github.com/fatiando/pooch/issues/502).
    session.headers["User-Agent"] = f"jobsearch/{version('jobsearch')}"
    # Sizes and ranges are those of the file as it is.
    session.headers["Accept-Encoding"] = "identity"
    return session


class _Retry(Retry):
    """Waits as long as the server asks, but no longer than a person would."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        pause_s = super().get_retry_after(response)
        return None if pause_s is None else min(pause_s, _LONGEST_PAUSE_S)


def get(session: Session, file: ZenodoFile, url: str, **options: Any) -> Response:
    """Ask for ``url``, with options of ``requests``; ``file`` is for messages.

    Raises:
        DownloadFailed: there is no answer.
    """
    try:
        return session.get(url, timeout=(_CONNECT_S, _READ_S), **options)
    except RequestException as error:
        raise DownloadFailed(
            f"{url} cannot be reached ({type(error).__name__}): check the network, or "
            f"{file.by_hand}"
        ) from error


def check_status(response: Response, file: ZenodoFile) -> None:
    """Refuse an answer that is an error.

    Raises:
        DownloadFailed: with the status.
    """
    if not response.ok:
        raise DownloadFailed(
            f"{response.url} answered {response.status_code} {response.reason}: try again later, "
            f"or {file.by_hand}"
        )


def read_record(session: Session, file: ZenodoFile) -> RecordedFile:
    """Ask the record for a file.

    Raises:
        DownloadFailed: the record cannot be had or read, or has no such file.
    """
    response = get(session, file, file.record_url)
    check_status(response, file)
    try:
        entries = {entry["key"]: entry for entry in response.json()["files"]}
        if file.name not in entries:
            raise DownloadFailed(
                f"{file.record_url} has no {file.name}, its files are {', '.join(entries)}: "
                f"{file.by_hand}"
            )
        entry = entries[file.name]
        md5 = _MD5.fullmatch(entry["checksum"])
        if md5:
            return RecordedFile(entry["links"]["self"], int(entry["size"]), md5[1])
        problem = f"the checksum of {file.name} is {entry['checksum']!r} and no MD5"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"no record of Zenodo's ({type(error).__name__}: {error})"
    raise DownloadFailed(f"{file.record_url} cannot be read, {problem}: {file.by_hand}")


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
            written to; or another download of the file does not end within ten minutes.
    """
    path = Path(folder) / file.name
    if known := _by_receipt(path):
        return known
    try:
        with open_session() as session:
            entry = read_record(session, file)
            lock = path.with_name(f".{path.name}.lock")
            with file_lock(lock, str(path), _OTHER_DOWNLOAD_S, DownloadFailed):
                downloaded = not _is_whole(path, entry, say)
                if downloaded:
                    _download(session, file, entry, path, progress=progress)
                return _write_receipt(path, entry, downloaded=downloaded)
    except OSError as error:
        raise DownloadFailed(
            f"{path} cannot be written ({error.strerror or error}): make room, or choose another "
            "folder"
        ) from error


def _is_whole(path: Path, entry: RecordedFile, say: Callable[[str], None]) -> bool:
    if not path.exists():
        return False
    if pooch.file_hash(path, "md5") == entry.md5:
        return True
    say(f"{path} is damaged (its checksum is not that of the record): it is fetched again")
    return False


def _download(
    session: Session, file: ZenodoFile, entry: RecordedFile, path: Path, *, progress: bool
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
        self, session: Session, file: ZenodoFile, entry: RecordedFile, partial: Path, progress: bool
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


def _write_receipt(path: Path, entry: RecordedFile, *, downloaded: bool) -> Fetched:
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
