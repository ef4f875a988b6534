"""ESCO, the European Skills, Competences, Qualifications and Occupations classification.

Scope: some 3,000 occupations in 28 languages, each with a preferred label, alternative labels and
few hidden ones, and the ISCO-08 unit group it belongs to.
Structure: the portal exports one ``occupations_<language>.csv`` a language; labels are separated
by line ends inside a quoted field. The same label may belong to several occupations, and German
and Spanish preferred labels join the two gendered titles with a slash (:mod:`ingest.gendered`).
Source: European Commission, https://esco.ec.europa.eu, reuse with attribution.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ingest.gendered import RULES_VERSION, split_forms
from ingest.sources.base import Reject, Row, choose_languages
from ingest.sources.files import Cells, FileTree, open_tree, read_cells, read_header
from jobsearch import __version__
from jobsearch.errors import SourceFormatError
from jobsearch.isco import UNIT_GROUPS
from jobsearch.languages import NAMES
from jobsearch.types import Kind, TitleRecord

_OCCUPATIONS = re.compile(r"occupations_([a-z]{2})\.csv", re.IGNORECASE)
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.])")
_LOOKED_FOR = "an ESCO export, a folder or zip file with occupations_en.csv or the like"
_LABELS: dict[str, Kind] = {
    "preferredLabel": "preferred",
    "altLabels": "alternative",
    "hiddenLabels": "hidden",
}


class EscoSource:
    """An ESCO export: the titles of its occupations.

    Args:
        path: folder or zip file; the CSV files may lie in sub-folders.
        hidden: also read hidden labels.
        languages: those wanted; all that are there if None.
        gendered_forms: also give the two titles of a slash form, each by itself.

    Raises:
        SourceNotFound: the path does not exist.
        SourceFormatError: no export, a language is missing, or a language is there twice.
        UnsafeArchive: a zip file that must not be trusted.
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
        self._tree = open_tree(path, _LOOKED_FOR)
        self._files = _occupation_files(self._tree)
        self._kinds = {c: k for c, k in _LABELS.items() if hidden or k != "hidden"}
        self.languages = choose_languages(
            languages, self._files, self._tree.root, "occupations_{}.csv"
        )
        self._gendered_forms = gendered_forms

    def sha256(self, language: str) -> str:
        """Over the file of the language, the kinds of labels read and the rules of splitting."""
        content = self._tree.sha256(self._files[language])
        rules = RULES_VERSION if self._gendered_forms else 0
        options = f"{content} {sorted(self._kinds)} {rules}"
        return hashlib.sha256(options.encode()).hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        """One row an occupation, with all its labels."""
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
            if (whole := " ".join(label.split()))
            for title in (whole, *(split_forms(whole, language) if self._gendered_forms else ()))
        )
        rejects: tuple[Reject, ...] = ()
        if not fields["preferredLabel"].strip():
            rejects = (Reject.of(file, row.line, "empty title", concept),)
        return Row(row.line, records, rejects, file)


def _version(path: Path) -> str:
    for name in (path.name, path.absolute().parent.name):
        if found := _VERSION.search(name):
            return found[0]
    return ""


def _occupation_files(tree: FileTree) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in tree.names:
        match = _OCCUPATIONS.fullmatch(PurePosixPath(name).name)
        language = match[1].lower() if match else ""
        if language not in NAMES:
            continue
        if language in found:
            raise SourceFormatError(
                f"{tree.root} has two files for {language}, {found[language]} and {name}: "
                "give the folder of one export"
            )
        found[language] = name
    if not found:
        raise SourceFormatError(
            f"{tree.root} is no ESCO export: looked for occupations_<language>.csv in it and its "
            f"sub-folders, found {len(tree.names)} other files"
        )
    return found


SAMPLE_FOLDER = Path(__file__).parents[1] / "sample"


class SampleSource(EscoSource):
    """Written by hand for this project, with ids of its own; good for a try, not for figures."""

    licence = "Apache License 2.0"

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        super().__init__(SAMPLE_FOLDER, languages=languages)
        self.name = "sample"
        self.version = __version__
