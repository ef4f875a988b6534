from pathlib import Path
from typing import Any

import pytest
from small_benchmarks import write

from eval.benchmarks.base import Benchmark
from eval.benchmarks.esco import load_esco_labels
from ingest.sources import EscoSource
from ingest.sources.esco import SAMPLE_FOLDER
from jobsearch.errors import BenchmarkError, InvalidInput, SourceFormatError

HEADER = "conceptUri,iscoGroup,preferredLabel,altLabels,hiddenLabels\n"
FILES = {
    "occupations_en.csv": HEADER
    + 'urn:1,2221,nurse,"staff nurse\nnurse\nStaff  nurse",ward angel\n'
    + "urn:2,5120,cook,,\n"
    + "urn:3,2221,only here,,\n",
    "occupations_de.csv": HEADER
    + "urn:2,5120,Koch/Köchin,Koch,\n"
    + "urn:1,2221,Krankenpfleger/Krankenpflegerin,,\n",
}


def load(path: Path, query_language: str, corpus_language: str, **draw: Any) -> Benchmark:
    [benchmark] = load_esco_labels(path, pairs=[f"{query_language}-{corpus_language}"], **draw)
    return benchmark


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def test_preferred_labels_against_all_labels(export: Path) -> None:
    benchmark = load(export, "de", "en")
    assert benchmark.pair == "de-en"
    # Slash forms stay whole; ids are URIs of occupations.
    assert benchmark.queries == {"urn:1": "Krankenpfleger/Krankenpflegerin", "urn:2": "Koch/Köchin"}
    records = [row.records[0] for row in benchmark.corpus.rows("en")]
    assert [(r.title, r.kind, r.concept_id) for r in records] == [
        ("nurse", "preferred", "urn:1"),
        ("staff nurse", "alternative", "urn:1"),
        ("Staff nurse", "alternative", "urn:1"),
        ("cook", "preferred", "urn:2"),
        ("only here", "preferred", "urn:3"),
    ]
    assert benchmark.qrels["urn:1"] == {r.doc_id: 1 for r in records[:3]}
    assert benchmark.qrels["urn:2"] == {records[3].doc_id: 1}
    assert set(benchmark.qrels) == set(benchmark.queries)


def test_labels_of_the_corpus_are_not_split(export: Path) -> None:
    benchmark = load(export, "en", "de")
    titles = [row.records[0].title for row in benchmark.corpus.rows("de")]
    assert titles == ["Koch/Köchin", "Koch", "Krankenpfleger/Krankenpflegerin"]
    assert list(benchmark.queries) == ["urn:1", "urn:2"]


def test_document_ids_are_the_point_ids_of_an_ingest(export: Path) -> None:
    benchmark = load(export, "de", "en")
    points = {record.point_id for row in EscoSource(export).rows("en") for record in row.records}
    assert benchmark.documents.keys() <= points


def test_the_draw_depends_on_the_seed_only() -> None:
    drawn = [
        list(load(SAMPLE_FOLDER, "en", "es", size=20, seed=seed).queries) for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 20
    # The languages do not change the draw.
    assert list(load(SAMPLE_FOLDER, "de", "zh", size=20, seed=1).queries) == drawn[0]


def test_no_occupation_in_common(export: Path) -> None:
    write(export, {"occupations_es.csv": HEADER + "urn:9,5120,cocinero,,\n"})
    with pytest.raises(BenchmarkError, match="no occupation has labels in both en and es"):
        load(export, "en", "es")


def test_one_benchmark_per_pair(export: Path) -> None:
    benchmarks = load_esco_labels(export, pairs=["en-de", "de-en", "en-de"])
    assert [benchmark.pair for benchmark in benchmarks] == ["en-de", "de-en"]
    with pytest.raises(InvalidInput, match="'english' in `pairs` is not two languages"):
        load_esco_labels(export, pairs=["en-de", "english"])


def test_unknown_and_missing_languages_are_refused(export: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"has no occupations_fr\.csv"):
        load(export, "en", "fr")
    with pytest.raises(InvalidInput, match="unknown language 'xx'"):
        load(export, "xx", "en")


def test_the_real_export(esco: Path) -> None:
    benchmark = load(esco, "en", "es")
    assert benchmark.split == "1.2.0"
    assert len(benchmark.queries) == 500
    assert not benchmark.queries_without_relevant
    # The export has 16,763 labels; a few are listed twice for an occupation.
    assert 16_700 < len(benchmark.documents) <= 16_763
