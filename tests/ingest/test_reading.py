"""From rows to titles: duplicates, rejected rows, and the file of rejects."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ingest.reading import Reading, read_source
from ingest.sources import Row
from jobsearch.errors import SourceError, SourceFormatError, TooManyRejects
from jobsearch.types import Kind, TitleRecord


@dataclass
class ListSource:
    """A source whose rows are in memory."""

    all_rows: list[Row]
    name: str = "list"
    split: str = ""
    version: str = ""
    languages: tuple[str, ...] = ("en",)

    def sha256(self, language: str) -> str:
        return "0" * 64

    @property
    def files(self) -> tuple[tuple[str, ...], ...]:
        return (self.languages,)

    def rows(self, *languages: str) -> Iterator[Row]:
        return iter(self.all_rows)


def record(title: str, concept: str | None = None, kind: Kind = "preferred") -> TitleRecord:
    return TitleRecord(title, "en", "list", kind, concept_id=concept)


def rows_of(*records: TitleRecord) -> list[Row]:
    return [Row(n, (r,), (), "list.csv") for n, r in enumerate(records, start=2)]


def read(rows: list[Row], max_rejects: float = 1.0, rejects_path: Path | None = None) -> Reading:
    source = ListSource(rows)
    return read_source(source, ["en"], max_rejects=max_rejects, rejects_path=rejects_path)["en"]


def test_a_title_is_kept_once_per_concept_as_its_best_kind() -> None:
    found = read(
        rows_of(
            record("Nurse ", "a", "hidden"),
            record("Nurse", "a", "alternative"),
            record("NURSE", "a", "preferred"),
            record("nurse", "a", "hidden"),
            record("Nurse", "b", "alternative"),
            record("Nurse"),
            record("Nurse"),
        )
    )
    assert [(r.title, r.concept_id, r.kind) for r in found.records] == [
        ("NURSE", "a", "preferred"),
        ("Nurse", "b", "alternative"),
        ("Nurse", None, "preferred"),
    ]
    assert found.texts == ["nurse", "Nurse", "Nurse"]
    assert (found.titles, found.duplicates, found.distinct_texts) == (7, 4, 2)


def test_capitals_make_no_other_title() -> None:
    titles = ["Registered Nurse", "REGISTERED NURSE", "registered nurse", "Registered  nurse"]
    found = read(rows_of(*map(record, titles)))
    assert [r.title for r in found.records] == ["Registered Nurse"]
    assert (found.texts, found.duplicates) == (["Registered Nurse"], 3)


def coded(title: str, isco: str | None, concept: str | None = None) -> TitleRecord:
    return TitleRecord(title, "en", "list", "preferred", concept_id=concept, isco=isco)


def test_without_a_concept_the_isco_code_is_part_of_the_identity() -> None:
    found = read(
        rows_of(
            coded("analyst", "2511"), coded("analyst", "2421"), coded("Analyst", "2421"),
            coded("analyst", None), coded("ANALYST", None),
        )
    )  # fmt: skip
    assert [(r.title, r.isco) for r in found.records] == [
        ("analyst", "2511"), ("analyst", "2421"), ("analyst", None),
    ]  # fmt: skip
    assert found.duplicates == 2
    assert len(set(found.ids)) == 3


def test_a_concept_with_two_isco_codes_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    found = read(
        rows_of(
            coded("analyst", None, "a"), coded("Analyst", "2511", "a"),
            coded("analyst", "2421", "a"), coded("analyst", "24", "b"),
            coded("analyst", "2421", "b"),
        ),
        rejects_path=path,
    )  # fmt: skip
    assert [(r.concept_id, r.isco) for r in found.records] == [("a", "2511"), ("b", "2421")]
    assert (found.titles, found.duplicates, found.rows_rejected) == (4, 2, 1)
    assert json.loads(path.read_text()) == {
        "file": "list.csv",
        "line": 4,
        "reason": "another ISCO-08 code for the same concept and title",
        "text": "2421 of analyst, but 2511 in an earlier row",
    }


def test_documents_are_never_merged() -> None:
    documents = [
        TitleRecord("cook", "en", "list", "corpus", split="test", doc_id=str(n)) for n in range(3)
    ]
    found = read(rows_of(*documents))
    assert len(found.records) == 3
    odd = replace(documents[0], title="None", doc_id="3")
    assert [r.title for r in read(rows_of(odd, record("None"))).records] == ["None"]
    assert found.distinct_texts == 1


def test_each_reason_for_a_rejected_title(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rejects.jsonl"
    found = read(
        rows_of(
            record("nurse\n  aide"),
            record(" \u200b "),
            record("x" * 501),
            record("--- !!"),
            record("cook \ud800"),
            record(""),
        ),
        rejects_path=path,
    )
    assert [r.title for r in found.records] == ["nurse aide"]
    assert (found.rows_read, found.rows_rejected, found.rejects_file) == (6, 5, path)
    listed = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(r["line"], r["reason"]) for r in listed] == [
        (3, "empty title"),
        (4, "title longer than 500 characters"),
        (5, "title without letter or digit"),
        (6, "not valid Unicode"),
        (7, "empty title"),
    ]
    assert listed[1]["text"] == "x" * 199 + "…"
    assert {r["file"] for r in listed} == {"list.csv"}
    assert [p.name for p in path.parent.iterdir()] == ["rejects.jsonl"]


def test_a_row_with_one_bad_label_is_rejected_but_keeps_the_others() -> None:
    row = Row(2, (record("nurse", "a"), record("?", "a"), record("aide", "a")), (), "list.csv")
    reading = read([row])
    assert (reading.rows_read, reading.rows_rejected, reading.titles) == (1, 1, 2)


def test_too_many_rejects_list_the_reasons(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = rows_of(*[record(f"cook {n}") for n in range(97)], *[record("?")] * 2, record(""))
    assert read(rows, max_rejects=0.03).rows_rejected == 3
    with pytest.raises(
        TooManyRejects,
        match=r"list \(en\): 3 of 100 rows \(3\.0%\) were rejected, more than 1\.0%: "
        r"title without letter or digit \(2, e\.g\. list\.csv line 99\); empty title \(1, e\.g\. "
        r"list\.csv line 101\)\. All are listed in .*rejects\.jsonl\. Correct the file, or raise "
        r"`max_rejects`",
    ):
        read(rows, max_rejects=0.01, rejects_path=path)
    assert len(path.read_text().splitlines()) == 3


def test_rejects_of_an_earlier_run_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("{}\n")
    assert read(rows_of(record("cook")), rejects_path=path).rejects_file is None
    assert not path.exists()


def test_a_source_that_fails_leaves_no_rejects_file(tmp_path: Path) -> None:
    class Breaking(ListSource):
        def rows(self, *languages: str) -> Iterator[Row]:
            yield Row.rejected("list.csv", 2, "bad", "text")
            raise SourceFormatError("broken")

    path = tmp_path / "rejects.jsonl"
    with pytest.raises(SourceFormatError, match="broken"):
        read_source(Breaking([]), ["en"], max_rejects=1, rejects_path=path)
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_rejects_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"cannot write the rejects to .*`rejects`"):
        read(rows_of(record("")), rejects_path=tmp_path / "file" / "rejects.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SourceError, match="cannot write the rejects to"):
        read(rows_of(record("")), rejects_path=tmp_path / "folder")


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "rejects.jsonl"
    victim.write_text("precious")
    (tmp_path / "rejects.jsonl.part").symlink_to(victim)
    read(rows_of(record("cook"), record("")), rejects_path=path)
    assert victim.read_text() == "precious"
    assert len(path.read_text().splitlines()) == 1


def in_language(language: str, title: str) -> Row:
    return Row(2, (TitleRecord(title, language, "list", "preferred"),), (), "list.csv")


def test_languages_of_one_file_share_their_rejects(tmp_path: Path) -> None:
    """A bad row is one row of the file, in whatever language it is."""
    path = tmp_path / "rejects.jsonl"
    rows = [in_language("en", f"cook {n}") for n in range(95)]
    rows += [in_language("es", f"cocinero {n}") for n in range(3)]
    rows += [in_language("es", "?"), Row.rejected("list.csv", 9, "unknown language", "xx of kock")]
    source = ListSource(rows, languages=("en", "es"))
    found = read_source(source, ["en", "es"], max_rejects=0.02, rejects_path=path)
    assert [(code, r.rows_read, r.rows_rejected) for code, r in found.items()] == [
        ("en", 95, 0), ("es", 4, 1),
    ]  # fmt: skip
    assert {(r.file_rejected, r.rejects_file) for r in found.values()} == {(2, path)}
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(TooManyRejects, match=r"list \(en, es\): 2 of 100 rows \(2\.0%\)"):
        read_source(source, ["en", "es"], max_rejects=0.019, rejects_path=None)


def test_a_language_without_usable_titles() -> None:
    rows = [*(in_language("en", f"cook {n}") for n in range(9)), in_language("es", "?")]
    source = ListSource(rows, languages=("en", "es"))
    found = read_source(source, ["en", "es"], max_rejects=0.1, rejects_path=None)
    assert [(code, r.rows_read, r.file_rejected) for code, r in found.items()] == [("en", 9, 1)]


def test_a_source_without_titles() -> None:
    with pytest.raises(SourceFormatError, match=r"list \(en\) has no titles in 0 rows"):
        read([])


def test_each_reject_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = [Row.rejected("list.csv", 2, "bad", "a\x85b\u2028c\u2029d\ne"), *rows_of(record("cook"))]
    read(rows, rejects_path=path)
    [line] = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"] == "a\x85b\u2028c\u2029d\ne"
