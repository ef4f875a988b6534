"""Rows to titles: duplicates, bad ones, and the file that lists them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
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
        ("Nurse", "a", "alternative"),
        ("NURSE", "a", "preferred"),
        ("Nurse", "b", "alternative"),
        ("Nurse", None, "preferred"),
    ]
    assert found.texts == ["Nurse", "nurse", "Nurse", "Nurse"]
    assert (found.titles, found.duplicates, found.distinct_texts) == (7, 3, 2)


def test_documents_are_never_merged() -> None:
    documents = [
        TitleRecord("cook", "en", "list", "corpus", split="test", doc_id=str(n)) for n in range(3)
    ]
    found = read(rows_of(*documents))
    assert len(found.records) == 3
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
        r"list\.csv line 101\)\. All are listed in .*rejects\.jsonl\. Correct the file, or raise "
        r"`max_rejects`",
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
        def rows(self, *languages: str) -> Iterator[Row]:
            yield Row.rejected("list.csv", 2, "bad", "text")
            raise SourceFormatError("broken")

    path = tmp_path / "rejects.jsonl"
    with pytest.raises(SourceFormatError, match="broken"):
        read_source(Breaking([]), ["en"], max_rejects=1, rejects_path=path)
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


def test_no_titles_at_all() -> None:
    with pytest.raises(SourceFormatError, match=r"list \(en\) has no titles in 0 rows"):
        read([])
