"""ESCO exports: labels, kinds, folders and zip files, bad rows, and refused exports."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.sources import EscoSource, SampleSource
from jobsearch import __version__
from jobsearch.errors import InvalidInput, SourceFormatError
from jobsearch.text import normalize_title

Write = Callable[..., Path]
HEADER = "conceptUri,iscoGroup,preferredLabel,altLabels\n"


def titles(source: EscoSource, language: str) -> list[tuple[str, str, str | None]]:
    records = [record for row in source.rows(language) for record in row.records]
    return [(r.kind, r.title, r.concept_id) for r in records]


def test_labels_come_in_order_with_both_gendered_titles(esco_folder: Path) -> None:
    source = EscoSource(esco_folder)
    assert (source.name, source.split, source.version) == ("esco", "", "1.2.0")
    assert source.languages == ("de", "en")
    assert titles(source, "en")[6:11] == [
        ("preferred", "waiter/waitress", "urn:2"),
        ("preferred", "waiter", "urn:2"),
        ("preferred", "waitress", "urn:2"),
        ("alternative", "restaurant server", "urn:2"),
        ("alternative", "waiter", "urn:2"),
    ]
    record = next(iter(source.rows("en"))).records[0]
    assert (record.isco, record.language, record.source) == ("2221", "en", "esco")
    assert [row.line for row in source.rows("en")] == [2, 4, 6, 8]


def test_hidden_labels_on_request_only(esco_folder: Path) -> None:
    without, with_hidden = EscoSource(esco_folder), EscoSource(esco_folder, hidden=True)
    assert not [t for t in titles(without, "en") if t[0] == "hidden"]
    assert titles(with_hidden, "en")[3] == ("hidden", "bed pan boss", "urn:0")
    assert without.sha256("en") != with_hidden.sha256("en")
    assert without.sha256("en") != without.sha256("de")
    assert without.sha256("en") == EscoSource(esco_folder).sha256("en")


def test_zip_reads_like_the_folder(esco_folder: Path, tmp_path: Path) -> None:
    name = "ESCO dataset - v1.2.0 - classification - csv"
    source = EscoSource(shutil.make_archive(str(tmp_path / name), "zip", esco_folder))
    assert source.version == "1.2.0"
    assert titles(source, "de") == titles(EscoSource(esco_folder), "de")
    assert source.sha256("de") == EscoSource(esco_folder).sha256("de")


def test_bad_rows_are_rejected_and_the_others_read(write: Write) -> None:
    path = write(
        "e/occupations_en.csv",
        (HEADER + "urn:1,2221,nurse,\n,2221,no concept,\nurn:3,2229,no such group,\n")
        + "urn:4,2221,,staff nurse\nurn:5,2221,broken\nurn:6,0110,officer,captain\n",
    )
    rows = list(EscoSource(path.parent).rows("en"))
    assert [(r.line, r.reason, r.text) for row in rows for r in row.rejects] == [
        (3, "no conceptUri", "no concept"),
        (4, "unknown ISCO-08 unit group", "2229 of no such group"),
        (5, "empty title", "urn:4"),
        (6, "another number of columns than the header", "urn:5,2221,broken"),
    ]
    assert {r.file for row in rows for r in row.rejects} == {str(path)}
    kept = [record.title for row in rows for record in row.records]
    assert kept == ["nurse", "staff nurse", "officer", "captain"]


def test_a_row_that_is_not_utf_8_is_rejected(write: Write) -> None:
    path = write(
        "e/occupations_de.csv",
        HEADER.encode() + b"urn:1,5120,K\xf6chin,\nurn:2,5120,Koch,\n",
    )
    first, second = EscoSource(path.parent).rows("de")
    assert first.rejects[0].reason.startswith("not UTF-8 (")
    assert first.rejects[0].line == 2
    assert [record.title for record in second.records] == ["Koch"]


def test_a_folder_without_an_export(write: Write) -> None:
    path = write("folder/titles.csv", "nurse\n")
    with pytest.raises(SourceFormatError, match=r"is no ESCO export: .* have 1 files, but no occ"):
        EscoSource(path.parent)


def test_a_missing_language(esco_folder: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"no occupations_es\.csv: its languages are de, e"):
        EscoSource(esco_folder, languages=["es"])
    with pytest.raises(InvalidInput, match="unknown language 'xx'"):
        EscoSource(esco_folder, languages=["xx"])
    assert EscoSource(esco_folder, languages=["en"]).languages == ("en",)


def test_a_folder_with_two_exports(esco_folder: Path) -> None:
    shutil.copytree(esco_folder / "en", esco_folder / "other")
    with pytest.raises(SourceFormatError, match="two files for en"):
        EscoSource(esco_folder)


def test_missing_column_and_empty_file(write: Write) -> None:
    path = write("e/occupations_en.csv", "conceptUri,preferredLabel\n")
    with pytest.raises(SourceFormatError, match="no column 'iscoGroup', 'altLabels': its columns"):
        next(EscoSource(path.parent).rows("en"))
    write("e/occupations_en.csv", "")
    with pytest.raises(SourceFormatError, match="is empty"):
        next(EscoSource(path.parent).rows("en"))


def test_the_sample_is_complete_and_without_rejects() -> None:
    source = SampleSource()
    assert (source.name, source.version) == ("sample", __version__)
    assert source.languages == ("de", "en", "es", "zh")
    for language in source.languages:
        rows = list(source.rows(language))
        assert len(rows) == 120
        assert not [reject for row in rows for reject in row.rejects]
    majors = {r.isco[0] for row in source.rows("en") for r in row.records if r.isco}
    assert majors == set("0123456789")


@pytest.mark.parametrize(("language", "distinct"), [("en", 33_327), ("es", 17_307), ("de", 19_346)])
def test_real_export(esco: Path, language: str, distinct: int) -> None:
    source = EscoSource(esco)
    assert source.version == "1.2.0"
    rows = list(source.rows(language))
    assert len(rows) == 3039
    assert not [reject for row in rows for reject in row.rejects]
    records = [record for row in rows for record in row.records]
    assert len({(r.concept_id, normalize_title(r.title)) for r in records}) == distinct


@pytest.mark.parametrize("mark", ["\n", "\r\n", "\r", " | ", "|", "\u2028"])
def test_separators_of_labels(write: Write, mark: str) -> None:
    labels = mark.join(["registered nurse", "staff nurse", "adult nurse"])
    path = write("e/occupations_en.csv", f'{HEADER}urn:1,2221,nurse,"{labels}"\n')
    [row] = EscoSource(path.parent).rows("en")
    assert [(record.kind, record.title) for record in row.records] == [
        ("preferred", "nurse"), ("alternative", "registered nurse"), ("alternative", "staff nurse"),
        ("alternative", "adult nurse"),
    ]  # fmt: skip


def test_the_shared_case_of_labels_with_bars(cases: Path) -> None:
    source = EscoSource(cases / "04-several-titles-in-a-cell" / "pipe-labels")
    rows = list(source.rows("en"))
    assert len(rows) == 8
    assert len([record for row in rows for record in row.records]) == 24


def test_isco_groups_as_spreadsheets_leave_them(write: Write) -> None:
    path = write(
        "e/occupations_en.csv",
        HEADER + "urn:1,110,officer,\nurn:2,C2221,nurse,\nurn:3,7212.0,welder,\nurn:4,222,x,\n",
    )
    rows = list(EscoSource(path.parent).rows("en"))
    assert [record.isco for row in rows for record in row.records] == ["0110", "2221", "7212"]
    assert [(r.reason, r.text) for r in rows[3].rejects] == [
        ("unknown ISCO-08 unit group", "222 of x")
    ]
