"""TalentCLEF 2025 task A, multilingual job title matching.

Scope: queries and corpora of job titles, judged by experts, in English, Spanish, German (and, for
the test, Chinese).
Structure: ``TaskA/<split>/<language>/`` with ``queries`` (``q_id``, ``jobtitle``) and
``corpus_elements`` (``c_id``, ``jobtitle``), tab-separated with a header and without quoting, and
``qrels.tsv`` (TREC, no header) where judgements are public. The German test corpus is really named
``corpus_element``.
Duplicate titles carry different judgements, so a document is its ``c_id``, never its text.
Source: CC BY 4.0, doi:10.5281/zenodo.14002665.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ingest.sources.archive import NOT_UTF8, FileTree, is_undecoded, open_tree
from ingest.sources.base import Row
from jobsearch.errors import SourceFormatError
from jobsearch.languages import CODES
from jobsearch.types import TitleRecord

Part = Literal["queries", "corpus", "qrels"]

_FILE = re.compile(
    r"(?P<prefix>(?:.*/)?)(?P<split>[^/]+)/(?P<language>[^/]+)/"
    r"(?P<name>queries|corpus_elements?|qrels\.tsv)"
)
_PARTS: dict[str, Part] = {
    "queries": "queries",
    "corpus_elements": "corpus",
    "corpus_element": "corpus",
    "qrels.tsv": "qrels",
}
_ID_COLUMNS = {"queries": "q_id", "corpus": "c_id"}
_LOOKED_FOR = "a TalentCLEF task A download, the folder TaskA or a zip file of it"


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """Where the files of task A lie: ``files[split, language, part]`` is a name in ``tree``."""

    tree: FileTree
    files: dict[tuple[str, str, Part], str]

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, e.g. ``validation``."""
        return tuple(sorted({split for split, _, _ in self.files}))

    def languages(self, split: str, part: Part) -> tuple[str, ...]:
        """Codes of the languages that have this part in this split, sorted."""
        return tuple(sorted(lang for s, lang, p in self.files if (s, p) == (split, part)))

    def find(self, split: str, language: str, part: Part) -> str:
        """Name of one file in the tree.

        Raises:
            SourceFormatError: it is not there.
        """
        if (split, language, part) not in self.files:
            there = ", ".join(sorted(f"{s}/{lang}" for s, lang, p in self.files if p == part))
            raise SourceFormatError(
                f"{self.tree.root} has no {part} for {split}/{language}: "
                f"there is {there or 'none at all'}"
            )
        return self.files[split, language, part]


def find_task(path: str | Path) -> TaskFiles:
    """Find the files of task A in its folder, a folder above it, or a zip file.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: no files of task A, or those of several downloads.
        UnsafeArchive: a zip file that must not be trusted.
    """
    tree = open_tree(path, _LOOKED_FOR)
    by_prefix: dict[str, dict[tuple[str, str, Part], str]] = {}
    for name in tree.names:
        found = _FILE.fullmatch(name)
        if found and (code := CODES.get(found["language"].lower())):
            key = (found["split"], code, _PARTS[found["name"]])
            by_prefix.setdefault(found["prefix"], {})[key] = name
    # A download of the whole campaign holds task B beside task A.
    task_a = {p: files for p, files in by_prefix.items() if p.lower().endswith("taska/")}
    chosen = task_a or by_prefix
    if not chosen:
        raise SourceFormatError(
            f"{tree.root} is no TalentCLEF task A: looked for <split>/<language>/corpus_elements "
            "with languages written out, such as validation/english"
        )
    if len(chosen) > 1:
        raise SourceFormatError(
            f"{tree.root} holds {len(chosen)} downloads ({', '.join(sorted(chosen))}): give one"
        )
    return TaskFiles(tree, next(iter(chosen.values())))


@dataclass(frozen=True, slots=True)
class TitleLine:
    """One line of a titles file. ``problem`` says why it cannot be used, empty if it can."""

    line: int
    id: str
    title: str
    problem: str = ""


def title_lines(
    task: TaskFiles, split: str, language: str, part: Literal["queries", "corpus"]
) -> Iterator[TitleLine]:
    """The lines of a queries or corpus file below its header, bad ones marked.

    Raises:
        SourceFormatError: the file is missing, empty, or has another header.
    """
    name = task.find(split, language, part)
    lines = (line.rstrip("\r\n") for line in task.tree.lines(name))
    header = next(lines, "")
    if header.split("\t") != [_ID_COLUMNS[part], "jobtitle"]:
        raise SourceFormatError(
            f"{task.tree.where(name)} should begin with the line "
            f"'{_ID_COLUMNS[part]}<tab>jobtitle', it begins with {header[:40]!r}"
        )
    seen: set[str] = set()
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        problem = ""
        if is_undecoded(line):
            problem = NOT_UTF8
        elif len(fields) != 2 or not fields[0].strip():
            problem = "not an id, a tab and a title"
        elif fields[0] in seen:
            problem = "id stands twice"
        if line and problem:
            yield TitleLine(number, "", line, problem)
        elif line:
            seen.add(fields[0])
            yield TitleLine(number, *fields)


def read_titles(
    task: TaskFiles, split: str, language: str, part: Literal["queries", "corpus"]
) -> dict[str, str]:
    """Titles by their id, in the file's order.

    Raises:
        SourceFormatError: as :func:`title_lines`, and for the first bad line.
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


class TalentClefSource:
    """The corpora of one split, one language each.

    Args:
        path: the folder TaskA, a folder above it, or a zip file.
        split: ``validation`` or ``test``.

    Raises:
        SourceNotFound, SourceFormatError, UnsafeArchive: see :func:`find_task`; the split is none
            that is there.
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
        """Over the corpus file."""
        return self._task.tree.sha256(self._task.find(self.split, language, "corpus"))

    def rows(self, language: str) -> Iterator[Row]:
        """One row a document of the corpus."""
        file = self._task.tree.where(self._task.find(self.split, language, "corpus"))
        for line in title_lines(self._task, self.split, language, "corpus"):
            if line.problem:
                yield Row.rejected(file, line.line, line.problem, line.title)
                continue
            record = TitleRecord(
                line.title, language, self.name, "corpus", split=self.split, doc_id=line.id
            )
            yield Row(line.line, (record,), (), file)
