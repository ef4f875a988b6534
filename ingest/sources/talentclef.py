"""TalentCLEF 2025 task A, multilingual job title matching.

Scope: queries and corpora of job titles in English, Spanish, German and, in the test split,
Chinese; experts judged which titles match.
Structure: ``TaskA/<split>/<language>/`` with ``queries`` (``q_id``, ``jobtitle``) and
``corpus_elements`` (``c_id``, ``jobtitle``), tab-separated with a header and without quoting, and
``qrels.tsv`` (TREC, no header) if judgements are public. The file of the German test corpus is
named ``corpus_element``, without an s; the sample that the organisers published first has
``q_rels``. Each name may have the suffix ``.tsv``.
Documents with the same title have different judgements, so the ``c_id`` identifies a document,
never its title.
Source: CC BY 4.0, doi:10.5281/zenodo.14002665.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, cast

from ingest.sources.base import FilePerLanguage, Row, choose_languages
from ingest.sources.files import (
    NOT_UTF8,
    FileTree,
    IdTitleLine,
    is_undecoded,
    open_tree,
    read_id_title_lines,
)
from jobsearch.errors import SourceFormatError
from jobsearch.isco import UNIT_GROUPS
from jobsearch.languages import CODES
from jobsearch.types import TitleRecord

TaskPart = Literal["queries", "corpus", "qrels"]

_FILE = re.compile(r"(?:(?P<prefix>(?:.*/)?)(?P<split>[^/]+)/)?(?P<language>[^/]+)/(?P<name>[^/]+)")
_PART = re.compile(
    r"(?:(?P<queries>queries)|(?P<corpus>corpus_elements?)|(?P<qrels>q_?rels))(?:\.tsv)?"
)
_ID_COLUMNS = {"queries": "q_id", "corpus": "c_id"}
_EXPECTED = "a TalentCLEF task A download: the folder TaskA, one of its splits, or a zip file"
_PAIRS_FILE = re.compile(r"taskA_training_([a-z]{2})\.tsv", re.IGNORECASE)
_PAIRS_GROUP = re.compile(r"(?:.*/isco/)?C?(\d{4})")
_EXPECTED_PAIRS = "a TalentCLEF task A download with its training pairs"


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The files of task A.

    Args:
        tree: the folder or zip file.
        files: name in ``tree`` of each file, by split, language code and part.
    """

    tree: FileTree
    files: dict[tuple[str, str, TaskPart], str]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, e.g. ``validation``."""
        return tuple(sorted({split for split, _, _ in self.files}))

    def languages(self, split: str, part: TaskPart) -> tuple[str, ...]:
        """Codes of the languages that have this part in this split, sorted."""
        return tuple(sorted(lang for s, lang, p in self.files if (s, p) == (split, part)))

    def find(self, split: str, language: str, part: TaskPart) -> str:
        """Name of one file in the tree.

        Raises:
            SourceFormatError: there is no such file.
        """
        if (split, language, part) not in self.files:
            available = sorted(f"{s}/{lang}" for s, lang, p in self.files if p == part)
            raise SourceFormatError(
                f"{self.tree.root} has no {part} for {split}/{language}: "
                f"it has {part} for {', '.join(available) or 'no split'}"
            )
        return self.files[split, language, part]


def task_part(name: str) -> TaskPart | None:
    """The part of task A that a file of this name holds, or None."""
    match = _PART.fullmatch(name)
    return cast(TaskPart, match.lastgroup) if match else None


def find_task(path: str | Path) -> TaskFiles:
    """Find the files of task A in its folder, a folder above it, a split's folder, or a zip file.

    The name of a split is that of its folder.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: the path holds no files of task A, or several downloads.
        UnsafeArchive: the zip file is not safe to read.
    """
    tree = open_tree(path, _EXPECTED)
    by_prefix: dict[str, dict[tuple[str, str, TaskPart], str]] = {}
    for name in tree.names:
        match = _FILE.fullmatch(name)
        part = task_part(match["name"]) if match else None
        if match and part and (code := CODES.get(match["language"].lower())):
            key = (match["split"] or tree.name, code, part)
            files = by_prefix.setdefault(match["prefix"] or "", {})
            if key in files:
                raise SourceFormatError(
                    f"{tree.root} has two files for the same {part}, {files[key]} and {name}: "
                    "remove one"
                )
            files[key] = name
    # A download of the whole campaign has task B beside task A.
    task_a = {p: files for p, files in by_prefix.items() if p.lower().endswith("taska/")}
    chosen = task_a or by_prefix
    if not chosen:
        raise SourceFormatError(
            f"{tree.root} is no TalentCLEF task A: it has no <split>/<language>/corpus_elements, "
            f"such as validation/english/corpus_elements. Give {_EXPECTED}"
        )
    if len(chosen) > 1:
        raise SourceFormatError(
            f"{tree.root} holds {len(chosen)} downloads ({', '.join(sorted(chosen))}): "
            "give the folder of one"
        )
    return TaskFiles(tree, next(iter(chosen.values())))


def title_lines(
    task: TaskFiles, split: str, language: str, part: Literal["queries", "corpus"]
) -> Iterator[IdTitleLine]:
    """The lines of a queries or corpus file below its header; bad lines have a ``problem``.

    Raises:
        SourceFormatError: the file is missing, empty, or has another header.
    """
    name = task.find(split, language, part)
    lines = task.tree.lines(name)
    header = next(lines, "").rstrip("\r\n")
    if header.split("\t") != [_ID_COLUMNS[part], "jobtitle"]:
        raise SourceFormatError(
            f"{task.tree.where(name)} should begin with the line "
            f"'{_ID_COLUMNS[part]}<tab>jobtitle', but begins with {header[:40]!r}"
        )
    return read_id_title_lines(lines, first_line=2)


def read_titles(
    task: TaskFiles, split: str, language: str, part: Literal["queries", "corpus"]
) -> dict[str, str]:
    """Titles by their id, in the order of the file.

    Raises:
        SourceFormatError: a line is bad, or the file is missing, empty, or has another header.
    """
    titles: dict[str, str] = {}
    for line in title_lines(task, split, language, part):
        if line.problem:
            where = task.tree.where(task.find(split, language, part))
            raise SourceFormatError(
                f"{where}, line {line.line}: {line.problem}: {line.title[:60]!r}. Correct the file"
            )
        titles[line.id] = line.title
    return titles


class TalentClefSource(FilePerLanguage):
    """The corpora of one split, one per language.

    Args:
        path: the folder TaskA, a folder above it, the folder of the split, or a zip file.
        split: ``validation`` or ``test``.

    Raises:
        SourceNotFound, SourceFormatError, UnsafeArchive: see :func:`find_task`; or the split has no
            corpus.
    """

    name = "talentclef-2025"
    version = "2025"

    def __init__(self, path: str | Path, split: str) -> None:
        self.split = split
        self._task = find_task(path)
        self.languages = self._task.languages(split, "corpus")
        if not self.languages:
            raise SourceFormatError(
                f"{path} has no corpus in split {split!r}: its splits are "
                f"{', '.join(self._task.splits)}"
            )

    def sha256(self, language: str) -> str:
        """Digest of the corpus file."""
        return self._task.tree.sha256(self._task.find(self.split, language, "corpus"))

    def _rows(self, language: str) -> Iterator[Row]:
        """One row per document of the corpus."""
        file = self._task.tree.where(self._task.find(self.split, language, "corpus"))
        for line in title_lines(self._task, self.split, language, "corpus"):
            if line.problem:
                yield Row.rejected(file, line.line, line.problem, line.title)
                continue
            record = TitleRecord(
                line.title, language, self.name, "corpus", split=self.split, doc_id=line.id
            )
            yield Row(line.line, (record,), (), file)


class TalentClefPairsSource(FilePerLanguage):
    """The titles of the training pairs, each with its ESCO occupation.

    Args:
        path: a folder with the files in it or in sub-folders, or a zip file.
        languages: languages to read; all languages of the files if None.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: there are no such files, a language has two, or a language is missing.
        UnsafeArchive: the zip file is not safe to read.
    """

    name = "talentclef-2025"
    split = "training"
    version = "2025"
    licence = "CC BY 4.0, doi:10.5281/zenodo.14002665"

    def __init__(self, path: str | Path, languages: Sequence[str] | None = None) -> None:
        self._tree = open_tree(path, _EXPECTED_PAIRS)
        self._files: dict[str, str] = {}
        for name in self._tree.names:
            match = _PAIRS_FILE.fullmatch(PurePosixPath(name).name)
            first = self._files.setdefault(match[1].lower(), name) if match else name
            if first != name:
                raise SourceFormatError(
                    f"{path} has two files for one language, {first} and {name}: "
                    "give the folder of one download"
                )
        if not self._files:
            raise SourceFormatError(
                f"{path} has no taskA_training_<language>.tsv: give {_EXPECTED_PAIRS}"
            )
        self.languages = choose_languages(languages, self._files, path, "taskA_training_{}.tsv")

    @staticmethod
    def is_at(path: str | Path) -> bool:
        """Whether a folder or zip file has training pairs.

        Raises:
            SourceNotFound, SourceFormatError, UnsafeArchive: see :func:`open_tree`.
        """
        names = open_tree(path, f"an ESCO export, or {_EXPECTED_PAIRS}").names
        return any(_PAIRS_FILE.fullmatch(PurePosixPath(name).name) for name in names)

    def sha256(self, language: str) -> str:
        """Digest of the file of the language."""
        return self._tree.sha256(self._files[language])

    def _rows(self, language: str) -> Iterator[Row]:
        """One row per pair."""
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
        group = _PAIRS_GROUP.fullmatch(fields[0].strip())
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
