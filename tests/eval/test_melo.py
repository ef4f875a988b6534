import zipfile
from pathlib import Path

import pytest
from small_benchmarks import write

from eval.benchmarks.base import Benchmark
from eval.benchmarks.melo import load_melo
from jobsearch.errors import BenchmarkError, SourceNotFound

FILES = {
    "queries.tsv": 'Q1\tKoch\nQ2\t"Alt" Pfleger\n',
    "corpus_elements.tsv": "C1_en_0\tcook\nC1_en_1\tchef\nC2_en_0\tnurse\n",
    "annotations.tsv": "Q1\t0\tC1_en_0\t1\nQ1\t0\tC1_en_1\t1\nQ2\t0\tC2_en_0\t1\n",
    "concept_mapping.tsv": "C1_en_0\turn:cook\nC1_en_1\turn:cook\nC2_en_0\turn:nurse\n",
}


def load(path: Path, set_name: str | None = None) -> Benchmark:
    [benchmark] = load_melo(path, set_name=set_name)
    return benchmark


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "deu_q_de_c_en", FILES)


def test_one_set(folder: Path) -> None:
    benchmark = load(folder)
    assert (benchmark.name, benchmark.split, benchmark.pair) == ("melo", "deu_q_de_c_en", "de-en")
    assert benchmark.queries == {"Q1": "Koch", "Q2": '"Alt" Pfleger'}
    assert benchmark.qrels["Q1"] == {"C1_en_0": 1, "C1_en_1": 1}
    records = [row.records[0] for row in benchmark.corpus.rows("en")]
    assert [(r.doc_id, r.title, r.concept_id) for r in records] == [
        ("C1_en_0", "cook", "urn:cook"),
        ("C1_en_1", "chef", "urn:cook"),
        ("C2_en_0", "nurse", "urn:nurse"),
    ]


def test_a_header_is_not_a_query(folder: Path) -> None:
    plain = load(folder)
    write(
        folder,
        {
            "queries.tsv": "q_id\tjobtitle\n" + FILES["queries.tsv"],
            "corpus_elements.tsv": "c_id\tjobtitle\n" + FILES["corpus_elements.tsv"],
        },
    )
    assert (load(folder).queries, load(folder).documents) == (plain.queries, plain.documents)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deutsch", "the folder name 'deutsch' gives no languages"),
        ("xyz_q_xx_c_en", "unknown languages: xx"),
        ("usa_q_en_c_en_xx", "unknown languages: xx"),
        ("deu_q_de_c_es", r"corpus_elements.tsv, line 1: the id 'C1_en_0' names none of .* es: "),
    ],
)
def test_bad_folder_names_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        load(write(tmp_path / name, FILES))


def test_a_corpus_in_several_languages(tmp_path: Path) -> None:
    """MELO has such a set, ``usa_q_en_c_de_en_es_fr_it_nl_pl_pt``."""
    files = FILES | {"corpus_elements.tsv": "C1_de_0\tKoch\nC1_en_1\tchef\nC2_en_0\tnurse\n"}
    files["annotations.tsv"] = files["annotations.tsv"].replace("C1_en_0", "C1_de_0")
    benchmark = load(write(tmp_path / "usa_q_en_c_de_en", files))
    assert benchmark.pair == "en-de+en"
    assert benchmark.corpus.languages == ("de", "en")
    assert list(benchmark.corpus.titles_in("de")) == ["Koch"]
    assert list(benchmark.corpus.titles_in("en")) == ["chef", "nurse"]
    assert benchmark.qrels["Q1"] == {"C1_de_0": 1, "C1_en_1": 1}
    write(tmp_path / "usa_q_en_c_de_en", {"corpus_elements.tsv": "C1_de_0\tKoch\nX2\tchef\n"})
    with pytest.raises(BenchmarkError, match=r"line 2: the id 'X2' names none of .* de, en: "):
        load(tmp_path / "usa_q_en_c_de_en")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "queries.tsv",
            "Q1\tKoch\nQ1\tBauer\n",
            r"queries\.tsv, line 2: duplicate id: 'Q1\\tBauer'",
        ),
        ("queries.tsv", "Koch\n", r"queries\.tsv, line 1: not an id, a tab and a title: 'Koch'"),
        ("queries.tsv", "", r"queries\.tsv has no queries"),
        ("corpus_elements.tsv", "", r"corpus_elements\.tsv has no corpus elements"),
        ("annotations.tsv", "Q1 0 X 1\n", r"annotations\.tsv, line 1: judges document 'X'"),
    ],
)
def test_bad_files_are_refused_with_file_and_line(
    folder: Path, name: str, text: str, message: str
) -> None:
    write(folder, {name: text})
    with pytest.raises(BenchmarkError, match=message):
        load(folder)


def test_a_file_in_another_encoding(folder: Path) -> None:
    (folder / "queries.tsv").write_bytes("Q1\tKöchin\n".encode("latin-1"))
    with pytest.raises(BenchmarkError, match=r"queries\.tsv, line 1: not UTF-8"):
        load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "annotations.tsv").unlink()
    with pytest.raises(BenchmarkError, match=r"has no annotations\.tsv"):
        load(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        load(tmp_path / "deu_q_de_c_en")


@pytest.fixture(params=["folder", "zip"])
def several(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two sets among other files, in the layout of MELO's repository."""
    files = {
        **{f"data/processed/melo/deu_q_de_c_en/{name}": text for name, text in FILES.items()},
        **{f"data/processed/melo/aut_q_de_c_en/{name}": text for name, text in FILES.items()},
        "data/processed/melo/aut_q_de_c_en/queries.tsv": "Q1\tKellner\nQ2\tPfleger\n",
        "data/raw/queries.tsv": "none of a set",
        "data/processed/melo/fra_q_fr_c_en/logged_stats.txt": "nothing else",
    }
    if request.param == "folder":
        return write(tmp_path / "melo-benchmark", files)
    with zipfile.ZipFile(tmp_path / "melo-benchmark.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"melo-benchmark/{name}", text)
    return tmp_path / "melo-benchmark.zip"


def test_one_of_several_sets(several: Path) -> None:
    benchmark = load(several, "aut_q_de_c_en")
    assert (benchmark.split, benchmark.pair) == ("aut_q_de_c_en", "de-en")
    assert benchmark.queries == {"Q1": "Kellner", "Q2": "Pfleger"}
    assert set(benchmark.documents) == {"C1_en_0", "C1_en_1", "C2_en_0"}
    assert benchmark.relevant == 3
    assert load(several, "deu_q_de_c_en").queries["Q1"] == "Koch"


def test_several_sets_are_listed(several: Path) -> None:
    with pytest.raises(
        BenchmarkError,
        match=r"holds 2 sets: choose one with `set_name`: aut_q_de_c_en, deu_q_de_c_en$",
    ):
        load(several)
    with pytest.raises(
        BenchmarkError, match=r"no set 'fra_q_fr_c_en': its sets are aut_q_de_c_en, deu_q_de_c_en$"
    ):
        load(several, "fra_q_fr_c_en")


def test_missing_files_of_one_of_several_sets_are_named(several: Path) -> None:
    if several.is_file():
        with zipfile.ZipFile(several, "a") as archive:
            archive.writestr("more/est_q_et_c_et/queries.tsv", "Q1\tkokk\n")
    else:
        write(several / "more" / "est_q_et_c_et", {"queries.tsv": "Q1\tkokk\n"})
    with pytest.raises(
        BenchmarkError, match=r"more/est_q_et_c_et/? has no corpus_elements\.tsv, annotations\.tsv"
    ):
        load(several, "est_q_et_c_et")


def test_the_only_set_needs_no_name(folder: Path, tmp_path: Path) -> None:
    assert load(tmp_path).split == "deu_q_de_c_en"
    # A zip of the files without their folder.
    with zipfile.ZipFile(tmp_path / "aut_q_de_c_en.zip", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    assert load(tmp_path / "aut_q_de_c_en.zip").split == "aut_q_de_c_en"


def test_the_only_set_may_be_named(folder: Path) -> None:
    assert load(folder, "deu_q_de_c_en").queries == load(folder).queries
    with pytest.raises(
        BenchmarkError, match=r"no set 'fra_q_fr_c_en': its sets are deu_q_de_c_en$"
    ):
        load(folder, "fra_q_fr_c_en")


def test_a_set_inside_a_set(folder: Path) -> None:
    write(folder / "old" / "deu_q_de_c_en", FILES)
    write(folder / "old" / "deu_q_de_c_en", {"queries.tsv": "Q1\tKellner\nQ2\tPfleger\n"})
    assert load(folder).queries["Q1"] == load(folder, "deu_q_de_c_en").queries["Q1"] == "Koch"
    with pytest.raises(
        BenchmarkError, match=r"2 times \(deu_q_de_c_en/, deu_q_de_c_en/old/deu_q_de_c_en/\)"
    ):
        load(folder.parent)


def test_one_of_several_sets_with_a_corpus_in_two_languages(tmp_path: Path) -> None:
    write(tmp_path / "sets" / "usa_q_en_c_en_de", FILES)
    write(tmp_path / "sets" / "usa_q_en_c_en", FILES)
    assert load(tmp_path / "sets", "usa_q_en_c_en_de").pair == "en-en+de"
    assert load(tmp_path / "sets", "usa_q_en_c_en").pair == "en-en"


@pytest.mark.slow
def test_the_real_sets(shared_data: Path) -> None:
    german = load(shared_data / "melo" / "deu_q_de_c_en")
    assert (len(german.queries), len(german.documents), german.relevant) == (1779, 33606, 19791)
    spanish = load(shared_data / "melo" / "esp_q_es_c_en")
    assert (len(spanish.queries), len(spanish.documents), spanish.relevant) == (1580, 33580, 19159)
    assert spanish.pair == "es-en"
    assert not spanish.queries_without_relevant
    assert load(shared_data / "melo", "esp_q_es_c_en").qrels == spanish.qrels
