"""ESCO exports: labels, kinds, folders and zip files, bad rows, and refused exports."""

import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.reading import read_source
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


def test_slash_forms_in_a_language_without_rules(write: Write) -> None:
    """The kind of a title is that of the slash form; the other labels decide whether it is one."""
    path = write(
        "e/occupations_hr.csv",
        HEADER
        + 'urn:1,5120,glavni kuhar\u00a0/\u00a0glavna kuharica,"glavni kuhar\nglavna kuharica"\n'
        + "urn:2,8331,vozač/mehaničar,vozač\n",
    ).parent
    assert titles(EscoSource(path), "hr") == [
        ("preferred", "glavni kuhar / glavna kuharica", "urn:1"),
        ("preferred", "glavni kuhar", "urn:1"),
        ("preferred", "glavna kuharica", "urn:1"),
        ("alternative", "glavni kuhar", "urn:1"),
        ("alternative", "glavna kuharica", "urn:1"),
        ("preferred", "vozač/mehaničar", "urn:2"),
        ("alternative", "vozač", "urn:2"),
    ]
    whole = EscoSource(path, gendered_forms=False)
    assert len(titles(whole, "hr")) == 5
    assert whole.sha256("hr") != EscoSource(path).sha256("hr")


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


def zipped(path: Path, *files: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for file in files:
            target.write(file, file.name)
    return path


def test_a_folder_of_the_portals_zip_files(esco_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    for language in ("de", "en"):
        zipped(
            folder / f"ESCO dataset - v1.2.0 - classification - {language} - csv.zip",
            esco_folder / language / f"occupations_{language}.csv",
        )
    source = EscoSource(folder)
    assert (source.languages, source.version) == (("de", "en"), "1.2.0")
    assert titles(source, "de") == titles(EscoSource(esco_folder), "de")
    name = "ESCO dataset - v1.2.0 - classification - de - csv.zip"
    assert next(iter(source.rows("de"))).file == f"{folder / name}!occupations_de.csv"
    # An unpacked file comes before the same language in a zip file.
    shutil.copy(esco_folder / "de" / "occupations_de.csv", folder)
    assert next(iter(EscoSource(folder).rows("de"))).file == str(folder / "occupations_de.csv")
    (folder / "other").mkdir()
    zipped(folder / "other" / "1.zip", esco_folder / "en" / "occupations_en.csv")
    with pytest.raises(
        SourceFormatError, match=r"two files for en, .*en - csv\.zip/occ.*1\.zip/occ"
    ):
        EscoSource(folder)


def test_a_folder_with_zip_files_of_two_versions(esco_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    folder.mkdir()
    zipped(folder / "ESCO v1.1.1 de.zip", esco_folder / "de" / "occupations_de.csv")
    zipped(folder / "ESCO v1.2.0 en.zip", esco_folder / "en" / "occupations_en.csv")
    with pytest.raises(
        SourceFormatError, match=r"several versions, ESCO v1\.1\.1 de.* v1\.2\.0 en"
    ):
        EscoSource(folder)


def test_a_damaged_zip_file_in_a_folder(esco_folder: Path) -> None:
    (esco_folder / "ESCO fr.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(SourceFormatError, match=r"ESCO fr\.zip is damaged"):
        EscoSource(esco_folder)


@pytest.mark.parametrize("start", ["", "sep=;\n", "sep=\t\n"])
def test_other_delimiters(write: Write, start: str) -> None:
    delimiter = "\t" if "\t" in start else ";"
    rows = f'{HEADER}urn:1,2221,nurse,"staff nurse\nadult nurse"\n'.replace(",", delimiter)
    [row] = EscoSource(write("e/occupations_en.csv", start + rows).parent).rows("en")
    assert [record.title for record in row.records] == ["nurse", "staff nurse", "adult nurse"]
    assert row.line == (3 if start else 2)


def test_the_shared_case_of_semicolons(cases: Path) -> None:
    rows, others = (
        [row.records for row in EscoSource(cases / folder).rows("en")]
        for folder in ("12-esco-layouts/semicolon", "04-several-titles-in-a-cell/pipe-labels")
    )
    assert rows == others
    assert len(rows) == 8


def test_gzip(esco_folder: Path) -> None:
    expected = titles(EscoSource(esco_folder), "de")
    path = esco_folder / "de" / "occupations_de.csv"
    (esco_folder / "occupations_de.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert titles(EscoSource(esco_folder), "de") == expected


def test_the_first_layout_has_no_hidden_labels(write: Write) -> None:
    header = "conceptType,conceptUri,iscoGroup,preferredLabel,altLabels,description\n"
    path = write(
        "e/occupations_en.csv", header + "Occupation,urn:1,2221,nurse,staff nurse,Cares.\n"
    )
    [row] = EscoSource(path.parent).rows("en")
    assert [record.title for record in row.records] == ["nurse", "staff nurse"]
    with pytest.raises(SourceFormatError, match=r"no column 'hiddenLabels', .* leave out `hidden`"):
        next(EscoSource(path.parent, hidden=True).rows("en"))


def test_an_extra_column_and_concepts_that_are_listed_twice(write: Write) -> None:
    """As in ESCO 1.2.1."""
    header = HEADER.strip() + ",code,naceCode\n"
    nurse = 'urn:1,2221,nurse,"staff nurse\nadult nurse",2221.1,'
    path = write("e/occupations_en.csv", f"{header}{nurse}Q86\n{nurse}Q87\nurn:2,5120,cook,,,\n")
    found = read_source(EscoSource(path.parent), ["en"], max_rejects=0, rejects_path=None)["en"]
    assert [(record.concept_id, record.title) for record in found.records] == [
        ("urn:1", "nurse"), ("urn:1", "staff nurse"), ("urn:1", "adult nurse"), ("urn:2", "cook"),
    ]  # fmt: skip
    assert (found.rows_read, found.rows_rejected, found.duplicates) == (3, 0, 3)


@pytest.mark.parametrize("name", ["occupations_en.xlsx", "ESCO - csv.7z", "occupations_en.csv.xz"])
def test_files_that_have_to_be_unpacked_or_saved(write: Write, name: str) -> None:
    path = write(f"e/{name}", b"x")
    with pytest.raises(SourceFormatError, match=rf"no occupations_.*, but {name}: unpack it, save"):
        EscoSource(path.parent)


def test_one_language_that_cannot_be_read(esco_folder: Path) -> None:
    (esco_folder / "occupations_fr.xlsx").write_bytes(b"PK")
    (esco_folder / "occupations_en.csv.bak").write_bytes(b"x")
    with pytest.raises(
        SourceFormatError, match=r"no occupations_fr\.csv, but occupations_fr\.xlsx: un"
    ):
        EscoSource(esco_folder)
    assert EscoSource(esco_folder, languages=["de", "en"]).languages == ("de", "en")


def test_a_zip_file_in_a_zip_file(esco_folder: Path, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", esco_folder / "en" / "occupations_en.csv")
    with pytest.raises(SourceFormatError, match=r"no occupations_.*, but inner\.zip: unpack it"):
        EscoSource(zipped(tmp_path / "outer.zip", inner))


def test_a_workbook_with_the_name_of_a_csv_file(write: Write) -> None:
    path = write("e/occupations_en.csv", b"PK\x03\x04" + bytes(20))
    with pytest.raises(SourceFormatError, match=r"occupations_en\.csv is a zip file or an Excel"):
        next(EscoSource(path.parent).rows("en"))


@pytest.mark.parametrize("language", ["cs", "fr", "nl"])
def test_real_export_1_0_8(shared_data: Path, language: str) -> None:
    source = EscoSource(shared_data / "esco-1.0.8.zip", languages=[language], hidden=True)
    assert source.version == "1.0.8"
    rows = list(source.rows(language))
    assert len(rows) == 2942
    assert not [reject for row in rows for reject in row.rejects]
