"""Systems that can be evaluated: an encoder with a store, and baselines without a model.

The baselines rank titles by chance, by words (BM25) and by character n-grams (TF-IDF). They show
how hard a benchmark is, and what a model adds to matching letters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from eval.benchmarks.base import Benchmark
from eval.diagnostics.index_loss import measure_index
from eval.results import IndexMode
from ingest.pipeline import ingest
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.models.encoder import TitleEncoder
from jobsearch.search.full_ranking import Ranking, exact_rankings, read_points
from jobsearch.store import PointBatch, Store, check_collection
from jobsearch.store.metadata import eval_namespace
from jobsearch.text import fold_title
from jobsearch.types import PLAIN_STORAGE, VectorStorage

#: Seed of the random baseline.
SEED = 0
_NGRAMS = (2, 5)

Scores = npt.NDArray[np.float32]
#: (titles of the documents, titles of the queries) -> for each query, the scores of all documents,
#: (documents,) float32; higher is better.
Scorer = Callable[[list[str], list[str]], Iterator[Scores]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The rankings of a benchmark's documents.

    Args:
        doc_ids: document ids; a ranking refers to a document by its place in this list.
        rankings: one ranking per query, in the order of the queries; may be computed lazily.
        collections: physical names of the collections that were searched, if any.
    """

    doc_ids: list[str]
    rankings: Iterable[Ranking]
    collections: tuple[str, ...] = ()


class System(Protocol):
    """Anything that ranks the documents of a benchmark for its queries."""

    @property
    def model(self) -> str:
        """Name of the model or baseline."""
        ...

    @property
    def variant(self) -> str:
        """Variant of the model; empty if it has no variants."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """Everything that the rankings depend on, besides the benchmark, as plain data."""
        ...

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank the documents for every query.

        Args:
            benchmark: the queries and documents.
            depth: number of documents in each ranking; all of them if None.
            progress: draw progress bars on stderr, if it is a terminal.
        """
        ...


class VectorSearch:
    """An encoder, measured on vectors that were stored and read back, as in a search.

    The corpus is ingested like any other source, unless it is stored already. Its collections are
    separate from those that users search. Rankings are exact and use the stored vectors.

    Args:
        store: the store for the corpus.
        encoder: the encoder to measure.
        storage: how vectors are kept; affects the live index, but not the rankings.
    """

    def __init__(
        self, store: Store, encoder: TitleEncoder, storage: VectorStorage = PLAIN_STORAGE
    ) -> None:
        self._store, self._encoder, self._storage = store, encoder, storage

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._encoder.info.model

    @property
    def variant(self) -> str:
        """Variant of the model."""
        return self._encoder.info.variant

    @property
    def description(self) -> dict[str, Any]:
        """All fields of :class:`jobsearch.types.EncoderInfo`."""
        return self._encoder.info.as_dict()

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank by cosine; see :class:`System`.

        Raises:
            BenchmarkError: the collections do not hold exactly the corpus.
            SourceError: the corpus cannot be ingested.
            StoreError: the store failed; ``CollectionMismatch`` if a collection has another
                language, model or variant.
        """
        collections = self._ingested(benchmark, progress=progress)
        points = self._points(benchmark, collections)
        queries = self._encoder.encode_queries(list(benchmark.queries.values()))
        doc_ids = [payload["doc_id"] for payload in points.payloads]
        return Ranked(doc_ids, exact_rankings(points, queries, depth=depth), collections)

    def measure_index(
        self, benchmark: Benchmark, *, progress: bool = False
    ) -> tuple[IndexMode, ...]:
        """Measure the live index; see :func:`eval.diagnostics.index_loss.measure_index`."""
        collections = self._ingested(benchmark, progress=progress)
        return measure_index(benchmark, self._store, collections, self._encoder)

    def _ingested(self, benchmark: Benchmark, *, progress: bool) -> tuple[str, ...]:
        """Ingest the corpus unless it is stored; return its collections, one per language."""
        corpus = benchmark.corpus
        names = []
        for language in corpus.languages:
            summary = ingest(
                corpus,
                language,
                self._store,
                self._encoder,
                namespace=eval_namespace(corpus.name, corpus.split),
                # The evaluation checks languages itself, also those of a corpus stored earlier.
                language_check=False,
                storage=self._storage,
                # A rejected document would be missing from the rankings.
                max_rejects=0.0,
                progress=progress,
            )
            info = self._store.describe(summary.collection)
            check_collection(
                info.name, info.metadata, language=language, encoder=self._encoder.info
            )
            names.append(info.name)
        return tuple(names)

    def _points(self, benchmark: Benchmark, collections: Sequence[str]) -> PointBatch:
        """All points of the corpus, sorted by id."""
        points = read_points(self._store, collections, benchmark.corpus.filters)
        stored = [payload.get("doc_id", "") for payload in points.payloads]
        if len(stored) != len(benchmark.documents) or set(stored) != benchmark.documents.keys():
            raise BenchmarkError(
                f"{len(stored)} documents of {benchmark.corpus.name} {benchmark.corpus.split} are "
                f"stored, the benchmark has {len(benchmark.documents)}: drop "
                f"{', '.join(collections)} and evaluate again"
            )
        return points


@dataclass(frozen=True, slots=True)
class Baseline:
    """A system that compares titles without a model. Implements :class:`System`.

    Documents with equal scores keep the order of the corpus.

    Args:
        model: name of the baseline.
        settings: parameters that the rankings depend on.
        scorer: computes the scores; higher is better.
        library: package that computes the scores.
    """

    model: str
    settings: dict[str, Any]
    scorer: Scorer
    library: str

    @property
    def variant(self) -> str:
        """Empty: a baseline has no variants."""
        return ""

    @property
    def description(self) -> dict[str, Any]:
        """Name, settings, and the library with its version."""
        with suppress(PackageNotFoundError):
            library = f"{self.library} {version(self.library)}"
            return {"model": self.model, **self.settings, "library": library}
        return {"model": self.model, **self.settings}

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank by score; see :class:`System`."""
        del progress
        documents = [fold_title(title) for title in benchmark.documents.values()]
        queries = [fold_title(title) for title in benchmark.queries.values()]
        rankings = (_ranking(row, depth) for row in self.scorer(documents, queries))
        return Ranked(list(benchmark.documents), rankings)


def _ranking(scores: Scores, depth: int | None) -> Ranking:
    places = np.argsort(-scores, kind="stable")[:depth]
    return Ranking(places, scores[places])


def _random(documents: list[str], queries: list[str]) -> Iterator[Scores]:
    generator = np.random.default_rng(SEED)
    for _ in queries:
        yield generator.random(len(documents), dtype=np.float32)


def _bm25(documents: list[str], queries: list[str]) -> Iterator[Scores]:
    try:
        import bm25s
    except ImportError as error:
        raise InvalidInput(
            "the baseline bm25 needs bm25s: pip install 'jobsearch[baselines]'"
        ) from error

    def tokens(texts: list[str]) -> list[list[str]]:
        # Job titles have words of one letter (C, R) and no sentences: keep short and stop words.
        options = {"token_pattern": r"(?u)\w+", "stopwords": None, "return_ids": False}
        return list(bm25s.tokenize(texts, show_progress=False, **options))

    index = bm25s.BM25(k1=1.5, b=0.75)
    index.index(tokens(documents), show_progress=False)
    for query in tokens(queries):
        known = [token for token in query if token in index.vocab_dict]
        yield index.get_scores(known) if known else np.zeros(len(documents), dtype=np.float32)


def _tfidf(documents: list[str], queries: list[str]) -> Iterator[Scores]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=_NGRAMS, sublinear_tf=True, dtype=np.float32
    )
    document_columns = vectorizer.fit_transform(documents).T.tocsr()
    query_rows = vectorizer.transform(queries)
    for row in range(len(queries)):
        yield (query_rows[row] @ document_columns).toarray()[0]


#: The baselines by name.
BASELINES = {
    baseline.model: baseline
    for baseline in (
        Baseline("random", {"seed": SEED}, _random, "numpy"),
        Baseline("bm25", {"k1": 1.5, "b": 0.75, "tokens": "words"}, _bm25, "bm25s"),
        Baseline(
            "tfidf",
            {"tokens": "letters within words", "ngrams": list(_NGRAMS)},
            _tfidf,
            "scikit-learn",
        ),
    )
}
