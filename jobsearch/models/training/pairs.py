"""Draws pairs of titles of one concept."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from jobsearch.errors import InvalidInput
from jobsearch.models.training.titles import Indices, TrainingTitles

TrainedPart = Literal["head", "all", "adapter"]
RECIPES = ("aligned", "paper")


@dataclass(frozen=True, slots=True)
class PairMix:
    """What sort of pairs a model learns from.

    Args:
        monolingual, crosslingual, gendered: shares of the pairs: two titles of a concept in one
            language, in two languages, and the masculine and feminine title of one slash form. A
            concept that lacks one sort gives another instead, so the shares are aims.
        cap: titles a concept gives in one language and epoch at most; others have their turn in
            other epochs. Without it English, with twice the labels, drowns the rest.
        lowercase: share of titles that are lower-cased. (Titles in capitals need no share of their
            own: normalisation lower-cases them.)
    """

    monolingual: float
    crosslingual: float
    gendered: float
    cap: int
    lowercase: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained. Optimiser: AdamW, linear warm-up.

    Args:
        name: of the recipe.
        part: what is trained: what follows the token sum of ``builtin`` (head), every weight, or
            low-rank adapters that are merged into the weights at the end (LoRA, Hu et al. 2021).
        loss: ``mnrl`` (sentence-transformers' Multiple Negatives Ranking Loss, one direction) or
            ``aligned`` (:class:`jobsearch.models.training.loss.AlignedLoss`).
        mix: what pairs are drawn.
        epochs: times that every title is drawn.
        batch_size: pairs that are told apart at once.
        mini_batch_size: titles that pass the network at once; changes memory, not the outcome.
        learning_rate: its highest value.
        schedule: how it falls after the warm-up.
        warmup: share of the steps.
        weight_decay, adam_epsilon: of AdamW.
        scale: inverse temperature of the cosines.
        graded: weight of a title in the same ISCO-08 unit group; ``aligned`` only.
        dropout: share of the token sum's 1,280 features that are dropped; ``head`` only.
        gradient_checkpointing: compute activations a second time instead of keeping them: less
            memory, the same outcome; transformers only.
        keep: the weights at the end, or those of the epoch with the lowest training loss.
        anchors: whether concept anchors may close the model.
        held_out: share of the concepts that are kept out of training, to test on.
        seed: of the held-out concepts, the pairs and the optimiser.
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
    """A named recipe for what is trained, with some of its values changed.

    Args:
        name: ``aligned`` or ``paper``.
        part: head, all or adapter.
        changes: fields of :class:`Recipe` by name; None leaves a value as it is.

    Raises:
        InvalidInput: there is no such recipe.
    """
    if name not in RECIPES:
        raise InvalidInput(f"no recipe {name!r}: there are {', '.join(RECIPES)}")
    chosen = replace(_PAPER if name == "paper" else _ALIGNED, part=part)
    if name == "aligned" and part == "head":
        # No network below the head runs, so a batch passes at once and small steps cost nothing.
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

    Every title that the cap lets through is drawn once, with one partner.

    Returns:
        (p, 2) int64, rows of ``titles``: two distinct titles of one concept.
    """
    rows = _capped(titles, mix.cap, random)
    mono = _partner_in_language(titles, rows, random)
    cross = _partner_in_another_language(titles, rows, random)
    form = np.full(len(titles), -1)
    form[titles.gendered[:, 0]], form[titles.gendered[:, 1]] = titles.gendered[:, ::-1].T
    partners = np.stack([mono, cross, form[rows]], axis=1)
    # A share of 0 excludes a sort even where there is no other.
    chances = np.array([mix.monolingual, mix.crosslingual, mix.gendered]) * (partners >= 0)
    total = chances.sum(axis=1)
    usable = total > 0
    limits = np.cumsum(chances[usable], axis=1)
    sort = (random.random((len(limits), 1)) * total[usable, None] >= limits).sum(axis=1)
    pairs = np.stack([rows[usable], partners[usable, sort]], axis=1)
    swapped = random.random(len(pairs)) < 0.5
    pairs[swapped] = pairs[swapped, ::-1]
    return pairs[random.permutation(len(pairs))]


def lowercased(rows: int, share: float, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(rows,) bool, which titles are lower-cased."""
    return random.random(rows) < share


def _capped(titles: TrainingTitles, cap: int, random: np.random.Generator) -> Indices:
    order = random.permutation(len(titles))
    cell = _cells(titles)
    order = order[np.argsort(cell[order], kind="stable")]
    return order[_rank_in_run(cell[order]) < cap]


def _cells(titles: TrainingTitles) -> Indices:
    """(n,) one number for each concept and language; titles are sorted by it."""
    return titles.concept_of * len(titles.languages) + titles.language_of


def _rank_in_run(values: Indices) -> Indices:
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    sizes = np.diff(np.r_[starts, len(values)])
    return np.arange(len(values)) - np.repeat(starts, sizes)


def _partner_in_language(
    titles: TrainingTitles, rows: Indices, random: np.random.Generator
) -> Indices:
    cell = _cells(titles)
    first, last = (
        np.searchsorted(cell, cell[rows], "left"),
        np.searchsorted(cell, cell[rows], "right"),
    )
    others = last - first - 1
    step = (random.random(len(rows)) * others).astype(np.int64)
    partner = first + step + (first + step >= rows)
    return np.where(others > 0, partner, -1)


def _partner_in_another_language(
    titles: TrainingTitles, rows: Indices, random: np.random.Generator
) -> Indices:
    """A random title in a random language among the others that the concept has."""
    cell, width = _cells(titles), len(titles.languages)
    has = np.zeros((len(titles.concepts), width), dtype=bool)
    has[titles.concept_of, titles.language_of] = True
    choice = has[titles.concept_of[rows]]
    choice[np.arange(len(rows)), titles.language_of[rows]] = False
    language = np.where(choice, random.random(choice.shape), -1.0).argmax(axis=1)
    wanted = titles.concept_of[rows] * width + language
    first, last = np.searchsorted(cell, wanted, "left"), np.searchsorted(cell, wanted, "right")
    step = (random.random(len(rows)) * (last - first)).astype(np.int64)
    return np.where(choice.any(axis=1), first + step, -1)
