"""Detects figures that cannot be right."""

from collections.abc import Sequence
from itertools import combinations

from eval.results import Cell
from eval.systems import BASELINES

#: The MAP of a model must be at least this many times the expected MAP of a random ranking.
TIMES_CHANCE = 5.0
# If a random ranking reaches this MAP, the corpus is too small for the test.
_MAX_RANDOM_MAP = 0.1


def implausible(cells: Sequence[Cell]) -> list[str]:
    """Describe figures that cannot be right.

    A model hardly better than chance was probably measured on the wrong corpus, for example one in
    another language. Two systems with the same rankings are probably one system, measured twice.

    Returns:
        One sentence or two per problem; empty if there are none.
    """
    models = [
        cell
        for cell in cells
        if cell.model not in BASELINES and cell.facts and cell.facts.random_map < _MAX_RANDOM_MAP
    ]
    problems = [
        f"{_name(cell)}: MAP is {cell.metrics['MAP']:.3f}, and a random ranking reaches "
        f"{cell.facts.random_map:.3f}. Is the corpus in the right language?"
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
            problems.append(
                f"{_name(first)}: {second.system} has the same rankings for all queries. "
                "Do both have the same weights?"
            )
    return problems


def _name(cell: Cell) -> str:
    return f"{cell.system} on {cell.benchmark} {cell.split} {cell.pair}"
