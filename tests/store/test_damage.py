"""Damage, seen from outside: no file of a store can end the process, or pass for a whole one.

Each damage is tried in a process of its own, so that one which kills the engine is seen and named.
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

#: The build before the live one is smaller, so that one cannot be taken for the other.
BEFORE = 20
#: The engine writes this much in the beginning of its files, which are holes after that.
HEAD = 1 << 16

Told = Callable[[], str]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a live build and the one before it; tests leave it as it was."""
    path = tmp_path_factory.mktemp("damage") / "store"
    with closing(EmbeddedStore(path)) as opened:
        build(opened, batch(TITLES[:BEFORE], VECTORS[:BEFORE]))
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
def told(reader: "subprocess.Popen[str]") -> Told:
    """What a process of its own says of the live collection."""

    def ask() -> str:
        assert reader.stdin
        assert reader.stdout
        reader.stdin.write("\n")
        reader.stdin.flush()
        return reader.stdout.readline().strip()

    return ask


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


def outcomes(store: Path, files: list[Path], told: Told) -> dict[tuple[str, str], str]:
    """What is told after each damage to each file; the files are as before in the end."""
    found = {}
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(HEAD)
        for how, damage in DAMAGES.items():
            damage(file, head)
            if not file.exists() or file.stat().st_size != size or file.read_bytes()[:HEAD] != head:
                found[str(file.relative_to(store)), how] = told()
            file.write_bytes(head)
            os.truncate(file, size)
    assert told() == "whole"
    return found


def test_points(store: Path, live: Path, told: Told) -> None:
    files = sorted(p for p in live.rglob("*") if p.is_file())
    found = outcomes(store, files, told)
    assert len(found) > 200
    for (file, how), said in found.items():
        assert said.startswith("refused: "), (file, how, said)
        assert str(store / file) in said, (file, how)
        assert "is damaged" in said, (file, how)
        assert "or ingest the titles again" in said, (file, how)


def test_all_other_files(store: Path, live: Path, told: Told) -> None:
    """Locks and the reserve are made anew; the build before has no part in it."""
    files = [p for p in store.rglob("*") if p.is_file() and p.name != "manifest.json"]
    others = [p for p in files if live not in p.parents]
    names = {p.name for p in others}
    assert {"store.lock", "reserve"} <= names
    before = [p for p in others if "segments" in p.parts][::10]
    others = [p for p in others if "segments" not in p.parts] + before
    assert set(outcomes(store, others, told).values()) == {"whole"}


def test_the_manifest(store: Path, told: Told) -> None:
    """A bit of it may be one that the answer does not depend on; nothing else is answered."""
    manifest = store / "manifest.json"
    whole = manifest.read_bytes()
    found = outcomes(store, [manifest], told)
    for place in range(7, len(whole), len(whole) // 60):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        manifest.write_bytes(altered)
        found["manifest.json", f"bit {place % 8} of byte {place}"] = told()
    manifest.write_bytes(whole)
    told_kinds = {how: said for (_, how), said in found.items()}
    for how, said in told_kinds.items():
        assert said == "whole" or said.startswith("refused: "), (how, said)
        assert said == "whole" or str(store) in said or ALIAS in said, (how, said)
    for how in ("deleted", "empty", "half", "zeros"):
        assert str(manifest) in told_kinds[how]
        assert "ingest the titles again" in told_kinds[how]


STRANGE = {
    "deep": b"[" * 200_000,
    "endless number": (b'"generation": 0', b'"generation": 1e999'),
    "another generation": (b'"generation": 0', b'"generation": 7'),
    "negative": (b'"generation": 0', b'"generation": -1'),
    "outside": (b'"segments/', b'"../segments/'),
}


@pytest.mark.parametrize("change", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_manifest(store: Path, told: Told, change: bytes | tuple[bytes, bytes]) -> None:
    manifest = store / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(change if isinstance(change, bytes) else whole.replace(*change))
    said = told()
    manifest.write_bytes(whole)
    assert said.startswith("refused: ")
    assert "is damaged" in said or f"{manifest} cannot be read" in said
    assert told() == "whole"


@pytest.mark.parametrize("whose", ["its own", "another build's", "nobody's"])
def test_a_segment_that_was_not_sealed(store: Path, live: Path, told: Told, whose: str) -> None:
    """As a backup leaves one that is unpacked over a store: the engine would answer from it too."""
    [own] = (live / "segments").iterdir()
    strange = live / "segments" / "6d6f6e6f-0000-4000-8000-000000000000"
    if whose == "nobody's":
        strange.mkdir()
    else:
        folders = store.glob("collections/*/0/segments/*")
        [other] = [folder for folder in folders if folder != own]
        shutil.copytree(own if whose == "its own" else other, strange)
    said = told()
    with closing(EmbeddedStore(store)) as opened:
        found = opened.verify(ALIAS)
    shutil.rmtree(strange)
    assert said.startswith("refused: ")
    assert f"{strange} is not part of it" in said
    assert found == [f"{strange} is not part of it"]
    assert told() == "whole"
