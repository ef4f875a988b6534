"""Reads text files from untrusted folders and zip files.

A zip file is read in place and never unpacked to the disk. It is still refused if a member has a
path outside the archive, is a link, is encrypted, or would unpack to far more than its size.
"""

import codecs
import csv
import hashlib
import io
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from jobsearch.errors import SourceFormatError, SourceNotFound, UnsafeArchive

MAX_DEPTH = 5
MAX_UNPACKED_BYTES = 4 * 1024**3
MAX_RATIO = 200
#: One line is held in memory, and no table of titles has lines of this length.
MAX_LINE_CHARS = 2 * 1024**2
# Small members may compress better than MAX_RATIO: they do no harm.
_RATIO_FROM_BYTES = 10 * 1024**2
_CHUNK_BYTES = 1024**2

# UTF-32 first: its little-endian mark begins with the mark of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Text begins with none of these.
_BINARY_MARKS = (
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh9", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PK\3\4", "a zip file (or an Excel file)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel file"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite f", "an SQLite file"),
    (b"%PDF-", "a PDF file"),
)
_UNDECODED = re.compile("[\udc80-\udcff]")

#: The reason of the reject for a row for which :func:`is_undecoded` is true.
NOT_UTF8 = "not UTF-8 (if the whole file is in Latin-1: iconv -f ISO-8859-1 -t UTF-8)"


@dataclass(frozen=True, slots=True)
class FileTree:
    """The files of a folder or of a zip file.

    Args:
        root: the folder or zip file.
        names: paths relative to the root, with forward slashes, sorted.
        zipped: whether the root is a zip file.
    """

    root: Path
    names: tuple[str, ...]
    zipped: bool

    def where(self, name: str) -> str:
        """The path of a file for messages; a file in a zip file is ``<zip file>!<name>``."""
        return f"{self.root}!{name}" if self.zipped else str(self.root / name)

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a text file with their line ends; see :func:`text_lines`."""
        return text_lines(lambda: self._open(name), self.where(name))

    def sha256(self, name: str) -> str:
        """Hexadecimal digest of a file's bytes."""
        return file_sha256(lambda: self._open(name), self.where(name))

    def _open(self, name: str) -> IO[bytes]:
        if not self.zipped:
            return (self.root / name).open("rb")
        # The member keeps the archive open until the member is closed.
        with zipfile.ZipFile(self.root) as archive:
            return archive.open(name)


def open_tree(path: str | Path, expected: str) -> FileTree:
    """List a folder (down to ``MAX_DEPTH`` levels) or a zip file.

    Args:
        path: folder or zip file.
        expected: description of the expected data, for messages.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: the path is another kind of file, or a damaged or encrypted zip file.
        UnsafeArchive: the zip file is not safe to read.
    """
    root = Path(path)
    if not root.exists():
        raise SourceNotFound(f"{root} does not exist: give {expected}")
    if root.is_dir():
        return FileTree(root, tuple(sorted(_folder_files(root))), zipped=False)
    if not zipfile.is_zipfile(root):
        if root.suffix.lower() == ".zip":
            raise SourceFormatError(f"{root} is damaged (no zip directory): download it again")
        raise SourceFormatError(f"{root} is neither a folder nor a zip file: give {expected}")
    return FileTree(root, tuple(sorted(_zip_files(root))), zipped=True)


def text_lines(open_binary: Callable[[], IO[bytes]], where: str) -> Iterator[str]:
    """The lines of a UTF-8 file with their line ends, without a byte-order mark.

    Bytes that are not UTF-8 become lone surrogates, so one bad row does not end the reading. Check
    every row with :func:`is_undecoded`.

    Args:
        open_binary: opens the file.
        where: path of the file, for messages.

    Raises:
        SourceFormatError: the file is no text, is in UTF-16 or UTF-32, has a line longer than
            ``MAX_LINE_CHARS``, or cannot be read.
    """
    with _reading(where), open_binary() as raw:
        start = raw.read(8)
        if kind := _binary_kind(start):
            raise SourceFormatError(f"{where} is not a text file but {kind}: unpack or convert it")
        if encoding := _other_encoding(start[:4]):
            raise SourceFormatError(
                f"{where} is not UTF-8 but, from byte 0 on, {encoding}: "
                f"convert it with iconv -f {encoding} -t UTF-8"
            )
        raw.seek(0)
        with io.TextIOWrapper(
            raw, encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as text:
            while line := text.readline(MAX_LINE_CHARS):
                if len(line) == MAX_LINE_CHARS:
                    raise SourceFormatError(
                        f"{where} has a line of {MAX_LINE_CHARS:,} characters or more: "
                        "it is no table of titles, or it lost its line ends. Check the file"
                    )
                yield line


def is_undecoded(text: str) -> bool:
    """Whether ``text`` contains lone surrogates, which stand for bytes that were not UTF-8."""
    return not text.isascii() and _UNDECODED.search(text) is not None


def file_sha256(open_binary: Callable[[], IO[bytes]], where: str) -> str:
    """Hexadecimal digest of a file's bytes.

    Args:
        open_binary: opens the file.
        where: path of the file, for messages.

    Raises:
        SourceFormatError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with _reading(where), open_binary() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _binary_kind(start: bytes) -> str:
    """The kind of a file that begins with these bytes and is no text; empty if it is not known."""
    return next((kind for mark, kind in _BINARY_MARKS if start.startswith(mark)), "")


def _other_encoding(start: bytes) -> str:
    """The name of UTF-16 or UTF-32, if a file that begins with these bytes is in it, else empty."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding
    # Without a byte-order mark: in UTF-16 every other byte of a Latin letter is zero.
    if b"\0" in start:
        return "UTF-16BE" if start.startswith(b"\0") else "UTF-16LE"
    return ""


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn errors of the operating system and of zipfile into ``SourceFormatError``."""
    try:
        yield
    except OSError as error:
        raise SourceFormatError(
            f"{where} cannot be read ({error.strerror or error}): check the file"
        ) from error
    except (
        zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
        UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise SourceFormatError(f"{where} is damaged ({error}): download it again") from error


def _folder_files(root: Path) -> Iterator[str]:
    """Paths of the regular files, without hidden folders and folders below ``MAX_DEPTH``."""
    for folder, folders, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        deep = len(relative.parts) >= MAX_DEPTH
        folders[:] = [name for name in folders if not deep and name[0] not in "._"]
        # Reading a named pipe could wait forever.
        regular = (name for name in files if Path(folder, name).is_file())
        yield from ((relative / name).as_posix() for name in regular)


def _zip_files(path: Path) -> Iterator[str]:
    """Paths of the files in a zip file; checks that each is safe."""
    with _reading(str(path)), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    unpacked = sum(info.file_size for info in infos)
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnsafeArchive(
            f"{path} would unpack to {unpacked / 1024**3:.1f} GiB, more than "
            f"{MAX_UNPACKED_BYTES // 1024**3} GiB: unpack it yourself and give the folder"
        )
    for info in infos:
        _check_member(path, info)
        if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
            yield info.filename


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = PurePosixPath(name.replace("\\", "/"))
    problem = ""
    if parts.is_absolute() or ".." in parts.parts or re.match("[A-Za-z]:", name):
        problem = "has a path outside the archive"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "is a link"
    elif info.file_size > max(_RATIO_FROM_BYTES, MAX_RATIO * info.compress_size):
        problem = f"unpacks to more than {MAX_RATIO} times its size"
    if problem:
        raise UnsafeArchive(
            f"{path} is not safe: its member {name!r} {problem}. Download it from its publisher"
        )
    if info.flag_bits & 1:
        raise SourceFormatError(
            f"{path} is encrypted (member {name!r}): unpack it yourself and give the folder"
        )


@dataclass(frozen=True, slots=True)
class IdTitleLine:
    """One line of a file of ids and titles.

    Args:
        line: number of the line in the file, from 1.
        id: the id; empty for a bad line.
        title: the title, which may be empty; for a bad line, its raw text.
        problem: why the line cannot be used; empty for a good line.
    """

    line: int
    id: str
    title: str
    problem: str = ""


def read_id_title_lines(lines: Iterable[str], first_line: int = 1) -> Iterator[IdTitleLine]:
    """Parse lines of an id, a tab and a title; quotation marks have no meaning.

    Blank lines are skipped. A line with another number of fields, without an id, with an id that an
    earlier line has, or with bytes that are not UTF-8 has a ``problem``.

    Args:
        lines: the lines, as :func:`text_lines` yields them; a header is parsed like any other line.
        first_line: number of the first line in its file.
    """
    seen: set[str] = set()
    for number, raw in enumerate(lines, start=first_line):
        text = raw.rstrip("\r\n")
        if not text:
            continue
        fields = text.split("\t")
        problem = ""
        if is_undecoded(text):
            problem = NOT_UTF8
        elif len(fields) != 2 or not fields[0].strip():
            problem = "not an id, a tab and a title"
        elif fields[0] in seen:
            problem = "duplicate id"
        if problem:
            yield IdTitleLine(number, "", text, problem)
        else:
            seen.add(fields[0])
            yield IdTitleLine(number, *fields)


#: A row of more lines counts as an unclosed quotation mark. Its lines are then read again, so
#: without a limit a file full of unclosed marks would take time quadratic in its length.
MAX_ROW_LINES = 1000


@dataclass(frozen=True, slots=True)
class Cells:
    """One row of a CSV file.

    Args:
        line: line on which the row begins, from 1.
        cells: fields of the row; the raw lines if its quoting is broken.
        problem: why the row cannot be used; empty for a good row.
    """

    line: int
    cells: list[str]
    problem: str = ""


class _Lines:
    """Lines that can be read again, so an unclosed quotation mark costs only one line."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._unread: deque[str] = deque()
        self.row: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.row) == MAX_ROW_LINES:
            raise csv.Error(f"no end within {MAX_ROW_LINES:,} lines")
        line = self._unread.popleft() if self._unread else next(self._lines)
        self.row.append(line)
        return line

    def keep_first_only(self) -> None:
        """Keep the first line of the row; its other lines are read again."""
        self._unread.extendleft(reversed(self.row[1:]))
        del self.row[1:]


def read_cells(lines: Iterator[str], delimiter: str) -> Iterator[Cells]:
    """Parse CSV (RFC 4180: a quoted field may contain line ends); the first row is the header.

    A row with broken quoting, with bytes that are not UTF-8, or with another number of fields than
    the header has a ``problem``. Blank lines are skipped. After broken quoting, parsing continues
    at the next line, so a stray quotation mark does not swallow the rows after it.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    line, width = 1, 0
    while True:
        source.row.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.keep_first_only()
            # The reader discards the unfinished row at the next call.
            yield Cells(line, source.row.copy(), f"broken quoting ({error})")
        else:
            if cells:
                width = width or len(cells)
                yield Cells(line, cells, _problem(cells, width))
        line += len(source.row)


def _problem(cells: list[str], width: int) -> str:
    if any(map(is_undecoded, cells)):
        return NOT_UTF8
    if len(cells) != width:
        return "another number of columns than the header"
    return ""


def read_header(rows: Iterator[Cells], where: str, needed: list[str]) -> list[str]:
    """Take the header, the first row, off ``rows``; returns the names of its columns.

    Args:
        rows: all rows of the file.
        where: path of the file, for messages.
        needed: names of columns that the file must have.

    Raises:
        SourceFormatError: the file is empty, or a needed column is missing.
    """
    first = next(rows, None)
    if first is None:
        raise SourceFormatError(f"{where} is empty: its first line should name the columns")
    if first.problem:
        raise SourceFormatError(
            f"{where}, line {first.line}: {first.problem}. Correct the header of the file"
        )
    header = [name.strip() for name in first.cells]
    check_columns(header, where, needed)
    return header


def check_columns(available: list[str], where: str, needed: list[str]) -> None:
    """Refuse a file that lacks needed columns.

    Raises:
        SourceFormatError: a column is missing; the message lists the available columns.
    """
    missing = [name for name in needed if name not in available]
    if missing:
        raise SourceFormatError(
            f"{where} has no column {', '.join(map(repr, missing))}: "
            f"its columns are {', '.join(map(repr, available))}"
        )
