"""TalentCLEF task A: finding its files, reading titles by id, training pairs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.sources import EscoSource, SampleSource, TalentClefPairsSource, TalentClefSource
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.sources.talentclef import find_task, read_titles
from ingest.training_titles import read_training_titles, training_source
from jobsearch.errors import SourceFormatError

Write = Callable[..., Path]
CORPUS = "TaskA/validation/spanish/corpus_elements"


@pytest.fixture
def task_a(write: Write, tmp_path: Path) -> Path:
    write(f"root/{CORPUS}", 'c_id\tjobtitle\n7\tjefe "el bueno\n9\tcocinero\n8\tcocinero\n')
    write("root/TaskA/validation/spanish/queries", "q_id\tjobtitle\r\n1\tcocinera\r\n")
    write("root/TaskA/validation/spanish/qrels.tsv", "1\t0\t9\t1\n")
    write("root/TaskA/test/german/corpus_element", "c_id\tjobtitle\n1\tKoch\n")
    write("root/TaskB/validation/spanish/queries", "other\n")
    write("root/TaskA/validation/klingon/queries", "q_id\tjobtitle\n")
    return tmp_path / "root" / "TaskA"


@pytest.mark.parametrize("layout", ["folder", "parent", "zip"])
def test_task_a_is_found_in_its_folder_a_parent_or_a_zip(
    task_a: Path, tmp_path: Path, layout: str
) -> None:
    path = {"folder": task_a, "parent": task_a.parent}.get(layout) or Path(
        shutil.make_archive(str(tmp_path / "talentclef"), "zip", task_a.parent)
    )
    task = find_task(path)
    assert task.splits == ("test", "validation")
    assert task.languages("validation", "corpus") == ("es",)
    assert task.languages("test", "corpus") == ("de",)
    assert task.languages("test", "qrels") == ()
    assert task.find("validation", "es", "qrels").endswith("validation/spanish/qrels.tsv")
    # Quotation marks have no meaning, and line ends may be LF or CRLF.
    assert read_titles(task, "validation", "es", "corpus") == {
        "7": 'jefe "el bueno',
        "9": "cocinero",
        "8": "cocinero",
    }
    assert read_titles(task, "validation", "es", "queries") == {"1": "cocinera"}


def test_documents_with_the_same_title_stay_separate(task_a: Path) -> None:
    source = TalentClefSource(task_a, "validation")
    assert (source.name, source.split, source.languages) == (
        "talentclef-2025",
        "validation",
        ("es",),
    )
    records = [record for row in source.rows("es") for record in row.records]
    assert [(r.doc_id, r.title, r.kind, r.split) for r in records] == [
        ("7", 'jefe "el bueno', "corpus", "validation"),
        ("9", "cocinero", "corpus", "validation"),
        ("8", "cocinero", "corpus", "validation"),
    ]
    assert len({record.point_id for record in records}) == 3
    assert len(source.sha256("es")) == 64


def test_bad_lines(task_a: Path, write: Write) -> None:
    write(
        f"root/{CORPUS}",
        b"c_id\tjobtitle\n1\tuno\n\n1\tdos\n2\n3\ttres\tx\n\tcuatro\n4\tcami\xf3n\n5\tcinco\n",
    )
    rows = list(TalentClefSource(task_a, "validation").rows("es"))
    assert [(r.line, r.reason.split(" (")[0]) for row in rows for r in row.rejects] == [
        (4, "duplicate id"),
        (5, "not an id, a tab and a title"),
        (6, "not an id, a tab and a title"),
        (7, "not an id, a tab and a title"),
        (8, "not UTF-8"),
    ]
    assert [record.doc_id for row in rows for record in row.records] == ["1", "5"]
    with pytest.raises(SourceFormatError, match="corpus_elements, line 4: duplicate id"):
        read_titles(find_task(task_a), "validation", "es", "corpus")


def test_wrong_header(task_a: Path, write: Write) -> None:
    write(f"root/{CORPUS}", "1\tuno\n")
    with pytest.raises(SourceFormatError, match=r"should begin with the line 'c_id<tab>jobtitle'"):
        next(TalentClefSource(task_a, "validation").rows("es"))


def test_missing_parts(task_a: Path, write: Write) -> None:
    with pytest.raises(SourceFormatError, match="no corpus in split 'training': its splits are te"):
        TalentClefSource(task_a, "training")
    with pytest.raises(
        SourceFormatError, match="no qrels for test/de: it has qrels for validation/es"
    ):
        find_task(task_a).find("test", "de", "qrels")
    with pytest.raises(SourceFormatError, match="is no TalentCLEF task A"):
        find_task(write("elsewhere/notes.txt", "x").parent)


def test_a_folder_with_two_downloads(task_a: Path) -> None:
    shutil.copytree(task_a, task_a.parent / "again" / "TaskA")
    with pytest.raises(SourceFormatError, match="holds 2 downloads"):
        find_task(task_a.parent)


def test_the_sample_benchmark() -> None:
    task = find_task(SAMPLE_FOLDER / "benchmark")
    assert task.languages("validation", "corpus") == ("de", "en", "es", "zh")
    assert len(read_titles(task, "validation", "zh", "queries")) > 10


@pytest.mark.parametrize(
    ("split", "language", "documents"),
    [
        ("validation", "en", 2619),
        ("validation", "es", 4661),
        ("validation", "de", 4729),
        ("test", "de", 1510),
    ],
)
def test_real_corpora(talentclef: Path, split: str, language: str, documents: int) -> None:
    rows = list(TalentClefSource(talentclef, split).rows(language))
    assert len(rows) == documents
    assert not [reject for row in rows for reject in row.rejects]
    assert rows[0].line == 2


PAIRS = (
    'http://data.europa.eu/esco/isco/C2221\thttp://x/nurse\tEnfermera "jefe\t\tenfermero\n'
    "http://data.europa.eu/esco/isco/C2221\thttp://x/nurse\tenfermera\tenfermero\n"
    "C2221\thttp://x/nurse\tenfermera\tATS\r\n"
    "\n"
    "C9999\thttp://x/nurse\tenfermera\tATS\n"
    "C2221\t\tenfermera\tATS\n"
)


def test_training_pairs_give_titles_with_their_occupation(write: Write, tmp_path: Path) -> None:
    write("root/training/spanish/taskA_training_es.tsv", PAIRS)
    assert TalentClefPairsSource.is_at(tmp_path / "root")
    source = TalentClefPairsSource(tmp_path / "root")
    assert (source.languages, source.split) == (("es",), "training")
    rows = list(source.rows("es"))
    assert [row.line for row in rows] == [1, 2, 3, 5, 6]
    assert [reject.reason for row in rows for reject in row.rejects] == [
        "not a group, an occupation and two titles",
        "unknown ISCO-08 unit group",
        "not a group, an occupation and two titles",
    ]
    records = [record for row in rows for record in row.records]
    assert [r.title for r in records] == ["enfermera", "enfermero", "enfermera", "ATS"]
    assert {(r.concept_id, r.isco, r.kind) for r in records} == {
        ("http://x/nurse", "2221", "alternative")
    }


def test_missing_or_repeated_training_pairs(write: Write, tmp_path: Path) -> None:
    write("root/other.tsv", "x\n")
    assert not TalentClefPairsSource.is_at(tmp_path / "root")
    with pytest.raises(SourceFormatError, match=r"no taskA_training_<language>\.tsv"):
        TalentClefPairsSource(tmp_path / "root")
    write("root/a/taskA_training_es.tsv", PAIRS)
    with pytest.raises(SourceFormatError, match=r"no taskA_training_de\.tsv.*are es"):
        TalentClefPairsSource(tmp_path / "root", ["de"])
    write("root/b/taskA_training_es.tsv", PAIRS)
    with pytest.raises(SourceFormatError, match="two files for one language"):
        TalentClefPairsSource(tmp_path / "root")


def test_training_source_recognises_the_data_in_a_folder(write: Write, tmp_path: Path) -> None:
    write("pairs/taskA_training_es.tsv", PAIRS)
    assert isinstance(training_source(tmp_path / "pairs"), TalentClefPairsSource)
    assert isinstance(training_source(SAMPLE_FOLDER), EscoSource)
    assert isinstance(training_source("sample"), SampleSource)
    titles = read_training_titles([training_source(tmp_path / "pairs")], max_rejects=0.7)
    assert titles.texts == ("ATS", "enfermera", "enfermero")


@pytest.mark.slow
def test_the_real_training_pairs(talentclef: Path) -> None:
    titles = read_training_titles([training_source(talentclef)])
    assert titles.languages == ("de", "es")
    assert len(titles.concepts) > 2000
    assert all(len(group) == 4 for group in titles.groups)
