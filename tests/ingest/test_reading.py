"""Rows to titles: duplicates, bad ones, and the file that lists them."""

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
    """Rows from memory."""

    all_rows: list[Row]
    name: str = "list"
    split: str = ""
    version: str = ""
    languages: tuple[str, ...] = ("en",)

    def sha256(self, language: str) -> str:
        return "0" * 64

    def rows(self, language: str) -> Iterator[Row]:
        return iter(self.all_rows)


def record(title: str, concept: str | None = None, kind: Kind = "preferred") -> TitleRecord:
    return TitleRecord(title, "en", "list", kind, concept_id=concept)


def rows_of(*records: TitleRecord) -> list[Row]:
    return [Row(n, (r,), (), "list.csv") for n, r in enumerate(records, start=2)]


def read(rows: list[Row], max_rejects: float = 1.0, rejects_path: Path | None = None) -> Reading:
    return read_source(ListSource(rows), "en", max_rejects=max_rejects, rejects_path=rejects_path)


def test_the_best_kind_of_a_title_wins_within_a_concept() -> None:
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


def test_each_sort_of_bad_title(tmp_path: Path) -> None:
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


def test_one_bad_label_of_many_rejects_the_row_but_keeps_the_others() -> None:
    row = Row(2, (record("nurse", "a"), record("?", "a"), record("aide", "a")), (), "list.csv")
    found = read([row])
    assert (found.rows_read, found.rows_rejected, found.titles) == (1, 1, 2)


def test_too_many_rejects_say_why(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = rows_of(*[record(f"cook {n}") for n in range(97)], *[record("?")] * 2, record(""))
    assert read(rows, max_rejects=0.03).rows_rejected == 3
    with pytest.raises(
        TooManyRejects,
        match=r"list \(en\): 3 of 100 rows \(3\.0%\) were rejected, more than 1\.0%: "
        r"title without letter or digit \(2, e\.g\. list\.csv line 99\); empty title \(1, e\.g\. "
        r"list\.csv line 101\)\. All are listed in .*rejects\.jsonl\. Nothing was stored",
    ):
        read(rows, max_rejects=0.01, rejects_path=path)
    assert len(path.read_text().splitlines()) == 3


def test_the_list_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("{}\n")
    assert read(rows_of(record("cook")), rejects_path=path).rejects_file is None
    assert not path.exists()


def test_a_source_that_breaks_leaves_no_list(tmp_path: Path) -> None:
    class Breaking(ListSource):
        def rows(self, language: str) -> Iterator[Row]:
            yield Row.rejected("list.csv", 2, "bad", "text")
            raise SourceFormatError("broken")

    path = tmp_path / "rejects.jsonl"
    with pytest.raises(SourceFormatError, match="broken"):
        read_source(Breaking([]), "en", max_rejects=1, rejects_path=path)
    assert list(tmp_path.iterdir()) == []


def test_rejects_that_cannot_be_written(tmp_path: Path) -> None:
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


def test_no_titles_at_all() -> None:
    with pytest.raises(SourceFormatError, match=r"list \(en\) has no titles in 0 rows"):
        read([])


def test_each_reject_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    rows = [Row.rejected("list.csv", 2, "bad", "a\x85b\u2028c\u2029d\ne"), *rows_of(record("cook"))]
    read(rows, rejects_path=path)
    [line] = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["text"] == "a\x85b\u2028c\u2029d\ne"
