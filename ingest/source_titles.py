"""The titles of a source, read and checked file by file, before they are embedded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ingest.language_guard import check_titles
from ingest.reading import Reading, read_source
from ingest.sources.base import Source
from jobsearch.errors import InvalidInput, SourceFormatError
from jobsearch.languages import find_language
from jobsearch.timing import timed
from jobsearch.types import SourceInfo


class FileTitles:
    """The titles of some languages of one file. They are read and checked once, when first needed.

    Args:
        source: the data set.
        languages: languages that are in one file (:attr:`Source.files`).
        language_check: refuse titles that are plainly in another language.
        max_rejects: share of bad rows, from 0 to 1, above which the file is refused.
        rejects_path: JSON lines file for the bad rows.
    """

    def __init__(
        self,
        source: Source,
        languages: Sequence[str],
        *,
        language_check: bool,
        max_rejects: float,
        rejects_path: Path | None,
    ) -> None:
        self.source, self.languages = source, tuple(languages)
        self._language_check = language_check
        self._max_rejects, self._rejects_path = max_rejects, rejects_path

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """The titles of each language that has any.

        Raises:
            SourceError: the file cannot be read, has too many bad rows, or has no titles.
        """
        with timed("read", source=self.source.name, language=",".join(self.languages)):
            return read_source(
                self.source,
                self.languages,
                max_rejects=self._max_rejects,
                rejects_path=self._rejects_path,
            )

    @cached_property
    def languages_checked(self) -> dict[str, bool]:
        """Whether the titles of each language were compared with it; reads and checks them all.

        Raises:
            LanguageMismatch: the titles of a language are plainly in another one.
        """
        if not self._language_check:
            return dict.fromkeys(self.readings, False)
        where = f"{self.source.name} {self.source.split}".strip()
        with timed("language check", source=self.source.name, language=",".join(self.languages)):
            return {
                language: check_titles(reading.texts, language, where=where)
                for language, reading in self.readings.items()
            }


@dataclass(frozen=True)
class SourceTitles:
    """The titles of one language of a source."""

    file: FileTitles
    language: str

    @property
    def source(self) -> Source:
        """The data set."""
        return self.file.source

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that decides the titles."""
        return self.source.sha256(self.language)

    @property
    def reading(self) -> Reading:
        """The titles.

        Raises:
            NoTitles: the language has none.
            SourceError: see :attr:`FileTitles.readings`.
        """
        readings = self.file.readings
        if self.language not in readings:
            raise NoTitles(
                f"{self.source.name} has no titles in {self.language} that can be used: correct "
                "the rejected rows"
            )
        return readings[self.language]

    @property
    def info(self) -> SourceInfo:
        """The entry for the metadata of a collection; reads the titles."""
        points = len(self.reading.records)
        source = self.source
        return SourceInfo(
            source.name, source.split, source.version, self.sha256, points, source.origin
        )

    @property
    def language_checked(self) -> bool:
        """Whether the titles were compared with their language; see :class:`FileTitles`."""
        return self.file.languages_checked[self.language]


class NoTitles(SourceFormatError):
    """A language has no usable title, but others in the file have."""


def read_files(
    source: Source,
    languages: Sequence[str] | None,
    *,
    language_check: bool,
    max_rejects: float,
    rejects: Path | None,
) -> Iterator[SourceTitles]:
    """The titles of each language, file by file; a file is read when its first title is needed.

    Args:
        source: the data set.
        languages: the requested languages; all languages of the source if None.
        language_check: refuse titles that are plainly in another language.
        max_rejects: share of bad rows, from 0 to 1, above which a file is refused.
        rejects: folder for files with the bad rows; no file is written if None.

    Raises:
        InvalidInput: the source has no titles in a requested language.
        SourceError: no row has a known language.
    """
    chosen = chosen_languages(source, languages)
    by_file: dict[tuple[str, ...], list[str]] = {} if chosen else {(): []}
    for language in chosen:
        in_file = next(each for each in source.files if language in each)
        by_file.setdefault(in_file, []).append(language)
    for in_file, wanted in by_file.items():
        file = FileTitles(
            source,
            wanted,
            language_check=language_check,
            max_rejects=max_rejects,
            rejects_path=_rejects_file(rejects, source, in_file),
        )
        if not wanted:
            # Without a known language, all rows are bad: this raises.
            _ = file.readings
        for language in wanted:
            yield SourceTitles(file, language)


def chosen_languages(source: Source, languages: Sequence[str] | None) -> tuple[str, ...]:
    """Codes of the requested languages, each once; all languages of the source if None.

    Raises:
        InvalidInput: the source has no titles in a language.
    """
    codes = languages and [find_language(language) or language for language in languages]
    chosen = source.languages if codes is None else tuple(dict.fromkeys(codes))
    if missing := [language for language in chosen if language not in source.languages]:
        raise InvalidInput(
            f"`languages`: {source.name} has no titles in {', '.join(missing)}, only in "
            f"{', '.join(source.languages)}"
        )
    return chosen


def _rejects_file(folder: Path | None, source: Source, in_file: Sequence[str]) -> Path | None:
    """The file for the bad rows of a file with these languages, None without a folder."""
    if folder is None:
        return None
    language = f"-{in_file[0]}" if len(in_file) == 1 else ""
    return folder / f"rejects-{source.name}{language}.jsonl"
