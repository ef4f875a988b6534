"""Explains answers that could mislead: unknown filter values, no hits, order by rank."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from jobsearch.errors import StoreError
from jobsearch.store.metadata import JOBS, alias_name
from jobsearch.store.protocol import CollectionInfo, Store
from jobsearch.types import VARIANTS, Filters, Hit, Variant

# Concept ids that are looked up, each with a request per collection.
_MAX_LOOKUPS = 10
# Values that a note lists.
_MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class Searched:
    """The collections that a search has used.

    Args:
        store: holds the collections.
        model: the model's name, as in the names of collections.
        routes: language -> variant.
        infos: the collections, in the order of the languages.
        languages: all languages of the store for this model, with their variants.
    """

    store: Store
    model: str
    routes: Mapping[str, Variant]
    infos: Sequence[CollectionInfo]
    languages: Mapping[str, Collection[Variant]]

    def unknown_values(self, filters: Filters | None, hits: Sequence[Hit]) -> list[str]:
        """Report sources, splits and concepts of the filter that no searched title has.

        Args:
            filters: conditions of the search.
            hits: all hits, whose concepts need not be looked up.
        """
        if filters is None:
            return []
        shown = {hit.concept_id for hit in hits}
        unseen = [value for value in filters.concept_ids if value not in shown][:_MAX_LOOKUPS]
        asked = {"sources": filters.sources, "splits": filters.splits, "concept_ids": unseen}
        return [
            f"no searched title has {value!r} for `{name}` ({self._values(name)})"
            f"{self._elsewhere(name, value)}"
            for name, values in asked.items()
            for value in values
            if not any(self._has(info, name, value) for info in self.infos)
        ]

    def _has(self, info: CollectionInfo, name: str, value: str) -> bool:
        if name == "concept_ids":
            return self.store.count(info.name, Filters(concept_ids=value)) > 0
        return value in _held(info, name)

    def _values(self, name: str) -> str:
        """The values that the searched titles have, or an example of a concept id."""
        if name == "concept_ids":
            example = next(self._concept_ids(), None)
            return f"an id is for example {example}" if example else "the titles have no concepts"
        values = sorted({value for info in self.infos for value in _held(info, name)})
        listed = ", ".join(values[:_MAX_LISTED]) + (", …" if len(values) > _MAX_LISTED else "")
        return f"there is {listed}" if values else "the titles have none"

    def _concept_ids(self) -> Iterator[str]:
        """The concepts of a few titles of each collection."""
        for info in self.infos:
            for batch in self.store.scroll(info.name, batch_size=100):
                yield from (p["concept_id"] for p in batch.payloads if "concept_id" in p)
                break

    def _elsewhere(self, name: str, value: str) -> str:
        """Which collection of another variant or language has the value."""
        for language, variants in self.languages.items():
            for variant in VARIANTS:
                if variant not in variants or self.routes.get(language) == variant:
                    continue
                alias = alias_name(JOBS, language, self.model, variant)
                try:
                    if not self._has(self.store.describe(alias), name, value):
                        continue
                except StoreError:
                    # The collection cannot be read, which matters only if it is searched.
                    continue
                change = (
                    f'`variant="{variant}"`' if language in self.routes else f'`to="{language}"`'
                )
                return f"; {alias} has it: give {change} to search there"
        return ""


def _held(info: CollectionInfo, name: str) -> set[str]:
    """The names of the sources, or of the splits, of a collection."""
    values = {s.source if name == "sources" else s.split for s in info.metadata.sources if s.points}
    return values - {""}


def notes_on(
    hits: Sequence[Hit], unknown: Sequence[str], filters: Filters | None, min_score: float | None
) -> tuple[str, ...]:
    """The notes on one answer.

    Args:
        hits: of the answer.
        unknown: output of :meth:`Searched.unknown_values`.
        filters: conditions of the search.
        min_score: lowest cosine of a hit.
    """
    if not hits:
        return (f"nothing found: {'; '.join(unknown) or _remedy(filters, min_score)}",)
    variants = dict.fromkeys(hit.variant for hit in hits)
    if len(variants) > 1:
        order = (
            "the hits are ordered by their rank within their language, not by score: cosines of "
            f"{' and '.join(variants)} cannot be compared"
        )
        return (*unknown, order)
    return tuple(unknown)


def _remedy(filters: Filters | None, min_score: float | None) -> str:
    given = [each.name for each in fields(Filters) if filters and getattr(filters, each.name)]
    steps = [f"loosen {', '.join(f'`{name}`' for name in given)}"] if given else []
    if min_score is not None:
        steps.append("lower `min_score`")
    return " or ".join(steps) or "the searched collections are empty"
