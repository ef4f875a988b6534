"""Untrusted folders and zip files."""

import gzip
import hashlib
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.sources import files
from ingest.sources.files import is_undecoded, open_tree, text_lines
from jobsearch.errors import SourceError, SourceFormatError, SourceNotFound, UnsafeArchive

Write = Callable[..., Path]


def zip_of(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def lines_of(path: Path) -> list[str]:
    return list(text_lines(lambda: path.open("rb"), str(path)))


def test_folder_and_zip_read_alike(tmp_path: Path, write: Write) -> None:
    write("folder/b.txt", "zwei\r\ndrei\n")
    write("folder/a/a.txt", "\ufeffäins\n")
    write("folder/.git/hidden.txt", "no")
    deep = write("folder/1/2/3/4/5/6/deep.txt", "too deep")
    folder = open_tree(tmp_path / "folder", "files")
    zipped = open_tree(
        zip_of(tmp_path / "f.zip", {"b.txt": "zwei\r\ndrei\n", "a/a.txt": "\ufeffäins\n"}), "files"
    )
    assert deep.exists()
    assert folder.names == zipped.names == ("a/a.txt", "b.txt")
    for tree in (folder, zipped):
        assert list(tree.lines("a/a.txt")) == ["äins\n"]
        assert list(tree.lines("b.txt")) == ["zwei\r\n", "drei\n"]
        assert tree.sha256("b.txt") == hashlib.sha256(b"zwei\r\ndrei\n").hexdigest()
    assert folder.where("b.txt") == str(tmp_path / "folder" / "b.txt")
    assert zipped.where("b.txt") == f"{tmp_path / 'f.zip'}!b.txt"


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"nowhere does not exist: give an export"):
        open_tree(tmp_path / "nowhere", "an export")


def test_a_text_file_is_neither_folder_nor_zip(write: Write) -> None:
    with pytest.raises(SourceFormatError, match="neither a folder nor a zip file: give an export"):
        open_tree(write("titles.txt", "nurse"), "an export")


def test_broken_zip(tmp_path: Path, write: Write) -> None:
    whole = zip_of(tmp_path / "whole.zip", {"a.txt": "nurse " * 500}).read_bytes()
    with pytest.raises(SourceFormatError, match=r"is damaged .*download it again"):
        open_tree(write("cut.zip", whole[: len(whole) // 2]), "an export")


def test_damaged_member(tmp_path: Path, write: Write) -> None:
    whole = bytearray(zip_of(tmp_path / "whole.zip", {"a.txt": "nurse cook " * 50}).read_bytes())
    start = 30 + len("a.txt")
    whole[start + 5 : start + 12] = b"\xff" * 7
    tree = open_tree(write("bad.zip", bytes(whole)), "an export")
    with pytest.raises(SourceFormatError, match=r"bad\.zip!a\.txt is damaged"):
        list(tree.lines("a.txt"))


@pytest.mark.parametrize(
    "name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "C:\\evil.csv", "..\\evil.csv"]
)
def test_member_with_a_path_outside_the_archive(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive, match="has a path outside the archive"):
        open_tree(zip_of(tmp_path / "f.zip", {name: "x"}), "an export")


def test_link_in_zip(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("occupations_en.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as target:
        target.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="is a link"):
        open_tree(tmp_path / "f.zip", "an export")


def test_zip_bomb(tmp_path: Path) -> None:
    bomb = zip_of(tmp_path / "f.zip", {"occupations_en.csv": "0" * (11 * 1024**2)})
    assert bomb.stat().st_size < 20_000
    with pytest.raises(UnsafeArchive, match="more than 200 times its size"):
        open_tree(bomb, "an export")


def test_zip_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(UnsafeArchive, match="unpack it yourself"):
        open_tree(zip_of(tmp_path / "f.zip", {"a.csv": "x" * 6, "b.csv": "x" * 6}), "an export")


def test_encrypted_zip(tmp_path: Path, write: Write) -> None:
    whole = bytearray(zip_of(tmp_path / "f.zip", {"a.csv": "x"}).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(mark) + offset] |= 1
    with pytest.raises(SourceFormatError, match=r"is encrypted \(member 'a\.csv'\)"):
        open_tree(write("locked.zip", bytes(whole)), "an export")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
def test_the_error_for_utf16_names_the_iconv_command(write: Write, encoding: str) -> None:
    path = write("occupations_en.csv", "title\nKöchin\n".encode(encoding))
    name = encoding.upper().replace("-BE", "BE").replace("-LE", "LE")
    with pytest.raises(SourceFormatError, match=rf"from byte 0 on, {name}: .*iconv -f {name} "):
        lines_of(path)


def test_reading_continues_after_bad_bytes(write: Write) -> None:
    first, second = lines_of(write("t.csv", b"K\xf6chin\nKoch\n"))
    assert is_undecoded(first)
    assert second == "Koch\n"
    assert not is_undecoded("Köchin")


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="cannot be read"):
        lines_of(tmp_path)


def test_a_huge_line_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("title\nnurse\n")
    os.truncate(path, 200 * 1024**2)
    tracemalloc.start()
    try:
        with pytest.raises(SourceFormatError, match=r"t\.csv has a line of 2,097,152 characters"):
            lines_of(path)
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024**2
    finally:
        tracemalloc.stop()


def test_a_line_of_almost_the_maximum_length_is_read(write: Write) -> None:
    line = "x" * (files.MAX_LINE_CHARS - 2) + "\n"
    assert lines_of(write("t.csv", line * 2)) == [line, line]


def test_named_pipes_are_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "occupations_en.csv")
    assert open_tree(tmp_path, "an export").names == ()


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS, ids=["stored", "deflated", "bzip2", "lzma"])
def test_zip_with_any_damaged_byte(tmp_path: Path, method: int) -> None:
    """The file is either read, or refused with a SourceError that names it."""
    path = tmp_path / "f.zip"
    with zipfile.ZipFile(path, "w", method) as target:
        target.writestr("occupations_de.csv", "title\nKöchin\n" * 5)
        target.writestr("ä.txt", "x")
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        for bits in (1, 0xFF):
            altered = bytearray(whole)
            altered[position] ^= bits
            path.write_bytes(altered)
            try:
                tree = open_tree(path, "an export")
                for name in tree.names:
                    list(tree.lines(name))
            except SourceError as error:
                refused += 1
                assert str(path) in str(error)
    assert refused > len(whole)


def test_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"title\n" + b"nurse\n" * 4_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(
        UnsafeArchive, match=r"t\.csv\.gz is not safe: it unpacks to more than 200 "
    ):
        for _ in text_lines(lambda: path.open("rb"), str(path)):
            pass


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"PK\x03\x04", "a zip file or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0", "an old or encrypted Excel workbook"),
        (b"PAR1\x15", "a Parquet file"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"%PDF-1.7", "a PDF file"),
    ],
)
def test_files_that_are_no_text(write: Write, start: bytes, name: str) -> None:
    with pytest.raises(SourceFormatError, match=rf"t\.csv is {name}, not a text file: unpack it"):
        lines_of(write("t.csv", start + bytes(50)))
