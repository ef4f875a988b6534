"""Filters in the engines' own terms."""

from typing import Any

from jobsearch.types import Clause, Filters


def engine_filter(filters: Filters | None, models: Any) -> Any | None:
    """Build a ``Filter`` of ``models``: ``qdrant_client.models`` or ``qdrant_edge``.

    Both name their classes alike. Values are passed as data, so nothing in them is syntax.
    """
    clauses = filters.clauses() if filters else ()
    return models.Filter(must=[_any_of(clause, models) for clause in clauses]) if clauses else None


def _any_of(clause: Clause, models: Any) -> Any:
    # The plainest form that says it: the engine takes up to twice as long for a nested filter of
    # one condition, and a third longer for a choice among one value.
    conditions = [
        models.FieldCondition(
            key=name,
            match=(
                models.MatchValue(value=values[0])
                if len(values) == 1
                else models.MatchAny(any=list(values))
            ),
        )
        for name, values in clause
    ]
    return conditions[0] if len(conditions) == 1 else models.Filter(should=conditions)
