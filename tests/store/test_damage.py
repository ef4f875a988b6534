"""Damaged files of a store are detected: they neither kill the process nor change its answers.

Each damage is tried in a child process, so that a test reports a crash of the engine.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from titles import ALIAS, POINTS, TITLES, VECTORS, batch, build

from jobsearch.store.embedded.store import EmbeddedStore

#: Number of points of the previous build; it differs from that of the live build.
PREVIOUS = 20
#: Number of bytes at the start of each file that the engine wrote; the rest is a hole.
HEAD = 1 << 16

Read = Callable[[], str]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a live and a previous build; each test restores it."""
    path = tmp_path_factory.mktemp("damage") / "store"
    with closing(EmbeddedStore(path)) as opened:
        build(opened, batch(TITLES[:PREVIOUS], VECTORS[:PREVIOUS]))
        build(opened, POINTS)
    return path


@pytest.fixture
def live(store: Path) -> Path:
    """The folder of the live build's points."""
    aliases = json.loads((store / "manifest.json").read_text())["aliases"]
    return store / "collections" / aliases[ALIAS] / "0"


@pytest.fixture(scope="module")
def reader(store: Path) -> Iterator["subprocess.Popen[str]"]:
    script = Path(__file__).with_name("isolated_reader.py")
    path = os.pathsep.join([str(script.parent), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, str(script), str(store), ALIAS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:  # fmt: skip
        yield process
        process.kill()


@pytest.fixture
def read(reader: "subprocess.Popen[str]") -> Read:
    """Read the live collection in a child process and return its one-line report."""

    def read_once() -> str:
        assert reader.stdin
        assert reader.stdout
        reader.stdin.write("\n")
        reader.stdin.flush()
        return reader.stdout.readline().strip()

    return read_once


Damage = Callable[[Path, bytes], object]


def zero(file: Path, head: bytes) -> None:
    size = file.stat().st_size
    file.write_bytes(b"")
    os.truncate(file, size)


def flip(file: Path, head: bytes) -> None:
    middle = len(head) // 2
    with file.open("r+b") as opened:
        opened.write(head[:middle] + bytes([head[middle] ^ 1]) if head else b"x")


DAMAGES: dict[str, Damage] = {
    "deleted": lambda file, _: file.unlink(),
    "empty": lambda file, _: file.write_bytes(b""),
    "half": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "zeros": zero,
    "one bit": flip,
}


def reports(store: Path, files: list[Path], read: Read) -> dict[tuple[str, str], str]:
    """Return the report after each damage to each file; the files are restored."""
    found = {}
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(HEAD)
        for how, damage in DAMAGES.items():
            damage(file, head)
            if not file.exists() or file.stat().st_size != size or file.read_bytes()[:HEAD] != head:
                found[str(file.relative_to(store)), how] = read()
            file.write_bytes(head)
            os.truncate(file, size)
    assert read() == "whole"
    return found


def test_points(store: Path, live: Path, read: Read) -> None:
    files = sorted(p for p in live.rglob("*") if p.is_file())
    found = reports(store, files, read)
    assert len(found) > 200
    for (file, how), report in found.items():
        assert report.startswith("refused: "), (file, how, report)
        assert str(store / file) in report, (file, how)
        assert "is damaged" in report, (file, how)
        assert "or ingest the titles again" in report, (file, how)


def test_all_other_files(store: Path, live: Path, read: Read) -> None:
    """Locks and the reserve are recreated; the previous build is not read."""
    files = [p for p in store.rglob("*") if p.is_file() and p.name != "manifest.json"]
    others = [p for p in files if live not in p.parents]
    names = {p.name for p in others}
    assert {"store.lock", "reserve"} <= names
    previous = [p for p in others if "segments" in p.parts][::10]
    others = [p for p in others if "segments" not in p.parts] + previous
    assert set(reports(store, others, read).values()) == {"whole"}


def test_the_manifest(store: Path, read: Read) -> None:
    """A flipped bit may be in a value that reading does not use; all other damage is refused."""
    manifest = store / "manifest.json"
    whole = manifest.read_bytes()
    found = reports(store, [manifest], read)
    for place in range(7, len(whole), len(whole) // 60):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        manifest.write_bytes(altered)
        found["manifest.json", f"bit {place % 8} of byte {place}"] = read()
    manifest.write_bytes(whole)
    by_damage = {how: report for (_, how), report in found.items()}
    for how, report in by_damage.items():
        assert report == "whole" or report.startswith("refused: "), (how, report)
        assert report == "whole" or str(store) in report or ALIAS in report, (how, report)
    for how in ("deleted", "empty", "half", "zeros"):
        assert str(manifest) in by_damage[how]
        assert "ingest the titles again" in by_damage[how]


STRANGE = {
    "deep": b"[" * 200_000,
    "endless number": (b'"generation": 0', b'"generation": 1e999'),
    "another generation": (b'"generation": 0', b'"generation": 7'),
    "negative": (b'"generation": 0', b'"generation": -1'),
    "outside": (b'"segments/', b'"../segments/'),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_manifest(store: Path, read: Read, change: bytes | tuple[bytes, bytes]) -> None:
    manifest = store / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(change if isinstance(change, bytes) else whole.replace(*change))
    report = read()
    manifest.write_bytes(whole)
    assert report.startswith("refused: ")
    assert "is damaged" in report or f"{manifest} cannot be read" in report
    assert read() == "whole"


@pytest.mark.parametrize("whose", ["its own", "another build's", "nobody's"])
def test_a_segment_that_was_not_sealed(store: Path, live: Path, read: Read, whose: str) -> None:
    """A backup unpacked over a store may add a segment, which the engine would search."""
    [own] = (live / "segments").iterdir()
    strange = live / "segments" / "6d6f6e6f-0000-4000-8000-000000000000"
    if whose == "nobody's":
        strange.mkdir()
    else:
        folders = store.glob("collections/*/0/segments/*")
        [other] = [folder for folder in folders if folder != own]
        shutil.copytree(own if whose == "its own" else other, strange)
    report = read()
    with closing(EmbeddedStore(store)) as opened:
        found = opened.verify(ALIAS)
    shutil.rmtree(strange)
    assert report.startswith("refused: ")
    assert f"{strange} is not part of the collection" in report
    assert found == [f"{strange} is not part of the collection"]
    assert read() == "whole"
