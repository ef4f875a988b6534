"""Figures that cannot be right, found before anybody believes them."""

from collections.abc import Sequence
from itertools import combinations

from eval.results import Cell
from eval.systems import BASELINES

#: A model must rank at least this many times as well as chance.
TIMES_CHANCE = 5.0
# Where chance does this well the corpus is too small to tell.
_TELLING = 0.1


def implausible(cells: Sequence[Cell]) -> list[str]:
    """What is wrong with the figures, a sentence each; empty if nothing is.

    A model that ranks hardly better than chance was asked about a corpus that is not what it is
    taken for: one embedded in another language, say. Two systems with the same rankings are one
    system that was measured twice.
    """
    models = [
        cell
        for cell in cells
        if cell.model not in BASELINES and cell.facts and cell.facts.random_map < _TELLING
    ]
    found = [
        f"{_name(cell)}: MAP is {cell.metrics['MAP']:.3f}, and a random ranking can expect "
        f"{cell.facts.random_map:.3f}. Is the corpus in the language it should be in?"
        for cell in models
        if cell.facts and cell.metrics["MAP"] < TIMES_CHANCE * cell.facts.random_map
    ]
    for first, second in combinations(models, 2):
        same_set = (first.benchmark, first.split, first.pair) == (
            second.benchmark,
            second.split,
            second.pair,
        )
        if (
            same_set
            and first.system != second.system
            and (first.ranking_sha256 == second.ranking_sha256)
        ):
            found.append(
                f"{_name(first)}: {second.system} ranks every query alike. "
                "Are they the same weights?"
            )
    return found


def _name(cell: Cell) -> str:
    return f"{cell.system} on {cell.benchmark} {cell.split} {cell.pair}"
