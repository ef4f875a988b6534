"""Downloads a file of a Zenodo record, and verifies it.

The Zenodo record gives the address, size and MD5 of the file. A file appears under its name only if
it is complete and its checksum is right. ``pooch`` compares the checksum, retries a download that
was interrupted or is damaged, and moves the file into place atomically; urllib3 retries requests
while the server is busy or cannot be reached. This module adds two things: it resumes partial
downloads, and it writes a receipt beside the file, by which a later call verifies the file without
the network.
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
from jobsearch.files import check_target, file_lock, whole_file

#: Number of attempts of a request while the server is busy, and of a download.
ATTEMPTS = 5
_CONNECT_ATTEMPTS = 3
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 10, 30
_MAX_RETRY_AFTER_S = 60
_BUSY_STATUSES = (429, 500, 502, 503, 504)
# Time to wait for another download of the same file.
_LOCK_TIMEOUT_S = 600
# When a connection breaks, at most one chunk is lost.
_CHUNK_BYTES = 16 * 1024
_MD5 = re.compile("md5:([0-9a-f]{32})")
_DISK_REMEDY = "make room, or give another `folder`"


@dataclass(frozen=True, slots=True)
class ZenodoFile:
    """A file of a Zenodo record.

    Args:
        record: number of the record. It denotes one version, so its files do not change.
        name: name of the file.
        reader: command that reads the file, for messages.
        site: address of Zenodo.
    """

    record: int
    name: str
    reader: str
    site: str = "https://zenodo.org"

    @property
    def record_url(self) -> str:
        """Address of the record in Zenodo's API."""
        return f"{self.site}/api/records/{self.record}"

    @property
    def by_hand(self) -> str:
        """How to get the file without this module, for messages."""
        return (
            f"download {self.name} by hand from {self.site}/records/{self.record} "
            f"and give its path to `{self.reader} PATH`"
        )


TALENTCLEF_2025 = ZenodoFile(15292308, "TaskA.zip", "jobsearch eval talentclef")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete and verified file on this machine.

    Args:
        path: of the file.
        downloaded: False if the file was there already.
        url: address of the file in the record.
        size_bytes: of the file.
        md5: MD5 of the file in the record.
        sha256: SHA-256 of the file.
        verified_at: when the MD5 was compared with the record (ISO 8601, UTC).
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


@dataclass(frozen=True, slots=True)
class _RecordedFile:
    """The entry of a file in a record."""

    url: str
    size_bytes: int
    md5: str


def _ignore(message: str) -> None:
    pass


def fetch(
    file: ZenodoFile,
    folder: str | Path,
    *,
    progress: bool = False,
    say: Callable[[str], None] = _ignore,
) -> Fetched:
    """Download a file, unless a complete copy is in the folder; a damaged copy is replaced.

    An interrupted download leaves ``.<name>.<md5>.partial``, which the next call resumes. If two
    processes fetch the same file, the second waits for the first.

    Args:
        file: file to download.
        folder: of the file; created if needed.
        progress: draw a bar on the standard error, if that is a terminal.
        say: called with a message if a damaged copy is downloaded again.

    Raises:
        DownloadFailed: Zenodo cannot be reached or does not give the file, the folder cannot be
            written to, or another download of the file takes more than ten minutes.
    """
    path = Path(folder) / file.name
    if fetched := _from_receipt(path):
        return fetched
    try:
        check_target(path)
        with _open_session() as session:
            entry = _read_record(session, file)
            lock = path.with_name(f".{path.name}.lock")
            with file_lock(lock, str(path), _LOCK_TIMEOUT_S, DownloadFailed):
                downloaded = not _is_complete(path, entry, say)
                if downloaded:
                    _download(session, file, entry, path, progress=progress)
                return _write_receipt(path, entry, downloaded=downloaded)
    except OSError as error:
        raise DownloadFailed(
            f"{path} cannot be written ({error.strerror or error}): {_DISK_REMEDY}"
        ) from error


def _is_complete(path: Path, entry: _RecordedFile, say: Callable[[str], None]) -> bool:
    if not path.exists():
        return False
    if pooch.file_hash(path, "md5") == entry.md5:
        return True
    say(f"{path} is damaged (its MD5 differs from the record): downloading it again")
    return False


def _receipt(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _from_receipt(path: Path) -> Fetched | None:
    """The file, if it exists and has the SHA-256 in its receipt."""
    try:
        receipt = json.loads(_receipt(path).read_text(encoding="utf-8"))
        fetched = Fetched(path, downloaded=False, **receipt)
        return fetched if pooch.file_hash(path, "sha256") == fetched.sha256 else None
    except (OSError, ValueError, TypeError):
        return None


def _write_receipt(path: Path, entry: _RecordedFile, *, downloaded: bool) -> Fetched:
    receipt = {
        "url": entry.url,
        "size_bytes": entry.size_bytes,
        "md5": entry.md5,
        "sha256": pooch.file_hash(path, "sha256"),
        "verified_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with whole_file(_receipt(path), _DISK_REMEDY, DownloadFailed) as partial:
        partial.write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
    return Fetched(path, downloaded, **receipt)


def _read_record(session: Session, file: ZenodoFile) -> _RecordedFile:
    """Look up a file in its record.

    Raises:
        DownloadFailed: the record cannot be downloaded or read, or does not list the file.
    """
    response = _get(session, file, file.record_url)
    _check_status(response, file)
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
            return _RecordedFile(entry["links"]["self"], int(entry["size"]), md5[1])
        problem = f"the checksum of {file.name} is {entry['checksum']!r}, not an MD5"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"no Zenodo record, {type(error).__name__}: {error}"
    raise DownloadFailed(f"{file.record_url} cannot be read ({problem}): {file.by_hand}")


def _download(
    session: Session, file: ZenodoFile, entry: _RecordedFile, path: Path, *, progress: bool
) -> None:
    """Download the complete file to ``path``; on failure an earlier file stays as it is."""
    folder = path.parent.absolute()
    library = pooch.create(
        path=folder,
        base_url=entry.url,
        registry={path.name: f"md5:{entry.md5}"},
        urls={path.name: entry.url},
        retry_if_failed=ATTEMPTS - 1,
    )
    partial = folder / f".{path.name}.{entry.md5}.partial"
    downloader = _ResumingDownloader(session, file, entry, partial, progress)
    try:
        library.fetch(path.name, downloader=downloader)
    except RequestException as error:  # before OSError, its base class
        raise DownloadFailed(
            f"the download of {entry.url} was interrupted {ATTEMPTS} times ({error}): try again to "
            f"resume it, or {file.by_hand}"
        ) from error
    except ValueError as error:
        raise DownloadFailed(
            f"{entry.url} gave a damaged file {ATTEMPTS} times (the MD5 in {file.record_url} is "
            f"{entry.md5}): try again later"
        ) from error


class _ResumingDownloader:
    """Downloads a file for pooch, and resumes an earlier partial download.

    It raises ``RequestException`` if pooch should call it again to continue.
    """

    def __init__(
        self,
        session: Session,
        file: ZenodoFile,
        entry: _RecordedFile,
        partial: Path,
        progress: bool,
    ) -> None:
        self._session, self._file, self._entry = session, file, entry
        self._partial, self._progress = partial, progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        target = Path(output_file)
        # pooch has created this file. If the process were killed, it would be left behind.
        target.unlink(missing_ok=True)
        size = self._partial_size()
        if size != self._entry.size_bytes:
            self._request(url, size if size < self._entry.size_bytes else 0)
        # pooch deletes the target if its checksum is wrong.
        self._partial.replace(target)

    def _partial_size(self) -> int:
        """Size of the partial download, 0 if there is none.

        The name is predictable and others may write into the folder, so a link is refused.
        """
        try:
            status = self._partial.lstat()
        except FileNotFoundError:
            return 0
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise DownloadFailed(
                f"{self._partial} is a link or a special file, not a partial download: delete it, "
                "or give another `folder`"
            )
        return status.st_size

    def _request(self, url: str, start: int) -> None:
        """Download the file from byte ``start`` on into the partial file."""
        size = self._entry.size_bytes
        headers = {"Range": f"bytes={start}-"} if start else {}
        with _get(self._session, self._file, url, headers=headers, stream=True) as response:
            if response.status_code == 416:
                self._partial.unlink(missing_ok=True)
                raise RequestException(f"the server does not resume at byte {start}")
            _check_status(response, self._file)
            # A server without support for ranges answers 200 with the whole file.
            arrived = self._save(response, start if response.status_code == 206 else 0)
        if arrived < size:
            raise RequestException(f"{arrived:,} of {size:,} bytes arrived")

    def _save(self, response: Response, start: int) -> int:
        """Write the body from byte ``start`` on; returns the new size of the partial file."""
        with (
            open(self._partial, "ab" if start else "wb", opener=_open_no_link) as out,
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
                    break  # another file, perhaps endless
            return out.tell()


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _open_session() -> Session:
    """A session that repeats a request, after a pause, if that may help."""
    retry = _Retry(
        total=ATTEMPTS - 1,
        connect=_CONNECT_ATTEMPTS - 1,
        status_forcelist=_BUSY_STATUSES,
        backoff_factor=0.5,
        raise_on_status=False,
    )
    session = Session()
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.mount("http://", HTTPAdapter(max_retries=retry))
    # Zenodo asks clients to identify themselves, and has slowed down clients that did not
    # (https://github.com/fatiando/pooch/issues/502).
    session.headers["User-Agent"] = f"jobsearch/{version('jobsearch')}"
    # Without compression, sizes and ranges count bytes of the file.
    session.headers["Accept-Encoding"] = "identity"
    return session


class _Retry(Retry):
    """Waits as long as the server asks for, up to ``_MAX_RETRY_AFTER_S``."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        pause_s = super().get_retry_after(response)
        return None if pause_s is None else min(pause_s, _MAX_RETRY_AFTER_S)


def _get(session: Session, file: ZenodoFile, url: str, **options: Any) -> Response:
    """Request ``url``, with options of ``requests``; ``file`` is for messages.

    Raises:
        DownloadFailed: the server cannot be reached.
    """
    try:
        return session.get(url, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S), **options)
    except RequestException as error:
        raise DownloadFailed(
            f"{url} cannot be reached ({type(error).__name__}): check the network, or "
            f"{file.by_hand}"
        ) from error


def _check_status(response: Response, file: ZenodoFile) -> None:
    """Refuse an error answer.

    Raises:
        DownloadFailed: with the status.
    """
    if not response.ok:
        raise DownloadFailed(
            f"{response.url} answered {response.status_code} {response.reason}: try again later, "
            f"or {file.by_hand}"
        )
