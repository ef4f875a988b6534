"""The interface of every source of titles, and the rows that it yields."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jobsearch.errors import SourceFormatError
from jobsearch.languages import check_language
from jobsearch.types import TitleRecord

# Characters of a bad row that are kept: enough to recognise it.
_SHOWN_CHARS = 200
# Characters of a bad value in a message.
_PLACE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used, or one title of a row.

    Args:
        file: path of the file, as shown to the user.
        line: line on which the row begins; the first line of a file is 1.
        reason: a few words, the same for all rejects with this problem.
        text: the bad value.
    """

    file: str
    line: int
    reason: str
    text: str

    @classmethod
    def of(cls, file: str, line: int, reason: str, text: str) -> "Reject":
        """A reject whose text is cut to a readable length."""
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
        return cls(file, line, reason, shown)

    @property
    def place(self) -> str:
        """File, line and value, for messages; a value without letters and digits is left out."""
        place = f"{self.file} line {self.line}"
        if not any(map(str.isalnum, self.text)):
            return place
        value = self.text[:_PLACE_CHARS] + "…" * (len(self.text) > _PLACE_CHARS)
        return f"{place}: {' '.join(value.split())!r}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. It may have several titles, some good and some bad.

    Args:
        line: line on which the row begins; the first line of a file is 1.
        records: the good titles.
        rejects: the bad titles, or the row itself.
        file: path of the file, as shown to the user.
        language: ISO 639-1 code of a row without good titles; empty if it is not known.
    """

    line: int
    records: tuple[TitleRecord, ...]
    rejects: tuple[Reject, ...] = ()
    file: str = ""
    language: str = ""

    @classmethod
    def rejected(cls, file: str, line: int, reason: str, text: str, language: str = "") -> "Row":
        """A row without a usable title."""
        return cls(line, (), (Reject.of(file, line, reason, text),), file, language)


def choose_languages(
    requested: Sequence[str] | None, available: Iterable[str], where: object, file_name: str
) -> tuple[str, ...]:
    """The languages to read, each once: the requested languages, or all available ones.

    Args:
        requested: language codes from the user; None for all.
        available: ISO 639-1 codes.
        where: the folder or zip file, for the message.
        file_name: name of a language's file, with ``{}`` for the code.

    Raises:
        InvalidInput: a requested code is not a known language.
        SourceFormatError: a requested language is not available.
    """
    codes = tuple(available)
    chosen = tuple(dict.fromkeys(map(check_language, requested))) if requested else codes
    if missing := [code for code in chosen if code not in codes]:
        raise SourceFormatError(
            f"{where} has no {', '.join(map(file_name.format, missing))}: "
            f"its languages are {', '.join(codes)}"
        )
    return chosen


class FilePerLanguage(ABC):
    """Base of sources that have a file for each language."""

    languages: tuple[str, ...]
    origin = None

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """The languages of each file; see :class:`Source`."""
        return tuple((language,) for language in self.languages)

    def rows(self, *languages: str) -> Iterator[Row]:
        """The rows of some languages, one language after the other; see :class:`Source`."""
        for language in languages:
            for row in self._rows(language):
                yield row if row.records else replace(row, language=language)

    @abstractmethod
    def _rows(self, language: str) -> Iterator[Row]:
        """The rows of a language in the order of its file."""


class Source(Protocol):
    """A data set of titles in one or several languages."""

    @property
    def name(self) -> str:
        """Name that is stored with every title, e.g. ``esco``."""
        ...

    @property
    def split(self) -> str:
        """Part of the data set, e.g. ``validation``; empty if there are no parts."""
        ...

    @property
    def version(self) -> str:
        """Version of the data set, empty if unknown."""
        ...

    @property
    def origin(self) -> str | None:
        """What the name stands for: the path of a table whose file name is the source's name.

        Empty if the user chose the name; None for a data set.
        """
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of the languages that can be read."""
        ...

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        """The languages of each file. They are read, and their bad rows counted, together."""
        ...

    def sha256(self, language: str) -> str:
        """Hexadecimal digest of everything that decides the titles: the file and the options."""
        ...

    def rows(self, *languages: str) -> Iterator[Row]:
        """The rows of some languages, and the rows without a known language.

        They come in the order of the files; every call reads the files again.
        """
        ...
