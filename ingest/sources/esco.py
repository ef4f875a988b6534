"""ESCO, the European Skills, Competences, Qualifications and Occupations classification.

Scope: about 3,000 occupations in 28 languages. Each has a preferred label, alternative labels, a
few hidden labels, and an ISCO-08 unit group.
Structure: the portal exports one ``occupations_<language>.csv`` per language; labels are separated
by line ends inside a quoted field. Several occupations may have the same label. In many languages,
preferred labels join the masculine and the feminine title with a slash (:mod:`ingest.gendered`).
Source: European Commission, https://esco.ec.europa.eu, reuse with attribution.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ingest.gendered import RULES_VERSION, LabelForms
from ingest.sources.base import FilePerLanguage, Reject, Row, choose_languages
from ingest.sources.files import (
    Cells,
    FileTree,
    check_columns,
    open_tree,
    read_delimited,
    read_header,
)
from jobsearch import __version__
from jobsearch.errors import SourceFormatError
from jobsearch.isco import unit_group
from jobsearch.languages import NAMES
from jobsearch.types import Kind, TitleRecord

_OCCUPATIONS = re.compile(r"occupations_([a-z]{2})\.csv(?:\.gz)?", re.IGNORECASE)
# Occupations that were saved with a spreadsheet or packed once more, and archives in an archive.
_OTHER_OCCUPATIONS = re.compile(r"occupations_([a-z]{2})\..+", re.IGNORECASE)
_ARCHIVE = re.compile(r".+\.(?:zip|7z|rar|tar|tgz)", re.IGNORECASE)
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?!\.?\d)")
_EXPECTED = "an ESCO export: a folder or zip file with files such as occupations_en.csv"
# Part of the digest; raise it whenever the same cells give other labels or codes.
_LABELS_VERSION = 1
_LABELS: dict[str, Kind] = {
    "preferredLabel": "preferred",
    "altLabels": "alternative",
    "hiddenLabels": "hidden",
}


class EscoSource(FilePerLanguage):
    """An ESCO export: the titles of its occupations.

    Args:
        path: folder or zip file; the CSV files may lie in sub-folders, be packed with gzip, or lie
            in zip files in the folder, which the portal gives one per language.
        hidden: also read hidden labels.
        languages: languages to read; all languages of the export if None.
        gendered_forms: also yield the two titles of a slash form as separate titles.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: the path holds no ESCO export or several versions, a language is missing,
            or a language has two files.
        UnsafeArchive: the zip file is not safe to read.
    """

    split = ""
    licence = "European Commission, reuse with attribution (Decision 2011/833/EU)"

    def __init__(
        self,
        path: str | Path,
        *,
        hidden: bool = False,
        languages: Sequence[str] | None = None,
        gendered_forms: bool = True,
    ) -> None:
        self.name = "esco"
        self._tree = open_tree(path, _EXPECTED, zips=True)
        self._files = _occupation_files(self._tree, languages)
        self.version = _version(Path(path)) or _version_of_zips(self._tree, self._files.values())
        self._kinds = {
            column: kind for column, kind in _LABELS.items() if hidden or kind != "hidden"
        }
        self.languages = choose_languages(
            languages, self._files, self._tree.root, "occupations_{}.csv"
        )
        self._gendered_forms = gendered_forms

    def sha256(self, language: str) -> str:
        """Digest of the language's file, the kinds of labels read, and the rules of reading."""
        content = self._tree.sha256(self._files[language])
        rules = RULES_VERSION if self._gendered_forms else 0
        options = f"{content} {sorted(self._kinds)} {rules} {_LABELS_VERSION}"
        return hashlib.sha256(options.encode()).hexdigest()

    def _rows(self, language: str) -> Iterator[Row]:
        """One row per occupation, with all its labels."""
        file = self._tree.where(self._files[language])
        forms = LabelForms(language, self._labels(language)) if self._gendered_forms else None
        header, cells = self._cells(language)
        for row in cells:
            yield self._row(row, header, file, language, forms)

    def _cells(self, language: str) -> tuple[list[str], Iterator[Cells]]:
        """The header of the language's file, and its other rows."""
        name = self._files[language]
        file = self._tree.where(name)
        cells = read_delimited(self._tree.lines(name), ",")
        needed = ["conceptUri", "iscoGroup", "preferredLabel", "altLabels"]
        header = read_header(cells, file, needed)
        if "hiddenLabels" in self._kinds and "hiddenLabels" not in header:
            raise SourceFormatError(
                f"{file} has no column 'hiddenLabels', like the first exports of ESCO: leave out "
                "`hidden`"
            )
        check_columns(header, file, list(self._kinds))
        return header, cells

    def _labels(self, language: str) -> Iterator[list[str]]:
        """All labels of each occupation."""
        header, cells = self._cells(language)
        for row in cells:
            if not row.problem:
                yield [
                    label for _, label in self._labels_of(dict(zip(header, row.cells, strict=True)))
                ]

    def _labels_of(self, fields: dict[str, str]) -> list[tuple[Kind, str]]:
        """Kind and text of each label of an occupation."""
        return [
            (kind, label)
            for column, kind in self._kinds.items()
            for label in _labels_in(fields[column])
        ]

    def _row(
        self, row: Cells, header: list[str], file: str, language: str, forms: LabelForms | None
    ) -> Row:
        if row.problem:
            return Row.rejected(file, row.line, row.problem, ",".join(row.cells))
        fields = dict(zip(header, row.cells, strict=True))
        concept, isco = fields["conceptUri"].strip(), unit_group(fields["iscoGroup"])
        if not concept:
            return Row.rejected(file, row.line, "no conceptUri", fields["preferredLabel"])
        if not isco:
            text = f"{fields['iscoGroup'].strip()} of {fields['preferredLabel']}"
            return Row.rejected(file, row.line, "unknown ISCO-08 unit group", text)
        labels = self._labels_of(fields)
        texts = [label for _, label in labels]
        records = tuple(
            TitleRecord(title, language, self.name, kind, concept_id=concept, isco=isco)
            for kind, label in labels
            for title in (label, *(forms.split(label, texts) if forms else ()))
        )
        rejects: tuple[Reject, ...] = ()
        if not fields["preferredLabel"].strip():
            rejects = (Reject.of(file, row.line, "empty title", concept),)
        return Row(row.line, records, rejects, file)


def _labels_in(cell: str) -> list[str]:
    """The labels in a cell: one per line, or with bars between them, as some programs export."""
    parts = (part for line in cell.splitlines() for part in line.split("|"))
    return [label for part in parts if (label := " ".join(part.split()))]


def _version(path: Path) -> str:
    """The version in the name of the export or of its folder; empty if there is none."""
    for name in (path.name, path.absolute().parent.name):
        if match := _VERSION.search(name):
            return match[0]
    return ""


def _version_of_zips(tree: FileTree, names: Iterable[str]) -> str:
    """The version in the names of the zip files that have the given files.

    Raises:
        SourceFormatError: they have several versions.
    """
    archives = sorted({archive for name in names if (archive := tree.archive_of(name))})
    versions = {match[0]: archive for archive in archives if (match := _VERSION.search(archive))}
    if len(versions) > 1:
        raise SourceFormatError(
            f"{tree.root} has zip files of several versions, {', '.join(versions.values())}: "
            "give a folder with those of one"
        )
    return next(iter(versions), "")


def _occupation_files(tree: FileTree, languages: Sequence[str] | None) -> dict[str, str]:
    """The CSV file of each language, by its code; one in a zip file only if there is no other.

    Raises:
        SourceFormatError: there are none, a language has two, or one of ``languages`` (all if None)
            has only a file that cannot be read.
    """
    files: dict[str, str] = {}
    for name in tree.names:
        language = _language(_OCCUPATIONS, name)
        if language in files and tree.archive_of(name) and not tree.archive_of(files[language]):
            continue
        if language in files:
            raise SourceFormatError(
                f"{tree.root} has two files for {language}, {files[language]} and {name}: "
                "give the folder of one export"
            )
        if language:
            files[language] = name
    for name in tree.names:
        language = _language(_OTHER_OCCUPATIONS, name)
        unread = language and language not in files and (not languages or language in languages)
        if unread or (not files and _ARCHIVE.fullmatch(name)):
            raise SourceFormatError(
                f"{tree.root} has no occupations_{language or '<language>'}.csv, but {name}: "
                "unpack it, save it as CSV, or leave it out with `languages`"
            )
    if not files:
        raise SourceFormatError(
            f"{tree.root} is no ESCO export: it and its sub-folders have {len(tree.names)} files, "
            f"but no occupations_<language>.csv. Give {_EXPECTED}"
        )
    return files


def _language(pattern: re.Pattern[str], name: str) -> str:
    """The known language in the name of a file; empty if there is none."""
    match = pattern.fullmatch(PurePosixPath(name).name)
    code = match[1].lower() if match else ""
    return code if code in NAMES else ""


SAMPLE_FOLDER = Path(__file__).parents[1] / "sample"


class SampleSource(EscoSource):
    """The shipped sample: 120 occupations, written for this project with ids of its own.

    It is good for trying things out, but its figures say nothing about real quality.
    """

    licence = "Apache License 2.0"

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        super().__init__(SAMPLE_FOLDER, languages=languages)
        self.name = "sample"
        self.version = __version__
