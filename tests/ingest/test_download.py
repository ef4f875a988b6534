"""Downloads from a local Zenodo server: verification, resumption, retries, damaged files."""

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from zenodo_server import NAME, Zenodo, serving

from ingest.download import ATTEMPTS, TALENTCLEF_2025, Fetched, ZenodoFile, fetch
from jobsearch.errors import DownloadFailed
from jobsearch.files import file_lock

CONTENT = random.Random(0).randbytes(700_001)
CHUNK = 16 * 1024
HALF = len(CONTENT) // 2
BY_HAND = rf"download {NAME} by hand from http\S*/records/15292308 and .*jobsearch eval talentclef"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def zenodo() -> Iterator[Zenodo]:
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace sleeping by a list of the pauses in seconds."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def partial(zenodo: Zenodo, folder: Path) -> Path:
    return folder / f".{NAME}.{zenodo.md5}.partial"


def in_chunks(arrived: int) -> int:
    """Number of bytes saved from a connection that breaks after ``arrived`` bytes."""
    return arrived // CHUNK * CHUNK


def leave_partial(zenodo: Zenodo, folder: Path, content: bytes) -> None:
    folder.mkdir()
    partial(zenodo, folder).write_bytes(content)


def is_complete(fetched: Fetched, folder: Path) -> bool:
    """The file is right, and only its receipt and hidden lock files are beside it."""
    assert fetched.path == folder / NAME
    assert fetched.path.read_bytes() == CONTENT
    assert not list(folder.glob("*.partial")) and not list(folder.glob(".*.partial"))
    assert sorted(p.name for p in folder.iterdir() if p.name[0] != ".") == [NAME, f"{NAME}.json"]
    return True


def test_the_talentclef_file() -> None:
    assert TALENTCLEF_2025.record_url == "https://zenodo.org/api/records/15292308"
    assert "https://zenodo.org/records/15292308" in TALENTCLEF_2025.by_hand
    assert TALENTCLEF_2025.name == "TaskA.zip"


def test_a_file_and_its_receipt(zenodo: Zenodo, folder: Path) -> None:
    fetched = fetch(zenodo.file, folder)
    assert is_complete(fetched, folder)
    assert fetched.downloaded
    receipt = json.loads((folder / f"{NAME}.json").read_text())
    assert receipt.pop("verified_at").endswith("+00:00")
    assert receipt == {
        "url": f"{zenodo.site}/api/records/15292308/files/{NAME}/content",
        "size_bytes": len(CONTENT),
        "md5": hashlib.md5(CONTENT).hexdigest(),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert zenodo.user_agents == {f"jobsearch/{version('jobsearch')}"}
    assert zenodo.ranges == [None]


def test_waiting_for_another_download_times_out(
    zenodo: Zenodo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.download._LOCK_TIMEOUT_S", 0.1)
    with (
        file_lock(folder / f".{NAME}.lock", "the download", 0, DownloadFailed),
        pytest.raises(DownloadFailed, match=f"{NAME} is locked by process {os.getpid()} "),
    ):
        fetch(zenodo.file, folder)


def test_a_second_call_needs_no_network(zenodo: Zenodo, folder: Path) -> None:
    first = fetch(zenodo.file, folder)
    zenodo.requests.clear()
    said: list[str] = []
    second = fetch(zenodo.file, folder, say=said.append)
    assert (second.downloaded, second.sha256) == (False, first.sha256)
    assert second.verified_at == first.verified_at
    assert (zenodo.requests, said) == ([], [])


def test_a_file_downloaded_by_hand_is_verified(zenodo: Zenodo, folder: Path) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    fetched = fetch(zenodo.file, folder)
    assert is_complete(fetched, folder)
    assert not fetched.downloaded
    assert zenodo.ranges == []


@pytest.mark.parametrize("damaged", [CONTENT[:-1], CONTENT[::-1], b""])
def test_a_damaged_file_is_reported_and_downloaded_again(
    zenodo: Zenodo, folder: Path, damaged: bytes
) -> None:
    fetch(zenodo.file, folder)
    (folder / NAME).write_bytes(damaged)
    said: list[str] = []
    fetched = fetch(zenodo.file, folder, say=said.append)
    assert is_complete(fetched, folder)
    assert fetched.downloaded
    (line,) = said
    assert line.startswith(f"{folder / NAME} is damaged")


@pytest.mark.parametrize("receipt", ["{", "[]", "{}", '{"sha256": "00"}'])
def test_a_damaged_receipt_is_written_again(zenodo: Zenodo, folder: Path, receipt: str) -> None:
    first = fetch(zenodo.file, folder)
    (folder / f"{NAME}.json").write_text(receipt)
    assert not fetch(zenodo.file, folder).downloaded
    assert json.loads((folder / f"{NAME}.json").read_text())["sha256"] == first.sha256


def test_a_broken_connection_is_resumed(zenodo: Zenodo, folder: Path, pauses: list[float]) -> None:
    zenodo.faults = ["cut", "cut"]
    assert is_complete(fetch(zenodo.file, folder), folder)
    first = in_chunks(HALF)
    second = first + in_chunks((len(CONTENT) - first) // 2)
    assert zenodo.ranges == [None, f"bytes={first}-", f"bytes={second}-"]
    assert pauses == [1, 2]


def test_a_download_interrupted_on_every_attempt_is_kept(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    zenodo.faults = ["cut"] * ATTEMPTS
    with pytest.raises(DownloadFailed, match=r"interrupted 5 times.*try again to resume.*by hand"):
        fetch(zenodo.file, folder)
    assert pauses == [1, 2, 3, 4]
    assert not (folder / NAME).exists()
    arrived = partial(zenodo, folder).stat().st_size
    assert HALF < arrived < len(CONTENT)
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges[-1] == f"bytes={arrived}-"


def test_a_server_that_ignores_ranges(zenodo: Zenodo, folder: Path, pauses: list[float]) -> None:
    zenodo.faults = ["cut", "no-range"]
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == [None, f"bytes={in_chunks(HALF)}-"]


@pytest.mark.parametrize("fault", ["moved", 416])
def test_a_refused_or_wrong_range_restarts_the_download(
    zenodo: Zenodo, folder: Path, pauses: list[float], fault: str | int
) -> None:
    leave_partial(zenodo, folder, CONTENT[:1000])
    zenodo.faults = [fault]
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == ["bytes=1000-", None]


def test_a_wrong_partial_file_restarts_the_download(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    leave_partial(zenodo, folder, b"x" * 1000)
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == ["bytes=1000-", None]


def test_a_complete_partial_file_is_not_downloaded(zenodo: Zenodo, folder: Path) -> None:
    leave_partial(zenodo, folder, CONTENT)
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == []


def test_an_overlong_partial_file_restarts_the_download(zenodo: Zenodo, folder: Path) -> None:
    leave_partial(zenodo, folder, CONTENT + b"x")
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == [None]


@pytest.mark.parametrize("content", [b"", CONTENT[:HALF], CONTENT], ids=["empty", "half", "whole"])
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to])
def test_a_link_instead_of_the_partial_file_is_refused(
    zenodo: Zenodo, folder: Path, tmp_path: Path, content: bytes, plant: Callable[..., None]
) -> None:
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(content)
    plant(partial(zenodo, folder), precious)
    with pytest.raises(DownloadFailed, match=r"\.partial is a link .*: delete it"):
        fetch(zenodo.file, folder)
    assert precious.read_bytes() == content
    assert not (folder / NAME).exists()


def test_a_link_made_during_the_download_is_not_followed(
    zenodo: Zenodo, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    partial(zenodo, folder).symlink_to(precious)
    monkeypatch.setattr("ingest.download._ResumingDownloader._partial_size", lambda self: 0)
    with pytest.raises(DownloadFailed, match="cannot be written"):
        fetch(zenodo.file, folder)
    assert precious.read_bytes() == b"precious"


def test_writing_the_receipt_follows_no_link(zenodo: Zenodo, folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (folder / f".{NAME}.json.partial").symlink_to(precious)
    assert fetch(zenodo.file, folder).downloaded
    assert precious.read_bytes() == b"precious"


def test_a_partial_file_of_another_version_is_not_resumed(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    leave_partial(zenodo, folder, CONTENT[:1000])
    zenodo.content = random.Random(1).randbytes(5000)
    zenodo.md5 = hashlib.md5(zenodo.content).hexdigest()
    fetched = fetch(zenodo.file, folder)
    assert fetched.path.read_bytes() == zenodo.content
    assert zenodo.ranges == [None]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_request_to_a_busy_server_is_repeated(
    zenodo: Zenodo, folder: Path, pauses: list[float], status: int
) -> None:
    zenodo.faults = [status] * (ATTEMPTS - 1)
    zenodo.record_faults = [status] * (ATTEMPTS - 1)
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert pauses == [1, 2, 4, 1, 2, 4]  # The first repetition is immediate.


def test_retry_after_is_followed_up_to_a_minute(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    zenodo.record_faults, zenodo.retry_after = [429], "17"
    fetch(zenodo.file, folder)
    assert pauses == [17]
    (folder / NAME).unlink()
    zenodo.record_faults, zenodo.retry_after = [429], "86400"
    fetch(zenodo.file, folder)
    assert pauses == [17, 60]


@pytest.mark.parametrize(("status", "attempts"), [(503, ATTEMPTS), (404, 1), (403, 1)])
def test_an_error_status_for_the_file(
    zenodo: Zenodo, folder: Path, pauses: list[float], status: int, attempts: int
) -> None:
    zenodo.faults = [status] * 100
    with pytest.raises(DownloadFailed, match=rf"content answered {status} .*{BY_HAND}"):
        fetch(zenodo.file, folder)
    assert len(zenodo.ranges) == attempts
    assert not (folder / NAME).exists()


def test_an_error_status_for_the_record(zenodo: Zenodo, folder: Path, pauses: list[float]) -> None:
    zenodo.record_faults = [500] * 100
    with pytest.raises(DownloadFailed, match=rf"records/15292308 answered 500 .*{BY_HAND}"):
        fetch(zenodo.file, folder)
    assert len(zenodo.requests) == ATTEMPTS


def test_a_download_with_a_wrong_checksum_is_never_kept(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    zenodo.faults = ["other"]
    assert is_complete(fetch(zenodo.file, folder), folder)
    (folder / NAME).unlink()
    zenodo.faults = ["other"] * 100
    with pytest.raises(DownloadFailed, match=rf"a damaged file 5 times \(.* is {zenodo.md5}\)"):
        fetch(zenodo.file, folder)
    assert [p.name for p in folder.iterdir() if p.name[0] != "."] == [f"{NAME}.json"]
    assert not partial(zenodo, folder).exists()


def test_a_download_with_a_wrong_checksum_replaces_nothing(
    zenodo: Zenodo, folder: Path, pauses: list[float]
) -> None:
    folder.mkdir()
    (folder / NAME).write_bytes(b"of my own")
    zenodo.faults = ["other"] * 100
    with pytest.raises(DownloadFailed):
        fetch(zenodo.file, folder)
    assert (folder / NAME).read_bytes() == b"of my own"


def test_an_endless_body_is_cut_off(zenodo: Zenodo, folder: Path, pauses: list[float]) -> None:
    zenodo.faults = ["endless"]
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == [None, None]
    assert zenodo.sent < 100  # Only the data in the buffers of the connection was sent.


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"files": [{"key": "TaskC.zip"}]}, f"has no {NAME}, its files are TaskC.zip"),
        (b"<html>please log in</html>", "no Zenodo record"),
        ({"files": [{"key": NAME}]}, "no Zenodo record, KeyError: 'checksum'"),
        ({"message": "gone"}, "no Zenodo record, KeyError: 'files'"),
        ({"files": [{"key": NAME, "checksum": "sha1:00"}]}, "'sha1:00', not an MD5"),
    ],
)
def test_an_unusable_record(zenodo: Zenodo, folder: Path, record: object, message: str) -> None:
    zenodo.record = record
    with pytest.raises(DownloadFailed, match=f"{message}.*{BY_HAND}"):
        fetch(zenodo.file, folder)


def test_no_network(folder: Path, pauses: list[float]) -> None:
    nobody = ZenodoFile(15292308, NAME, "jobsearch eval talentclef", "http://127.0.0.1:9")
    with pytest.raises(DownloadFailed, match=rf"cannot be reached .ConnectionError.*{BY_HAND}"):
        fetch(nobody, folder)
    assert pauses == [1]  # Three attempts; the second is immediate.
    assert not folder.exists()


def test_an_unwritable_folder(zenodo: Zenodo, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(
        DownloadFailed, match=r"data/TaskA\.zip cannot be written .*another `folder`"
    ):
        fetch(zenodo.file, tmp_path / "data")
    (tmp_path / "folder" / NAME).mkdir(parents=True)
    with pytest.raises(DownloadFailed, match=r"TaskA\.zip cannot be written \(Is a directory\)"):
        fetch(zenodo.file, tmp_path / "folder")


def test_a_full_disk(zenodo: Zenodo, folder: Path) -> None:
    """The operating system refuses to write more than half of the file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, limits[1]))
    try:
        with pytest.raises(DownloadFailed, match=r"TaskA\.zip cannot be written .*make room"):
            fetch(zenodo.file, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (folder / NAME).exists()
    assert len(zenodo.ranges) == 1
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges[-1] == f"bytes={HALF}-"


def test_two_concurrent_calls_download_once(zenodo: Zenodo, folder: Path) -> None:
    zenodo.faults = ["hang"]
    done: list[Fetched] = []
    threads = [
        threading.Thread(target=lambda: done.append(fetch(zenodo.file, folder))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert zenodo.halfway.wait(10)
    # Both have read the record; one is downloading, and the other waits for it.
    for _ in range(200):
        if len(zenodo.requests) == 3:
            break
        time.sleep(0.05)
    zenodo.released.set()
    for thread in threads:
        thread.join(30)
    assert sorted(fetched.downloaded for fetched in done) == [False, True]
    assert is_complete(done[0], folder)
    # The download that hung was cut off, and the same thread resumed it.
    assert len(zenodo.ranges) == 2


def test_a_killed_download_is_resumed(zenodo: Zenodo, folder: Path) -> None:
    zenodo.faults = ["hang"]
    code = (
        "import sys; from ingest.download import ZenodoFile, fetch; "
        f"fetch(ZenodoFile(15292308, '{NAME}', '', sys.argv[1]), sys.argv[2])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, zenodo.site, str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        assert zenodo.halfway.wait(30)
        for _ in range(200):
            if partial(zenodo, folder).exists() and partial(zenodo, folder).stat().st_size:
                break
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    arrived = partial(zenodo, folder).stat().st_size
    assert 0 < arrived <= HALF
    assert [p.name for p in folder.iterdir() if p.name[0] != "."] == []
    assert is_complete(fetch(zenodo.file, folder), folder)
    assert zenodo.ranges == [None, f"bytes={arrived}-"]
