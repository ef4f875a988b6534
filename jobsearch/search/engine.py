"""Searches: queries against the collections of one or several languages."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobsearch.errors import CollectionNotFound, InvalidInput, StoreDamaged
from jobsearch.languages import check_language
from jobsearch.models.encoder import QueryEncoder
from jobsearch.search.full_ranking import (
    exact_scores,
    matrix_fetch,
    places_by_concept,
    read_points,
)
from jobsearch.search.grouping import (
    Fetch,
    concept_of,
    has_concept,
    nearest_concepts,
    other_titles,
)
from jobsearch.search.notes import Searched, notes_on
from jobsearch.search.routing import choose_variant
from jobsearch.settings import VariantChoice
from jobsearch.store.metadata import JOBS, alias_name, check_collection
from jobsearch.store.protocol import CollectionInfo, ScoredPoint, Store
from jobsearch.store.ranking import check_payload
from jobsearch.text import check_query
from jobsearch.timing import timed
from jobsearch.types import VARIANTS, Filters, Hit, Variant, as_values
from jobsearch.vectors import Vectors

MAX_TOP = 1000

#: Id of a concept -> its titles beside the one of the hit.
_Others = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A query and its hits, best first. Iterating over it gives the hits."""

    query: str
    normalized: str
    hits: tuple[Hit, ...]
    #: Why nothing was found, filter values that no searched title has, and whether the hits are
    #: ordered by rank; one sentence each.
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        hits = [hit.as_dict() for hit in self.hits]
        return {
            "query": self.query,
            "normalized": self.normalized,
            "hits": hits,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Request:
    """The options of a search that hold for all of its queries, checked."""

    top: int
    filters: Filters | None
    group_by_concept: bool
    min_score: float | None
    routes: dict[str, Variant]
    languages: dict[str, tuple[Variant, ...]]

    @property
    def ordered_by_rank(self) -> bool:
        """Whether the languages have different variants, whose cosines cannot be compared."""
        return len(set(self.routes.values())) > 1


@dataclass(frozen=True, slots=True)
class _Target:
    """One collection to search in."""

    language: str
    info: CollectionInfo
    variant: Variant
    encoder: QueryEncoder

    @property
    def collection(self) -> str:
        """Its physical name."""
        return self.info.name


@dataclass(frozen=True, slots=True)
class _Found:
    """A point that a query found, and its collection."""

    target: _Target
    point: ScoredPoint


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
            group_by_concept: one hit per concept over all languages, its best title; the hit
                lists the other titles by language (:attr:`Hit.others`).
            exact: compare with every title that passes the filters, without the index.
            min_score: lowest cosine of a hit, in [-1, 1].

        Returns:
            Hits by descending cosine, ties by id. If the policy chooses different variants for
            the languages, whose cosines cannot be compared, hits are ordered by their rank within
            their language instead, and a note says so. If many titles tie with the last hit, the
            engine decides which of them are returned (:meth:`Store.query`).

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
        fetches: list[tuple[_Target, Fetch]] = []
        for target in self._targets(request):
            if target.variant not in vectors:
                with timed("embed the query", variant=target.variant):
                    vectors[target.variant] = target.encoder.encode_queries([normalized])
            vector = vectors[target.variant]
            fetches.append((target, self._engine_fetch(target, vector, request, exact=exact)))
        found = _merged([(target, _best_of(fetch, request)) for target, fetch in fetches], request)
        others: dict[str, _Others] = {}
        if request.group_by_concept:
            points = [each.point for each in found]
            others = {target.language: other_titles(fetch, points) for target, fetch in fetches}
        hits = _hits(found, others)
        unknown = self._searched(request, [target for target, _ in fetches]).unknown_values(
            filters, hits
        )
        return SearchResult(query, normalized, hits, notes_on(hits, unknown, filters, min_score))

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
        collection, and for a few queries against a large collection :meth:`search` is faster. To
        group by concept, each collection is read twice.

        Args:
            queries: job titles; they may repeat.
            to: see :meth:`search`, as for all arguments below.
            query_language: language of all queries.
            top: number of hits for each query.
            filters: conditions on the titles.
            variant: a variant or a policy.
            group_by_concept: one hit per concept over all languages.
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
        if not distinct:
            return []
        targets = self._targets(request)
        vectors: dict[Variant, Vectors] = {}
        for target in targets:
            if target.variant not in vectors:
                with timed("embed the queries", variant=target.variant):
                    vectors[target.variant] = target.encoder.encode_queries(distinct)
        ranked: list[list[tuple[_Target, list[ScoredPoint]]]] = [[] for _ in distinct]
        for target in targets:
            rows = self._matrix_fetches(target, vectors[target.variant], request, filters)
            for row, fetch in enumerate(rows):
                ranked[row].append((target, _best_of(fetch, request)))
        found = [_merged(points, request) for points in ranked]
        others: list[dict[str, _Others]] = [{} for _ in distinct]
        if request.group_by_concept:
            self._read_others(targets, vectors, request, found, others)
        hits = dict(zip(distinct, map(_hits, found, others), strict=True))
        every = [hit for row in hits.values() for hit in row]
        unknown = self._searched(request, targets).unknown_values(filters, every)
        return [
            SearchResult(query, text, hits[text], notes_on(hits[text], unknown, filters, min_score))
            for query, text in zip(queries, normalized, strict=True)
        ]

    def _searched(self, request: _Request, targets: Sequence[_Target]) -> Searched:
        infos = [target.info for target in targets]
        return Searched(self._store, self._model, request.routes, infos, request.languages)

    def _read_others(
        self,
        targets: Sequence[_Target],
        vectors: Mapping[Variant, Vectors],
        request: _Request,
        found: Sequence[list[_Found]],
        others: Sequence[dict[str, _Others]],
    ) -> None:
        """Fill in the other titles of the concepts that each query found, by language.

        The collections are read again, only these concepts, since memory need not have room for all
        of them at once.
        """
        points = [[each.point for each in row] for row in found]
        concepts = {concept_of(p) for row in points for p in row if has_concept(p)}
        if not concepts:
            return
        filters = _with_concepts(request.filters, sorted(concepts), ())
        for target in targets:
            rows = self._matrix_fetches(target, vectors[target.variant], request, filters)
            for row, fetch in enumerate(rows):
                others[row][target.language] = other_titles(fetch, points[row])

    def _matrix_fetches(
        self, target: _Target, vectors: Vectors, request: _Request, filters: Filters | None
    ) -> Iterator[Fetch]:
        """Read the titles of a collection that pass ``filters``, and rank them for each query."""
        with timed("read the collection", collection=target.collection):
            points = read_points(self._store, [target.collection], filters)
        concepts = places_by_concept(points) if request.group_by_concept else {}
        with timed("rank", collection=target.collection):
            for scores in exact_scores(points, vectors):
                yield matrix_fetch(points, concepts, scores, request.min_score)

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
            content = f"it has {', '.join(stored)}" if stored else self._other_models()
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
        return _Request(top, filters, group_by_concept, min_score, routes, stored)

    def _other_models(self) -> str:
        """What a store without titles for this model has."""
        aliases = [alias for alias in self._store.aliases() if alias.startswith(f"{JOBS}__")]
        models = sorted({alias.split("__")[2] for alias in aliases})
        return f"it has titles for model {', '.join(models)}" if models else "it is empty"

    def _targets(self, request: _Request) -> list[_Target]:
        """The collections to search in, each compared with its encoder (the guard)."""
        targets = []
        for language, variant in request.routes.items():
            encoder = self._encoder(variant)
            info = self._store.describe(alias_name(JOBS, language, self._model, variant))
            check_collection(info.name, info.metadata, language=language, encoder=encoder.info)
            targets.append(_Target(language, info, variant, encoder))
        return targets

    def _engine_fetch(
        self, target: _Target, vector: Vectors, request: _Request, *, exact: bool
    ) -> Fetch:
        def fetch(
            limit: int, *, only: Sequence[str] = (), without: Sequence[str] = ()
        ) -> list[ScoredPoint]:
            with timed("query the store", collection=target.collection, limit=limit):
                [points] = self._store.query(
                    target.collection,
                    vector,
                    limit=limit,
                    filters=_with_concepts(request.filters, only, without),
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


def _with_concepts(
    filters: Filters | None, only: Sequence[str], without: Sequence[str]
) -> Filters | None:
    """The filters of a request, narrowed to some of the concepts that pass them."""
    narrowed = filters or Filters()
    if only:
        narrowed = replace(narrowed, concept_ids=only)
    if without:
        narrowed = replace(narrowed, without_concepts=(*narrowed.without_concepts, *without))
    return narrowed


def _best_of(fetch: Fetch, request: _Request) -> list[ScoredPoint]:
    """The best titles of one collection, or the best title of each of the best concepts."""
    if request.group_by_concept:
        return nearest_concepts(fetch, request.top)
    return fetch(request.top)


def _merged(found: Sequence[tuple[_Target, list[ScoredPoint]]], request: _Request) -> list[_Found]:
    """The best points over all languages; if they are grouped, the best one of each concept."""
    ranked = [
        (rank, target, point) for target, points in found for rank, point in enumerate(points)
    ]
    if request.ordered_by_rank:
        # Stable: the languages keep their order within a rank.
        ranked.sort(key=lambda entry: entry[0])
    else:
        ranked.sort(key=lambda entry: (-entry[2].score, entry[2].id))
    merged = [_Found(target, point) for _, target, point in ranked]
    if request.group_by_concept:
        groups: dict[str, _Found] = {}
        for each in merged:
            groups.setdefault(concept_of(each.point), each)
        merged = list(groups.values())
    return merged[: request.top]


def _hit(found: _Found, others: Mapping[str, tuple[str, ...]]) -> Hit:
    payload = found.point.payload
    name, language = found.target.info.name, found.target.language
    check_payload(name, found.point.id, payload)
    if payload["language"] != language:
        raise StoreDamaged(
            f"collection {name} holds titles in {language}, and its point {found.point.id} is in "
            f"{payload['language'][:20]}: ingest the titles again"
        )
    return Hit(
        title=payload["title"],
        score=found.point.score,
        language=payload["language"],
        concept_id=payload.get("concept_id"),
        isco=payload.get("isco"),
        kind=payload["kind"],
        source=payload["source"],
        collection=found.target.collection,
        variant=found.target.variant,
        point_id=found.point.id,
        doc_id=payload.get("doc_id"),
        others=others,
    )


def _hits(found: Sequence[_Found], others: Mapping[str, _Others]) -> tuple[Hit, ...]:
    """The hits of one query.

    Args:
        found: the best points.
        others: language -> id of a concept -> further titles of the concept.
    """
    return tuple(
        _hit(
            each,
            {
                language: titles
                for language, by_concept in others.items()
                if (titles := by_concept.get(concept_of(each.point), ()))
            },
        )
        for each in found
    )
