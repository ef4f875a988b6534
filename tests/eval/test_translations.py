from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder, letter_vectors
from small_benchmarks import write

from eval.translations import (
    Labels,
    choose_concepts,
    compare_translations,
    pair_cosines,
    read_labels,
)
from ingest.sources import EscoSource, SampleSource
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.vectors import Vectors

HEADER = "conceptUri,iscoGroup,preferredLabel,altLabels,hiddenLabels\n"
FILES = {
    "occupations_en.csv": HEADER
    + "urn:1,2221,nurse,staff nurse,\nurn:2,5120,cook,,\nurn:3,2221,midwife,,\n",
    "occupations_de.csv": HEADER
    + "urn:2,5120,Koch/Köchin,Chefkoch,\nurn:1,2221,Krankenpfleger,,\nurn:4,2221,nur hier,,\n",
    "occupations_es.csv": HEADER
    + "urn:1,2221,enfermero,,\nurn:2,5120,cocinero,,\nurn:3,2221,matrona,,\n",
}


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return read_labels(EscoSource(write(tmp_path, FILES)), ("en", "es", "de"))


def test_slash_forms_of_preferred_labels_stay_whole(labels: Labels) -> None:
    assert labels.source == "esco"
    assert labels.languages == ("en", "es", "de")
    assert labels.titles["en"] == {"urn:1": "nurse", "urn:2": "cook", "urn:3": "midwife"}
    assert labels.titles["de"] == {
        "urn:2": "Koch/Köchin",
        "urn:1": "Krankenpfleger",
        "urn:4": "nur hier",
    }
    assert labels.shared("en", "es") == ["urn:1", "urn:2", "urn:3"]
    assert labels.shared("en", "es", "de") == ["urn:1", "urn:2"]


def test_cosines_computed_by_hand() -> None:
    one = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    other = np.array([[1, 0], [0.8, 0.6], [0, -1]], dtype=np.float32)
    found = pair_cosines("en-es", one, other)
    assert (found.pair, found.concepts) == ("en-es", 3)
    # All cosines of one with other: [1, .8, 0], [0, .6, -1], [.6, .96, -.8].
    assert found.translations == pytest.approx((1 + 0.6 - 0.8) / 3, abs=1e-7)
    assert found.random == pytest.approx((0.8 + 0 + 0 - 1 + 0.6 + 0.96) / 6, abs=1e-7)
    assert found.difference == pytest.approx(0.8 / 3 - 1.36 / 6, abs=1e-7)
    assert found.as_dict().keys() == {
        "pair", "concepts", "translations", "random", "difference",
    }  # fmt: skip


def test_each_pair_is_compared_over_all_shared_concepts(
    labels: Labels, encoder: FakeEncoder
) -> None:
    panel = compare_translations(labels, ["urn:1", "urn:2"], encoder)
    assert (panel.model, panel.variant) == ("fake", "pretrained")
    assert [(p.pair, p.concepts) for p in panel.pairs] == [("en-es", 3), ("en-de", 2), ("es-de", 2)]
    english = letter_vectors(["nurse", "cook", "midwife"])
    spanish = letter_vectors(["enfermero", "cocinero", "matrona"])
    german = letter_vectors(["Krankenpfleger", "Koch/Köchin"])
    compared = ((english, spanish), (english, german), (spanish, german))
    for pair, (first, second) in zip(panel.pairs, compared, strict=True):
        cosines = first[: pair.concepts] @ second.T
        off_diagonal = cosines[~np.eye(pair.concepts, dtype=bool)]
        assert pair.translations == pytest.approx(np.diag(cosines).mean(), abs=1e-6)
        assert pair.random == pytest.approx(off_diagonal.mean(), abs=1e-6)


def test_every_label_is_encoded_once_as_a_document(labels: Labels, encoder: FakeEncoder) -> None:
    compare_translations(labels, ["urn:1", "urn:2"], encoder)
    assert len(encoder.documents) == 9 and not encoder.queries


def test_points_are_the_principal_components_of_the_chosen_vectors(
    labels: Labels, encoder: FakeEncoder
) -> None:
    panel = compare_translations(labels, ["urn:1", "urn:2"], encoder)
    assert panel.points.shape == (3, 2, 2)
    vectors = letter_vectors(
        ["nurse", "cook", "enfermero", "cocinero", "Krankenpfleger", "Koch/Köchin"]
    ).astype(float)
    centred = vectors - vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    # The sign of an axis is arbitrary.
    np.testing.assert_allclose(np.abs(panel.points.reshape(6, 2)), np.abs(expected), atol=1e-9)
    shares = sizes**2 / np.sum(sizes**2)
    assert panel.explained_variance == pytest.approx(tuple(shares[:2]))
    assert panel.as_dict() == {
        "variant": "pretrained",
        "pairs": [pair.as_dict() for pair in panel.pairs],
        "explained_variance": list(panel.explained_variance),
    }


def test_a_collapsed_model_has_no_difference(labels: Labels) -> None:
    class Collapsed(FakeEncoder):
        def encode_documents(self, texts: Sequence[str]) -> Vectors:
            return letter_vectors(["one spot"] * len(texts))

    panel = compare_translations(labels, ["urn:1", "urn:2"], Collapsed())
    assert all(pair.translations == pytest.approx(1, abs=1e-6) for pair in panel.pairs)
    assert all(pair.difference == pytest.approx(0, abs=1e-6) for pair in panel.pairs)
    assert panel.explained_variance == (0, 0)
    np.testing.assert_allclose(panel.points, 0, atol=1e-6)


def test_the_choice_depends_on_the_seed_only() -> None:
    labels = read_labels(SampleSource(), ("en", "de"))
    first, again, other = (choose_concepts(labels, 20, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 20 and list(first) == sorted(first)
    # Other languages with the same concepts give the same choice.
    assert choose_concepts(read_labels(SampleSource(), ("zh", "es")), 20, 1) == first
    assert len(choose_concepts(labels, 1000, 0)) == 120


def test_too_few_or_missing_languages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="`languages` is en: translations need at least two, give two"
    ):
        read_labels(SampleSource(), ("en", "en"))
    with pytest.raises(InvalidInput, match="sample has no titles in fr: its languages are de, en"):
        read_labels(SampleSource(), ("en", "fr"))


def test_too_few_shared_concepts_are_refused(tmp_path: Path) -> None:
    files = {**FILES, "occupations_es.csv": HEADER + "urn:1,2221,enfermero,,\n"}
    source = EscoSource(write(tmp_path, files))
    with pytest.raises(BenchmarkError, match=r"fewer than two concepts .* in each of en, es"):
        read_labels(source, ("en", "es"))


def test_the_real_export(esco: Path) -> None:
    labels = read_labels(EscoSource(esco), ("en", "es", "de"))
    assert labels.source == "esco 1.2.0"
    assert len(labels.shared("en", "es", "de")) == 3039
