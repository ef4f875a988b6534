"""ESCO, the European Skills, Competences, Qualifications and Occupations classification.

Scope: about 3,000 occupations in 28 languages. Each has a preferred label, alternative labels, a
few hidden labels, and an ISCO-08 unit group.
Structure: the portal exports one ``occupations_<language>.csv`` per language; labels are separated
by line ends inside a quoted field. Several occupations may have the same label. German and Spanish
preferred labels join the masculine and the feminine title with a slash (:mod:`ingest.gendered`).
Source: European Commission, https://esco.ec.europa.eu, reuse with attribution.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ingest.gendered import RULES_VERSION, split_forms
from ingest.sources.base import FilePerLanguage, Reject, Row, choose_languages
from ingest.sources.files import Cells, FileTree, open_tree, read_cells, read_header
from jobsearch import __version__
from jobsearch.errors import SourceFormatError
from jobsearch.isco import UNIT_GROUPS
from jobsearch.languages import NAMES
from jobsearch.types import Kind, TitleRecord

_OCCUPATIONS = re.compile(r"occupations_([a-z]{2})\.csv", re.IGNORECASE)
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")
_EXPECTED = "an ESCO export: a folder or zip file with files such as occupations_en.csv"
_LABELS: dict[str, Kind] = {
    "preferredLabel": "preferred",
    "altLabels": "alternative",
    "hiddenLabels": "hidden",
}


class EscoSource(FilePerLanguage):
    """An ESCO export: the titles of its occupations.

    Args:
        path: folder or zip file; the CSV files may lie in sub-folders.
        hidden: also read hidden labels.
        languages: languages to read; all languages of the export if None.
        gendered_forms: also yield the two titles of a slash form as separate titles.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: the path holds no ESCO export, a language is missing, or a language has
            two files.
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
        self.version = _version(Path(path))
        self._tree = open_tree(path, _EXPECTED)
        self._files = _occupation_files(self._tree)
        self._kinds = {
            column: kind for column, kind in _LABELS.items() if hidden or kind != "hidden"
        }
        self.languages = choose_languages(
            languages, self._files, self._tree.root, "occupations_{}.csv"
        )
        self._gendered_forms = gendered_forms

    def sha256(self, language: str) -> str:
        """Digest of the language's file, the kinds of labels read, and the splitting rules."""
        content = self._tree.sha256(self._files[language])
        rules = RULES_VERSION if self._gendered_forms else 0
        options = f"{content} {sorted(self._kinds)} {rules}"
        return hashlib.sha256(options.encode()).hexdigest()

    def _rows(self, language: str) -> Iterator[Row]:
        """One row per occupation, with all its labels."""
        name = self._files[language]
        file = self._tree.where(name)
        cells = read_cells(self._tree.lines(name), ",")
        header = read_header(cells, file, ["conceptUri", "iscoGroup", *self._kinds])
        for row in cells:
            yield self._row(row, header, file, language)

    def _row(self, row: Cells, header: list[str], file: str, language: str) -> Row:
        if row.problem:
            return Row.rejected(file, row.line, row.problem, ",".join(row.cells))
        fields = dict(zip(header, row.cells, strict=True))
        concept, isco = fields["conceptUri"].strip(), fields["iscoGroup"].strip()
        if not concept:
            return Row.rejected(file, row.line, "no conceptUri", fields["preferredLabel"])
        if isco not in UNIT_GROUPS:
            text = f"{isco} of {fields['preferredLabel']}"
            return Row.rejected(file, row.line, "unknown ISCO-08 unit group", text)
        records = tuple(
            TitleRecord(title, language, self.name, kind, concept_id=concept, isco=isco)
            for column, kind in self._kinds.items()
            for label in fields[column].split("\n")
            if (cleaned := " ".join(label.split()))
            for title in (cleaned, *self._forms(cleaned, language))
        )
        rejects: tuple[Reject, ...] = ()
        if not fields["preferredLabel"].strip():
            rejects = (Reject.of(file, row.line, "empty title", concept),)
        return Row(row.line, records, rejects, file)

    def _forms(self, label: str, language: str) -> tuple[str, ...]:
        return split_forms(label, language) if self._gendered_forms else ()


def _version(path: Path) -> str:
    """The version in the name of the export or of its folder; empty if there is none."""
    for name in (path.name, path.absolute().parent.name):
        if match := _VERSION.search(name):
            return match[0]
    return ""


def _occupation_files(tree: FileTree) -> dict[str, str]:
    """The CSV file of each language, by its code."""
    files: dict[str, str] = {}
    for name in tree.names:
        match = _OCCUPATIONS.fullmatch(PurePosixPath(name).name)
        language = match[1].lower() if match else ""
        if language not in NAMES:
            continue
        if language in files:
            raise SourceFormatError(
                f"{tree.root} has two files for {language}, {files[language]} and {name}: "
                "give the folder of one export"
            )
        files[language] = name
    if not files:
        raise SourceFormatError(
            f"{tree.root} is no ESCO export: it and its sub-folders have {len(tree.names)} files, "
            f"but no occupations_<language>.csv. Give {_EXPECTED}"
        )
    return files


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
