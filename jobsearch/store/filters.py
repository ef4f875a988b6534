"""Filters in the engines' own terms."""

from typing import Any

from jobsearch.types import Filters


def engine_filter(filters: Filters | None, models: Any) -> Any | None:
    """Build a ``Filter`` of ``models``: ``qdrant_client.models`` or ``qdrant_edge``.

    Both name their classes alike. Values are passed as data, so nothing in them is syntax.
    """
    clauses = filters.clauses() if filters else ()
    if not clauses:
        return None
    return models.Filter(
        must=[
            models.Filter(
                should=[
                    models.FieldCondition(key=name, match=models.MatchAny(any=list(values)))
                    for name, values in clause
                ]
            )
            for clause in clauses
        ]
    )
