"""One query against the collections of one or several languages."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from jobsearch.errors import CollectionNotFound, InvalidInput, VariantNotFound
from jobsearch.models.encoder import QueryEncoder
from jobsearch.settings import VariantChoice
from jobsearch.store.metadata import JOBS, alias_name, check_collection
from jobsearch.store.protocol import ScoredPoint, Store
from jobsearch.text import check_query
from jobsearch.timing import timed
from jobsearch.types import VARIANTS, Filters, Hit, Variant
from jobsearch.vectors import Vectors


def choose_variant(
    choice: VariantChoice,
    query_language: str | None,
    target_language: str,
    available: Collection[Variant],
) -> Variant:
    """Choose a variant for one pair of languages.

    ``auto`` takes the fine-tuned one where there is one. ``paper`` does as DS@GT at TalentCLEF 2025
    did: fine-tuned within a language, pretrained across languages. A variant by name is taken as it
    is.

    Args:
        choice: a variant or a policy.
        query_language: ISO 639-1 code, None if unknown.
        target_language: ISO 639-1 code of the collection.
        available: variants that the collection's language has been ingested with.

    Raises:
        InvalidInput: ``paper`` was asked for without the language of the query.
        VariantNotFound: the chosen variant is not available.
    """
    wanted: Variant
    if choice == "paper":
        if query_language is None:
            raise InvalidInput(
                "the policy 'paper' needs the language of the query: add --from LANG"
            )
        wanted = "finetuned" if query_language == target_language else "pretrained"
    elif choice == "auto":
        wanted = "finetuned" if "finetuned" in available else "pretrained"
    else:
        wanted = choice
    if wanted not in available:
        raise VariantNotFound(
            f"there is no {wanted} collection for {target_language!r}, only "
            f"{', '.join(sorted(available))}: leave out --variant, or ingest with "
            f"--variant {wanted}"
        )
    return wanted


MAX_TOP = 1000
#: Titles fetched for each concept asked for, to begin with; doubled until there are enough.
_TITLES_PER_CONCEPT = 8


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What was asked and what was found, best first."""

    query: str
    normalized: str
    hits: tuple[Hit, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        hits = [hit.as_dict() for hit in self.hits]
        return {"query": self.query, "normalized": self.normalized, "hits": hits}


class SearchEngine:
    """Answers queries from a store with the variants of one model.

    Args:
        store: where the titles are.
        model: the model's name, as in the names of collections.
        load: loads the encoder of a variant; each is loaded once, when first needed.
    """

    def __init__(self, store: Store, model: str, load: Callable[[Variant], QueryEncoder]) -> None:
        self._store = store
        self._model = model
        self._load = load
        self._encoders: dict[Variant, QueryEncoder] = {}

    def languages(self) -> dict[str, tuple[Variant, ...]]:
        """Languages that the store holds for this model, with their variants."""
        aliases = self._store.aliases()
        codes = sorted({alias.split("__")[1] for alias in aliases if alias.startswith(f"{JOBS}__")})
        found = {
            code: tuple(v for v in VARIANTS if alias_name(JOBS, code, self._model, v) in aliases)
            for code in codes
        }
        return {code: variants for code, variants in found.items() if variants}

    def search(
        self,
        query: str,
        *,
        to: Sequence[str],
        query_language: str | None = None,
        top: int = 10,
        filters: Filters | None = None,
        variant: VariantChoice = "auto",
        group_by_concept: bool = False,
        exact: bool = False,
        min_score: float | None = None,
    ) -> SearchResult:
        """Find the titles nearest to ``query``.

        Args:
            query: a job title in any language that the model knows.
            to: languages to search in.
            query_language: its language, for policies that depend on it.
            top: number of hits, 1 to 1000.
            filters: conditions on the titles.
            variant: a variant or a policy (:func:`jobsearch.search.engine.choose_variant`).
            group_by_concept: one hit a concept, its best title; the others are listed in it.
            exact: compare with every title that passes the filters.
            min_score: lowest cosine of a hit, in [-1, 1].

        Returns:
            Hits by descending cosine, ties by id. Where the policy sends the languages to different
            variants, whose cosines cannot be compared, hits are ordered by their rank within their
            language instead.

        Raises:
            InvalidInput: the query, ``top`` or ``min_score`` cannot be used.
            CollectionNotFound: a language has no collection.
            VariantNotFound: the variant asked for has no collection.
            CollectionMismatch: a collection was made by another encoder or in another language.
        """
        normalized = check_query(query)
        if not 1 <= top <= MAX_TOP:
            raise InvalidInput(f"top is {top}: give 1 to {MAX_TOP}")
        if min_score is not None and not -1.0 <= min_score <= 1.0:
            raise InvalidInput(f"the lowest score is {min_score}: cosines lie in -1 to 1")
        routes = self._routes(tuple(dict.fromkeys(to)), query_language, variant)
        vectors: dict[Variant, Vectors] = {}
        found: list[list[Hit]] = []
        for language, chosen in routes.items():
            encoder = self._encoder(chosen)
            info = self._store.describe(alias_name(JOBS, language, self._model, chosen))
            check_collection(info.name, info.metadata, language=language, encoder=encoder.info)
            if chosen not in vectors:
                with timed("embed the query", variant=chosen):
                    vectors[chosen] = encoder.encode_queries([normalized])

            def fetch(
                limit: int, name: str = info.name, vector: Vectors = vectors[chosen]
            ) -> list[ScoredPoint]:
                with timed("query the store", collection=name, limit=limit):
                    [points] = self._store.query(
                        name,
                        vector,
                        limit=limit,
                        filters=filters,
                        exact=exact,
                        score_threshold=min_score,
                    )
                return points

            points = _grouped(fetch, top) if group_by_concept else [(p, ()) for p in fetch(top)]
            found.append([_hit(p, others, info.name, chosen) for p, others in points])
        comparable = len(set(routes.values())) == 1
        return SearchResult(query, normalized, tuple(_fuse(found, comparable)[:top]))

    def _routes(
        self, to: Sequence[str], query_language: str | None, variant: VariantChoice
    ) -> dict[str, Variant]:
        if not to:
            raise InvalidInput("no language to search in: add --to LANG")
        there = self.languages()
        missing = [language for language in to if language not in there]
        if missing:
            has = f"it has {', '.join(there)}" if there else "it is empty"
            raise CollectionNotFound(
                f"the store {self._store.location} has no titles in {', '.join(missing)} for model "
                f"{self._model}; {has}: ingest some, for example with `jobsearch ingest sample`"
            )
        return {
            language: choose_variant(variant, query_language, language, there[language])
            for language in to
        }

    def _encoder(self, variant: Variant) -> QueryEncoder:
        if variant not in self._encoders:
            self._encoders[variant] = self._load(variant)
        return self._encoders[variant]


def _grouped(
    fetch: Callable[[int], list[ScoredPoint]], top: int
) -> list[tuple[ScoredPoint, tuple[str, ...]]]:
    """The best title of each of ``top`` concepts; titles without a concept stand for themselves."""
    limit = top * _TITLES_PER_CONCEPT
    while True:
        points = fetch(limit)
        groups: dict[str, list[ScoredPoint]] = {}
        for point in points:
            groups.setdefault(point.payload.get("concept_id", point.id), []).append(point)
        if len(groups) >= top or len(points) < limit:
            best = list(groups.values())[:top]
            return [(group[0], tuple(p.payload["title"] for p in group[1:])) for group in best]
        limit *= 2


def _hit(point: ScoredPoint, others: tuple[str, ...], collection: str, variant: Variant) -> Hit:
    payload = point.payload
    return Hit(
        title=payload["title"],
        score=point.score,
        language=payload["language"],
        concept_id=payload.get("concept_id"),
        isco=payload.get("isco"),
        kind=payload["kind"],
        source=payload["source"],
        collection=collection,
        variant=variant,
        point_id=point.id,
        doc_id=payload.get("doc_id"),
        others=others,
    )


def _fuse(found: list[list[Hit]], comparable: bool) -> list[Hit]:
    if comparable:
        return sorted((h for hits in found for h in hits), key=lambda h: (-h.score, h.point_id))
    ranked = [
        (rank, place, hit) for place, hits in enumerate(found) for rank, hit in enumerate(hits)
    ]
    return [hit for _, _, hit in sorted(ranked, key=lambda entry: entry[:2])]
