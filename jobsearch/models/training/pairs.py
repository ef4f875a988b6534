"""Draws pairs of titles of one concept."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobsearch.models.training.titles import Indices, TrainingTitles


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
