"""Searches: queries against the collections of one or several languages."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jobsearch.errors import CollectionNotFound, InvalidInput, StoreDamaged, VariantNotFound
from jobsearch.languages import check_language
from jobsearch.models.encoder import QueryEncoder
from jobsearch.search.full_ranking import best, exact_scores, read_points
from jobsearch.settings import VariantChoice
from jobsearch.store.metadata import JOBS, alias_name, check_collection
from jobsearch.store.protocol import PointBatch, ScoredPoint, Store
from jobsearch.store.ranking import check_payload
from jobsearch.text import check_query
from jobsearch.timing import timed
from jobsearch.types import VARIANTS, Filters, Hit, Variant, as_values
from jobsearch.vectors import Vectors

MAX_TOP = 1000
#: Titles fetched at first for each requested concept; doubled until there are enough concepts.
_TITLES_PER_CONCEPT = 8

#: Returns up to so many of the nearest points, best first.
_Fetch = Callable[[int], list[ScoredPoint]]


def choose_variant(
    choice: VariantChoice,
    query_language: str | None,
    target_language: str,
    available: Collection[Variant],
) -> Variant:
    """Choose the variant of the model for one pair of languages.

    ``auto`` takes the fine-tuned variant if there is one. ``paper`` does as DS@GT at TalentCLEF
    2025: fine-tuned within a language, pretrained across languages.

    Args:
        choice: a variant or a policy.
        query_language: ISO 639-1 code, None if unknown.
        target_language: ISO 639-1 code of the collection.
        available: variants that the titles of this language were ingested with.

    Raises:
        InvalidInput: ``paper`` was chosen without the language of the query.
        VariantNotFound: the chosen variant is not available.
    """
    wanted: Variant
    if choice == "paper":
        if query_language is None:
            raise InvalidInput(
                "the policy 'paper' needs the language of the query: give `query_language`"
            )
        wanted = "finetuned" if query_language == target_language else "pretrained"
    elif choice == "auto":
        wanted = "finetuned" if "finetuned" in available else "pretrained"
    else:
        wanted = choice
    if wanted not in available:
        raise VariantNotFound(
            f"there is no {wanted} collection for {target_language!r}, only "
            f"{', '.join(sorted(available))}: leave out `variant`, or ingest the titles with "
            f'`variant="{wanted}"`'
        )
    return wanted


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A query and its hits, best first. Iterating over it gives the hits."""

    query: str
    normalized: str
    hits: tuple[Hit, ...]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        hits = [hit.as_dict() for hit in self.hits]
        return {"query": self.query, "normalized": self.normalized, "hits": hits}


@dataclass(frozen=True, slots=True)
class _Request:
    """The options of a search that hold for all of its queries, checked."""

    top: int
    filters: Filters | None
    group_by_concept: bool
    min_score: float | None
    routes: dict[str, Variant]


@dataclass(frozen=True, slots=True)
class _Target:
    """One collection to search in."""

    collection: str
    language: str
    variant: Variant
    encoder: QueryEncoder


class SearchEngine:
    """Answers queries from a store with the variants of one model. Safe to use in threads.

    Args:
        store: holds the titles.
        model: the model's name, as in the names of collections.
        load: loads the encoder of a variant; each is loaded once, when first needed.
    """

    def __init__(self, store: Store, model: str, load: Callable[[Variant], QueryEncoder]) -> None:
        self._store = store
        self._model = model
        self._load = load
        self._loading = threading.Lock()
        self._encoders: dict[Variant, QueryEncoder] = {}

    def languages(self) -> dict[str, tuple[Variant, ...]]:
        """The languages that the store holds for this model, with their variants."""
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
        to: str | Sequence[str] | None = None,
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
            to: language or languages to search in; all languages of the store if None.
            query_language: language of the query, for policies that depend on it.
            top: number of hits, 1 to 1000.
            filters: conditions on the titles.
            variant: a variant or a policy (:func:`choose_variant`).
            group_by_concept: one hit per concept and language, its best title, with the other
                titles listed in it.
            exact: compare with every title that passes the filters, without the index.
            min_score: lowest cosine of a hit, in [-1, 1].

        Returns:
            Hits by descending cosine, ties by id. If the policy chooses different variants for
            the languages, whose cosines cannot be compared, hits are ordered by their rank within
            their language instead.

        Raises:
            InvalidInput: an argument cannot be used.
            CollectionNotFound: a language has no collection.
            VariantNotFound: the chosen variant has no collection.
            CollectionMismatch: a collection was made by another encoder or in another language.
            StoreDamaged: a hit is in another language than its collection.
        """
        normalized = check_query(query)
        request = self._request(to, query_language, top, filters, variant, group_by_concept,
                                min_score)  # fmt: skip
        vectors: dict[Variant, Vectors] = {}
        hits: list[list[Hit]] = []
        for target in self._targets(request):
            if target.variant not in vectors:
                with timed("embed the query", variant=target.variant):
                    vectors[target.variant] = target.encoder.encode_queries([normalized])
            fetch = self._engine_fetch(target, vectors[target.variant], request, exact=exact)
            hits.append(_hits(fetch, target, request))
        return SearchResult(query, normalized, _merged(hits, request))

    def search_many(
        self,
        queries: Sequence[str],
        *,
        to: str | Sequence[str] | None = None,
        query_language: str | None = None,
        top: int = 10,
        filters: Filters | None = None,
        variant: VariantChoice = "auto",
        group_by_concept: bool = False,
        min_score: float | None = None,
    ) -> list[SearchResult]:
        """Answer many queries at once, in their order: the hits of :meth:`search`, faster.

        Each distinct query is embedded once, and each collection is read once and compared in
        blocks of queries, always exactly. So memory must hold the vectors of the largest
        collection, and for a few queries against a large collection :meth:`search` is faster.

        Args:
            queries: job titles; they may repeat.
            to: see :meth:`search`, as for all arguments below.
            query_language: language of all queries.
            top: number of hits for each query.
            filters: conditions on the titles.
            variant: a variant or a policy.
            group_by_concept: one hit per concept and language.
            min_score: lowest cosine of a hit.

        Raises:
            InvalidInput, CollectionNotFound, VariantNotFound, CollectionMismatch: see
                :meth:`search`; the message names the first query that cannot be used.
        """
        if isinstance(queries, str):
            raise InvalidInput(f"`queries` is the single text {queries!r}: give a list of titles")
        normalized = [_check_numbered(number, query) for number, query in enumerate(queries)]
        request = self._request(to, query_language, top, filters, variant, group_by_concept,
                                min_score)  # fmt: skip
        distinct = list(dict.fromkeys(normalized))
        found: list[list[list[Hit]]] = [[] for _ in distinct]
        vectors: dict[Variant, Vectors] = {}
        for target in self._targets(request) if distinct else ():
            if target.variant not in vectors:
                with timed("embed the queries", variant=target.variant):
                    vectors[target.variant] = target.encoder.encode_queries(distinct)
            with timed("read the collection", collection=target.collection):
                points = read_points(self._store, [target.collection], filters)
            with timed("rank", collection=target.collection):
                scores = exact_scores(points, vectors[target.variant])
                for place, row in enumerate(scores):
                    fetch = _matrix_fetch(points, row, min_score)
                    found[place].append(_hits(fetch, target, request))
        merged = {text: _merged(hits, request) for text, hits in zip(distinct, found, strict=True)}
        return [
            SearchResult(query, text, merged[text])
            for query, text in zip(queries, normalized, strict=True)
        ]

    def _request(
        self,
        to: str | Sequence[str] | None,
        query_language: str | None,
        top: int,
        filters: Filters | None,
        variant: VariantChoice,
        group_by_concept: bool,
        min_score: float | None,
    ) -> _Request:
        if not 1 <= top <= MAX_TOP:
            raise InvalidInput(f"`top` is {top}: give 1 to {MAX_TOP}")
        if min_score is not None and not -1.0 <= min_score <= 1.0:
            raise InvalidInput(f"`min_score` is {min_score}: give a cosine in -1 to 1")
        stored = self.languages()
        wanted = tuple(stored) if to is None else tuple(map(check_language, as_values(to, "to")))
        if to is not None and not wanted:
            raise InvalidInput("no language to search in: give `to` at least one language")
        missing = [language for language in wanted if language not in stored]
        if missing or not stored:
            content = f"it has {', '.join(stored)}" if stored else "it is empty"
            what = f"in {', '.join(missing)} " if missing else ""
            raise CollectionNotFound(
                f"the store {self._store.location} has no titles {what}for model "
                f"{self._model}; {content}: ingest some, for example with "
                "`jobsearch ingest sample`"
            )
        source = check_language(query_language) if query_language is not None else None
        routes = {
            language: choose_variant(variant, source, language, stored[language])
            for language in wanted
        }
        return _Request(top, filters, group_by_concept, min_score, routes)

    def _targets(self, request: _Request) -> Iterator[_Target]:
        """The collections to search in, each compared with its encoder (the guard)."""
        for language, variant in request.routes.items():
            encoder = self._encoder(variant)
            info = self._store.describe(alias_name(JOBS, language, self._model, variant))
            check_collection(info.name, info.metadata, language=language, encoder=encoder.info)
            yield _Target(info.name, language, variant, encoder)

    def _engine_fetch(
        self, target: _Target, vector: Vectors, request: _Request, *, exact: bool
    ) -> _Fetch:
        def fetch(limit: int) -> list[ScoredPoint]:
            with timed("query the store", collection=target.collection, limit=limit):
                [points] = self._store.query(
                    target.collection,
                    vector,
                    limit=limit,
                    filters=request.filters,
                    exact=exact,
                    score_threshold=request.min_score,
                )
            return points

        return fetch

    def _encoder(self, variant: Variant) -> QueryEncoder:
        with self._loading:
            if variant not in self._encoders:
                self._encoders[variant] = self._load(variant)
            return self._encoders[variant]


def _check_numbered(number: int, query: str) -> str:
    try:
        return check_query(query)
    except InvalidInput as error:
        raise InvalidInput(f"query {number}: {error}") from error


def _matrix_fetch(points: PointBatch, scores: Vectors, min_score: float | None) -> _Fetch:
    def fetch(limit: int) -> list[ScoredPoint]:
        ranking = best(scores, limit)
        return [
            ScoredPoint(points.ids[place], score, points.payloads[place])
            for place, score in zip(ranking.places.tolist(), ranking.scores.tolist(), strict=True)
            if min_score is None or score >= min_score
        ]

    return fetch


def _hits(fetch: _Fetch, target: _Target, request: _Request) -> list[Hit]:
    if not request.group_by_concept:
        return [_hit(point, (), target) for point in fetch(request.top)]
    return [_hit(point, others, target) for point, others in _grouped(fetch, request.top)]


def _grouped(fetch: _Fetch, top: int) -> list[tuple[ScoredPoint, tuple[str, ...]]]:
    """The best title of each of ``top`` concepts; a title without a concept is its own group."""
    limit = top * _TITLES_PER_CONCEPT
    while True:
        points = fetch(limit)
        groups: dict[str, list[ScoredPoint]] = {}
        for point in points:
            groups.setdefault(point.payload.get("concept_id", point.id), []).append(point)
        if len(groups) >= top or len(points) < limit:
            first = list(groups.values())[:top]
            return [(group[0], tuple(p.payload["title"] for p in group[1:])) for group in first]
        limit *= 2


def _hit(point: ScoredPoint, others: tuple[str, ...], target: _Target) -> Hit:
    payload = point.payload
    check_payload(target.collection, point.id, payload)
    if payload["language"] != target.language:
        raise StoreDamaged(
            f"collection {target.collection} holds titles in {target.language}, and its point "
            f"{point.id} is in {payload['language'][:20]}: ingest the titles again"
        )
    return Hit(
        title=payload["title"],
        score=point.score,
        language=payload["language"],
        concept_id=payload.get("concept_id"),
        isco=payload.get("isco"),
        kind=payload["kind"],
        source=payload["source"],
        collection=target.collection,
        variant=target.variant,
        point_id=point.id,
        doc_id=payload.get("doc_id"),
        others=others,
    )


def _merged(found: list[list[Hit]], request: _Request) -> tuple[Hit, ...]:
    """The best hits over all languages."""
    if len(set(request.routes.values())) == 1:
        hits = sorted((h for hits in found for h in hits), key=lambda h: (-h.score, h.point_id))
        return tuple(hits[: request.top])
    ranked = [
        (rank, place, hit) for place, hits in enumerate(found) for rank, hit in enumerate(hits)
    ]
    ordered = sorted(ranked, key=lambda entry: entry[:2])
    return tuple(hit for _, _, hit in ordered[: request.top])
