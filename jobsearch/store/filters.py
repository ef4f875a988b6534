"""Filters in the engines' own terms."""

from typing import Any

from jobsearch.errors import InvalidInput
from jobsearch.types import Clause, Filters


def engine_filter(filters: Filters | None, models: Any) -> Any | None:
    """Build a ``Filter`` of ``models``: ``qdrant_client.models`` or ``qdrant_edge``.

    Both name their classes alike. Values are passed as data, so nothing in them is syntax.
    """
    clauses = filters.clauses() if filters else ()
    return (
        models.Filter(must=[_condition(clause, models) for clause in clauses]) if clauses else None
    )


def _condition(clause: Clause, models: Any) -> Any:
    name, values = clause
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"the {name} {value!r} is not valid Unicode: correct it") from error
    # The engine takes a third longer for a choice among one value.
    if len(values) == 1:
        match = models.MatchValue(value=values[0])
    else:
        match = models.MatchAny(any=list(values))
    return models.FieldCondition(key=name, match=match)
