import shutil
import zipfile
from pathlib import Path

import pytest
from small_benchmarks import write

from eval.benchmarks.talentclef import ids_of_split, load_sample, load_talentclef
from jobsearch.errors import BenchmarkError, SourceError, SourceFormatError, SourceNotFound

EN_QUERIES = "q_id\tjobtitle\n1\tnurse\n2\tcook\n"
EN_CORPUS = 'c_id\tjobtitle\n1\tregistered nurse\n2\t"head" chef\n'
ES_QUERIES = "q_id\tjobtitle\n1\tenfermera\n"
ES_CORPUS = "c_id\tjobtitle\n1\tcocinero\n2\tenfermero\n3\tenfermero\n"
FILES = {
    "validation/english/queries": EN_QUERIES,
    "validation/english/corpus_elements": EN_CORPUS,
    "validation/english/qrels.tsv": "1\t0\t1\t1\n2\t0\t2\t1\n",
    "validation/spanish/queries": ES_QUERIES,
    "validation/spanish/corpus_elements": ES_CORPUS,
    "validation/spanish/qrels.tsv": "1\t0\t2\t1\n",
    "validation/english-spanish/qrels.tsv": "1\t0\t2\t1\n1\t0\t3\t1\n",
    "validation/english-klingon/qrels.tsv": "1\t0\t1\t1\n",
    "validation/notes/queries": "not a language",
    "validation/german/qrels.tsv": "neither queries nor a corpus",
    "test/german/queries": "q_id\tjobtitle\n1\tKoch\n",
    "test/german/corpus_element": "c_id\tjobtitle\n1\tKoch\n",
}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write(tmp_path / "TaskA", FILES)


def test_every_pair_with_all_its_files(task: Path) -> None:
    english, spanish, across = load_talentclef(task)
    assert [b.pair for b in (english, spanish, across)] == ["en-en", "es-es", "en-es"]
    assert english.queries == {"1": "nurse", "2": "cook"}
    assert english.documents.keys() == {"1", "2"}
    assert english.qrels == {"1": {"1": 1}, "2": {"2": 1}}
    assert (english.name, english.split) == ("talentclef-2025", "validation")
    titles = [row.records[0].title for row in english.corpus.rows("en")]
    assert titles == ["registered nurse", '"head" chef']


def test_a_pair_across_languages_takes_queries_and_corpus_from_both_languages(task: Path) -> None:
    (across,) = load_talentclef(task, pairs=["en-es"])
    assert (across.query_language, across.corpus.languages) == ("en", ("es",))
    assert across.queries == {"1": "nurse", "2": "cook"}
    assert across.documents.keys() == {"1", "2", "3"}
    assert across.queries_without_relevant == ("2",)
    # Both pairs have the same corpus, which is stored once.
    (spanish,) = load_talentclef(task, pairs=["es-es"])
    assert across.corpus.sha256("es") == spanish.corpus.sha256("es")
    assert (across.corpus.name, across.corpus.split) == (spanish.corpus.name, spanish.corpus.split)


def test_own_files_of_a_pair_take_precedence(task: Path) -> None:
    own = {
        "queries": "q_id\tjobtitle\n7\tbaker\n",
        "corpus_elements": "c_id\tjobtitle\n9\tpanadero\n",
    }
    write(task / "validation" / "english-spanish", {**own, "qrels.tsv": "7 0 9 1\n"})
    (across,) = load_talentclef(task, pairs=["en-es"])
    assert across.queries == {"7": "baker"}
    assert across.documents.keys() == {"9"}
    assert across.split == "validation"
    # In the store, it must not replace the Spanish corpus.
    assert across.corpus.split == "validation/en-es"


def test_pairs_keep_the_given_order(task: Path) -> None:
    assert [b.pair for b in load_talentclef(task, pairs=["en-es", "en-en"])] == ["en-es", "en-en"]


def test_a_zip_file(task: Path, tmp_path: Path) -> None:
    archive = tmp_path / "TaskA.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, text in FILES.items():
            file.writestr(f"TaskA/{name}", text)
    assert [b.pair for b in load_talentclef(archive)] == ["en-en", "es-es", "en-es"]


@pytest.mark.parametrize("zipped", [False, True])
def test_the_folder_of_a_split(task: Path, tmp_path: Path, zipped: bool) -> None:
    path = task / "validation"
    if zipped:
        path = Path(shutil.make_archive(str(tmp_path / "validation"), "zip", path))
    found = load_talentclef(path)
    assert [b.pair for b in found] == ["en-en", "es-es", "en-es"]
    assert [b.sha256 for b in found] == [b.sha256 for b in load_talentclef(task)]
    assert ids_of_split(path, "validation") == ids_of_split(task, "validation")
    with pytest.raises(BenchmarkError, match=r"no qrels.tsv in split 'validation': .* are test"):
        load_talentclef(task / "test")


@pytest.mark.parametrize("name", ["q_rels", "q_rels.tsv", "qrels"])
def test_judgements_of_the_published_sample(task: Path, name: str) -> None:
    """The sample of TalentCLEF 2025 names its judgements `q_rels`."""
    plain = load_talentclef(task)
    for qrels in (task / "validation").glob("*/qrels.tsv"):
        qrels.rename(qrels.with_name(name))
    assert [b.qrels for b in load_talentclef(task)] == [b.qrels for b in plain]


def test_two_files_of_one_part_are_refused(task: Path) -> None:
    write(task, {"validation/english/q_rels": "1\t0\t2\t1\n"})
    with pytest.raises(SourceFormatError, match=r"two files .* qrels, \S*q_rels and \S*qrels.tsv"):
        load_talentclef(task)


def test_a_missing_pair_is_refused(task: Path) -> None:
    with pytest.raises(
        BenchmarkError, match=r"no judgements for en-zh.*pairs are en-en, es-es, en-es"
    ):
        load_talentclef(task, pairs=["en-en", "en-zh"])


def test_a_split_without_judgements_is_refused(task: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"no qrels\.tsv in split 'test'.*test, validation"):
        load_talentclef(task, split="test")


def test_ids_of_a_split_without_judgements(task: Path) -> None:
    assert ids_of_split(task, "test") == {"de-de": ({"1"}, {"1"})}
    english, spanish = ({"1", "2"}, {"1", "2"}), ({"1"}, {"1", "2", "3"})
    assert ids_of_split(task, "validation") == {
        "en-en": english,
        "en-es": (english[0], spanish[1]),
        "es-en": (spanish[0], english[1]),
        "es-es": spanish,
    }
    with pytest.raises(BenchmarkError, match="no queries and corpora in split 'final'"):
        ids_of_split(task, "final")


def test_ids_of_a_pair_with_its_own_files(task: Path) -> None:
    write(
        task / "test",
        {
            "english-german/queries": "q_id\tjobtitle\n7\tbaker\n",
            "english-chinese/queries": "q_id\tjobtitle\n8\tbaker\n",
            "english-chinese/corpus_elements": "c_id\tjobtitle\n9\t面包师\n",
        },
    )
    assert ids_of_split(task, "test") == {
        "de-de": ({"1"}, {"1"}),
        "en-de": ({"7"}, {"1"}),
        "en-zh": ({"8"}, {"9"}),
    }


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("english/qrels.tsv", "1 0 1 1\n1 0 5 1\n", BenchmarkError, "line 2: judges document '5'"),
        ("english/qrels.tsv", "9 0 1 1\n", BenchmarkError, "line 1: judges query '9'"),
        ("english/qrels.tsv", "", BenchmarkError, "no judgements"),
        ("english/queries", "q_id\tjobtitle\n", BenchmarkError, "has no queries"),
        ("english/corpus_elements", "c_id\tjobtitle\n", BenchmarkError, "has no corpus"),
        ("english/queries", "", SourceFormatError, "should begin with"),
        (
            "english/queries",
            "q_id\tjobtitle\n1\ta\n1\tb\n",
            SourceFormatError,
            "line 3: duplicate id",
        ),
        ("english/queries", "q_id\tjobtitle\n1\t \n", BenchmarkError, "1 has an empty title"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    task: Path, name: str, text: str, error: type[Exception], message: str
) -> None:
    write(task / "validation", {name: text})
    with pytest.raises(error, match=message):
        load_talentclef(task, pairs=["en-en"])


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        load_talentclef(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no TalentCLEF task A"):
        load_talentclef(tmp_path)


def test_the_sample_is_named_sample() -> None:
    benchmarks = load_sample()
    pairs = [b.pair for b in benchmarks]
    assert pairs == ["de-de", "en-en", "es-es", "zh-zh", "de-en", "en-de", "en-es", "en-zh"]
    assert {b.name for b in benchmarks} == {"sample"}
    assert {len(b.queries) for b in benchmarks} == {30}
    assert all(not b.queries_without_relevant for b in benchmarks)
    assert [b.relevant for b in load_sample(pairs=["en-zh"])] == [118]


def test_the_real_validation_sets(talentclef_data: Path) -> None:
    german, english, spanish = load_talentclef(talentclef_data)
    figures = {
        b.pair: (len(b.queries), len(b.documents), b.relevant) for b in (german, english, spanish)
    }
    assert figures == {
        "de-de": (203, 4729, 8417),
        "en-en": (105, 2619, 2420),
        "es-es": (185, 4661, 7579),
    }


@pytest.fixture
def talentclef_data(shared_data: Path) -> Path:
    return shared_data / "talentclef-2025" / "TaskA"
