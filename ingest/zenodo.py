"""Zenodo's records, asked for as Zenodo wants to be asked."""

import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from requests import RequestException, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry

from jobsearch.errors import DownloadFailed

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
class Entry:
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


def read_record(session: Session, file: ZenodoFile) -> Entry:
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
            return Entry(entry["links"]["self"], int(entry["size"]), md5[1])
        problem = f"the checksum of {file.name} is {entry['checksum']!r} and no MD5"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"no record of Zenodo's ({type(error).__name__}: {error})"
    raise DownloadFailed(f"{file.record_url} cannot be read, {problem}: {file.by_hand}")
