"""Training pairs of TalentCLEF 2025 task A.

Scope: pairs of titles of one ESCO occupation, in English, Spanish and German.
Structure: ``taskA_training_<language>.tsv``, tab-separated, no header, no quoting: ISCO-08 unit
group (``…/esco/isco/C2221``), ESCO occupation (a URI), title, title.
Source: CC BY 4.0, doi:10.5281/zenodo.14002665.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ingest.sources.archive import NOT_UTF8, is_undecoded, open_tree
from ingest.sources.base import Row, choose_languages
from jobsearch.errors import SourceFormatError
from jobsearch.isco import UNIT_GROUPS
from jobsearch.types import TitleRecord

_FILE = re.compile(r"taskA_training_([a-z]{2})\.tsv", re.IGNORECASE)
_GROUP = re.compile(r"(?:.*/isco/)?C?(\d{4})")
_LOOKED_FOR = "a TalentCLEF task A download with its training pairs"


class TalentClefPairsSource:
    """The titles of the training pairs, with the occupations they denote.

    Args:
        path: a folder that holds the files, or one above it, or a zip file.
        languages: those wanted; all that are there if None.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: no such files, one language twice, or a language is missing.
        UnsafeArchive: a zip file that must not be trusted.
    """

    name = "talentclef-2025"
    split = "training"
    version = "2025"
    licence = "CC BY 4.0, doi:10.5281/zenodo.14002665"

    def __init__(self, path: str | Path, languages: Sequence[str] | None = None) -> None:
        self._tree = open_tree(path, _LOOKED_FOR)
        self._files: dict[str, str] = {}
        for name in self._tree.names:
            match = _FILE.fullmatch(PurePosixPath(name).name)
            if match and self._files.setdefault(match[1].lower(), name) != name:
                raise SourceFormatError(f"{path} has {name} twice: give the folder of one download")
        if not self._files:
            raise SourceFormatError(f"{path} has no taskA_training_<language>.tsv in it")
        self.languages = choose_languages(languages, self._files, path, "taskA_training_{}.tsv")

    @staticmethod
    def is_at(path: str | Path) -> bool:
        """Whether a folder or zip file holds such pairs.

        Raises:
            SourceNotFound, UnsafeArchive: it cannot be looked into.
        """
        names = open_tree(path, f"an ESCO export, or {_LOOKED_FOR}").names
        return any(_FILE.fullmatch(PurePosixPath(name).name) for name in names)

    def sha256(self, language: str) -> str:
        """Over the file of the language."""
        return self._tree.sha256(self._files[language])

    def rows(self, language: str) -> Iterator[Row]:
        """One row a pair."""
        name = self._files[language]
        file = self._tree.where(name)
        for number, line in enumerate(self._tree.lines(name), start=1):
            if text := line.rstrip("\r\n"):
                yield self._row(text, number, file, language)

    def _row(self, text: str, line: int, file: str, language: str) -> Row:
        fields = text.split("\t")
        if is_undecoded(text):
            return Row.rejected(file, line, NOT_UTF8, text)
        if len(fields) != 4 or not fields[1].strip():
            return Row.rejected(file, line, "not a group, an occupation and two titles", text)
        group = _GROUP.fullmatch(fields[0].strip())
        if not group or group[1] not in UNIT_GROUPS:
            return Row.rejected(file, line, "unknown ISCO-08 unit group", text)
        titles = (
            TitleRecord(
                title, language, self.name, "alternative",
                split=self.split, concept_id=fields[1].strip(), isco=group[1],
            )
            for title in fields[2:]
        )  # fmt: skip
        return Row(line, tuple(titles), (), file)
