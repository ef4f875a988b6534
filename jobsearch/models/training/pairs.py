"""Training recipes, and the pairs of titles that they train on."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from jobsearch.errors import InvalidInput
from jobsearch.models.training.titles import Indices, TrainingTitles

#: Part of a model that is trained; see :class:`Recipe`.
TrainedPart = Literal["head", "all", "adapter"]
#: Names of the recipes.
RECIPES = ("aligned", "paper")


@dataclass(frozen=True, slots=True)
class PairMix:
    """The kinds of pairs of titles that a model learns from.

    Args:
        monolingual, crosslingual, gendered: target shares of the pairs: two titles of a concept in
            one language, in two languages, and the masculine and feminine title of one slash form.
            A concept without pairs of one kind gives pairs of another kind.
        cap: maximum number of titles per concept and language in one epoch, drawn anew in each.
            Without a cap, English would dominate: it has twice as many labels.
        lowercase: share of titles that are lower-cased. Titles in capitals need no share, because
            normalisation lower-cases them.
    """

    monolingual: float
    crosslingual: float
    gendered: float
    cap: int
    lowercase: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained, with AdamW and a linear warm-up of the learning rate.

    Args:
        name: name of the recipe.
        part: the trained part: the layers after the token sum of ``builtin`` (head), every weight
            (all), or low-rank adapters that are merged into the weights at the end (adapter; LoRA,
            Hu et al. 2021).
        loss: ``mnrl`` (sentence-transformers' Multiple Negatives Ranking Loss, one direction) or
            ``aligned`` (:class:`jobsearch.models.training.loss.AlignedLoss`).
        mix: the kinds of pairs.
        epochs: number of epochs; each draws every title once, up to the cap of ``mix``.
        batch_size: number of pairs in a batch; the titles of other pairs are the negatives.
        mini_batch_size: number of titles that pass through the network at once; changes memory, not
            the result. The ``aligned`` loss only.
        learning_rate: maximum learning rate.
        schedule: decay of the learning rate after the warm-up.
        warmup: share of the steps in the warm-up.
        weight_decay, adam_epsilon: parameters of AdamW.
        scale: inverse temperature of the cosines.
        graded: weight of a title in the same ISCO-08 unit group; the ``aligned`` loss only.
        dropout: dropout rate of the 1,280 features of the token sum; ``head`` only.
        gradient_checkpointing: compute activations twice instead of storing them: less memory, the
            same result; transformers only.
        keep: keep the weights of the last epoch, or of the epoch with the lowest training loss.
        anchors: whether concept anchors may be added to the model.
        held_out: share of the concepts that are held out from training, to test on.
        seed: random seed of the held-out concepts, the pairs and the optimiser.
    """

    name: str
    part: TrainedPart
    loss: Literal["mnrl", "aligned"]
    mix: PairMix
    epochs: int
    batch_size: int
    mini_batch_size: int
    learning_rate: float
    schedule: Literal["linear", "cosine"]
    warmup: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    scale: float = 20.0
    graded: float = 0.0
    dropout: float = 0.0
    gradient_checkpointing: bool = False
    keep: Literal["last", "best-loss"] = "last"
    anchors: bool = False
    held_out: float = 0.1
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


_PAPER = Recipe(
    name="paper",
    part="all",
    loss="mnrl",
    mix=PairMix(monolingual=1.0, crosslingual=0.0, gendered=0.0, cap=1000, lowercase=0.0),
    epochs=5,
    batch_size=32,
    mini_batch_size=32,
    learning_rate=1e-6,
    schedule="linear",
    adam_epsilon=2e-5,
    keep="best-loss",
)
_ALIGNED = Recipe(
    name="aligned",
    part="all",
    loss="aligned",
    mix=PairMix(monolingual=0.4, crosslingual=0.45, gendered=0.15, cap=20, lowercase=0.5),
    epochs=1,
    batch_size=1024,
    mini_batch_size=64,
    learning_rate=3e-5,
    schedule="cosine",
    graded=0.02,
    anchors=True,
)


def recipe(name: str, part: TrainedPart, **changes: Any) -> Recipe:
    """The recipe of a name for a trained part, with some fields changed.

    Args:
        name: ``aligned`` or ``paper``.
        part: head, all or adapter.
        changes: values for fields of :class:`Recipe`; None keeps the value of the recipe.

    Raises:
        InvalidInput: there is no such recipe.
    """
    if name not in RECIPES:
        raise InvalidInput(f"no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    chosen = replace(_PAPER if name == "paper" else _ALIGNED, part=part)
    if name == "aligned" and part == "head":
        # Only the head runs, on stored features: large batches fit in memory and epochs are cheap.
        chosen = replace(
            chosen, epochs=8, learning_rate=1e-3, dropout=0.2, mini_batch_size=chosen.batch_size
        )
    elif name == "aligned" and part == "adapter":
        chosen = replace(chosen, learning_rate=2e-4)
    return replace(
        chosen, **{field: value for field, value in changes.items() if value is not None}
    )


def draw_epoch(titles: TrainingTitles, mix: PairMix, random: np.random.Generator) -> Indices:
    """Draw the pairs of one epoch, in random order.

    Each title within the cap is drawn once and paired with a partner of its concept.

    Returns:
        (p, 2) int64, rows of ``titles``: two distinct titles of one concept.
    """
    rows = _capped(titles, mix.cap, random)
    monolingual = _partner_in_language(titles, rows, random)
    crosslingual = _partner_in_another_language(titles, rows, random)
    other_gender = np.full(len(titles), -1)
    first, second = titles.gendered.T
    other_gender[first], other_gender[second] = second, first
    partners = np.stack([monolingual, crosslingual, other_gender[rows]], axis=1)
    # Kinds without a partner, or with a share of 0, have no chance.
    chances = np.array([mix.monolingual, mix.crosslingual, mix.gendered]) * (partners >= 0)
    total = chances.sum(axis=1)
    usable = total > 0
    limits = np.cumsum(chances[usable], axis=1)
    kind = (random.random((len(limits), 1)) * total[usable, None] >= limits).sum(axis=1)
    pairs = np.stack([rows[usable], partners[usable, kind]], axis=1)
    swapped = random.random(len(pairs)) < 0.5
    pairs[swapped] = pairs[swapped, ::-1]
    return pairs[random.permutation(len(pairs))]


def _capped(titles: TrainingTitles, cap: int, random: np.random.Generator) -> Indices:
    """Rows of at most ``cap`` random titles of each concept and language."""
    order = random.permutation(len(titles))
    cell = _cells(titles)
    order = order[np.argsort(cell[order], kind="stable")]
    return order[_rank_in_run(cell[order]) < cap]


def _cells(titles: TrainingTitles) -> Indices:
    """(n,) number of each title's concept and language; the titles are sorted by it."""
    return titles.concept_of * len(titles.languages) + titles.language_of


def _rank_in_run(values: Indices) -> Indices:
    """Place of each value in its run of equal values, from 0."""
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    sizes = np.diff(np.r_[starts, len(values)])
    return np.arange(len(values)) - np.repeat(starts, sizes)


def _partner_in_language(
    titles: TrainingTitles, rows: Indices, random: np.random.Generator
) -> Indices:
    """A random other title of the same concept and language for each row; -1 if there is none."""
    cell = _cells(titles)
    first = np.searchsorted(cell, cell[rows], "left")
    last = np.searchsorted(cell, cell[rows], "right")
    others = last - first - 1
    step = (random.random(len(rows)) * others).astype(np.int64)
    partner = first + step + (first + step >= rows)
    return np.where(others > 0, partner, -1)


def _partner_in_another_language(
    titles: TrainingTitles, rows: Indices, random: np.random.Generator
) -> Indices:
    """A random title of the same concept in a random other language; -1 if there is none."""
    cell, languages = _cells(titles), len(titles.languages)
    has_titles = np.zeros((len(titles.concepts), languages), dtype=bool)
    has_titles[titles.concept_of, titles.language_of] = True
    eligible = has_titles[titles.concept_of[rows]]
    eligible[np.arange(len(rows)), titles.language_of[rows]] = False
    language = np.where(eligible, random.random(eligible.shape), -1.0).argmax(axis=1)
    chosen = titles.concept_of[rows] * languages + language
    first, last = np.searchsorted(cell, chosen, "left"), np.searchsorted(cell, chosen, "right")
    step = (random.random(len(rows)) * (last - first)).astype(np.int64)
    return np.where(eligible.any(axis=1), first + step, -1)
