"""What every source of titles offers, and the rows that it yields."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobsearch.errors import SourceFormatError
from jobsearch.languages import check_language
from jobsearch.types import TitleRecord

# Of a bad row's text, this much is kept: enough to recognise it.
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Reject:
    """A row, or one title of it, that cannot be used.

    Args:
        file: path of the file, for a person to open.
        line: line on which the row begins; the first line of a file is 1.
        reason: a few words, the same for all rejects of a sort.
        text: the offending value.
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


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file; it may give several titles, of which some may be bad."""

    line: int
    records: tuple[TitleRecord, ...]
    rejects: tuple[Reject, ...] = ()
    file: str = ""

    @classmethod
    def rejected(cls, file: str, line: int, reason: str, text: str) -> "Row":
        """A row that gives nothing."""
        return cls(line, (), (Reject.of(file, line, reason, text),), file)


def choose_languages(
    wanted: Sequence[str] | None, there: Iterable[str], where: object, file_name: str
) -> tuple[str, ...]:
    """The languages to read: those wanted, each once, or all that are there.

    Args:
        wanted: codes as they were given; None for all.
        there: ISO 639-1 codes.
        where: what was looked into, for the message.
        file_name: of a language's file, with ``{}`` for its code.

    Raises:
        InvalidInput: a wanted one is no language.
        SourceFormatError: one is missing.
    """
    found = tuple(there)
    chosen = tuple(dict.fromkeys(map(check_language, wanted))) if wanted else found
    if missing := [code for code in chosen if code not in found]:
        raise SourceFormatError(
            f"{where} has no {', '.join(map(file_name.format, missing))}: "
            f"its languages are {', '.join(found)}"
        )
    return chosen


class Source(Protocol):
    """A data set of titles in one or several languages."""

    @property
    def name(self) -> str:
        """Name that is stored with every title, e.g. ``esco``."""
        ...

    @property
    def split(self) -> str:
        """Part of the data set, e.g. ``validation``; empty where there are no parts."""
        ...

    @property
    def version(self) -> str:
        """Version of the data set, empty if unknown."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes of the languages that can be read."""
        ...

    def sha256(self, language: str) -> str:
        """Hexadecimal digest of all that decides the records of a language: bytes and options."""
        ...

    def rows(self, language: str) -> Iterator[Row]:
        """The rows of a language in the file's order; may be iterated again."""
        ...
