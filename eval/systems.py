"""What can be measured: an encoder through the store, or a baseline that needs no model."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
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
from jobsearch.types import VectorStorage


@dataclass(frozen=True, slots=True)
class Ranked:
    """The rankings of a benchmark's documents.

    Args:
        doc_ids: of the documents, by their places in the rankings.
        rankings: one a query, in the order of the queries; may be made while they are taken.
        collections: that were asked, if there are any.
    """

    doc_ids: list[str]
    rankings: Iterable[Ranking]
    collections: tuple[str, ...] = ()


class System(Protocol):
    """Anything that ranks the documents of a benchmark for its queries."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    @property
    def variant(self) -> str:
        """Variant of the model; empty if there are none."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """Everything that decides its rankings, as plain data."""
        ...

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank the documents for every query, down to ``depth``; all of them if None."""
        ...


class VectorSearch:
    """An encoder, whose vectors are stored and read back as a search would.

    The corpus is ingested like any other source, into collections apart from those that are
    searched, unless it is there already. Rankings are exact and come from the stored vectors.

    Args:
        store: holds the corpus.
        encoder: what is measured.
        storage: how the vectors are kept: no ranking depends on it, the live index does.
    """

    def __init__(
        self, store: Store, encoder: TitleEncoder, storage: VectorStorage = VectorStorage()
    ) -> None:
        self._store, self._encoder, self._storage = store, encoder, storage

    @property
    def model(self) -> str:
        """Short name of the model."""
        return self._encoder.info.model

    @property
    def variant(self) -> str:
        """Variant of the model."""
        return self._encoder.info.variant

    @property
    def description(self) -> dict[str, Any]:
        """All of :class:`jobsearch.types.EncoderInfo`."""
        return asdict(self._encoder.info)

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank by cosine; see :class:`System`.

        Raises:
            BenchmarkError: the collection does not hold exactly the corpus.
            SourceError: the corpus cannot be ingested.
            StoreError: the store failed; ``CollectionMismatch`` if the collection is not what was
                asked for.
        """
        collections = self._ingested(benchmark, progress=progress)
        points = self._points(benchmark, collections)
        queries = self._encoder.encode_queries(list(benchmark.queries.values()))
        doc_ids = [payload["doc_id"] for payload in points.payloads]
        return Ranked(doc_ids, exact_rankings(points, queries, depth=depth), collections)

    def measure_index(
        self, benchmark: Benchmark, *, progress: bool = False
    ) -> tuple[IndexMode, ...]:
        """What the live index loses; see :func:`eval.diagnostics.index_loss.measure_index`."""
        collections = self._ingested(benchmark, progress=progress)
        return measure_index(benchmark, self._store, collections, self._encoder)

    def _ingested(self, benchmark: Benchmark, *, progress: bool) -> tuple[str, ...]:
        """Names of the collections with the corpus, one a language; ingested unless there."""
        corpus = benchmark.corpus
        names = []
        for language in corpus.languages:
            summary = ingest(
                corpus,
                language,
                self._store,
                self._encoder,
                namespace=eval_namespace(corpus.name, corpus.split),
                # Done before, whether or not the corpus is stored already.
                language_check=False,
                storage=self._storage,
                # A document that is not stored could not be found.
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
        """The corpus's points, every one of them, sorted by id."""
        points = read_points(self._store, collections, benchmark.corpus.filters)
        found = [payload.get("doc_id", "") for payload in points.payloads]
        if len(found) != len(benchmark.documents) or set(found) != benchmark.documents.keys():
            raise BenchmarkError(
                f"{len(found)} documents of {benchmark.corpus.name} {benchmark.corpus.split} are "
                f"stored, the benchmark has {len(benchmark.documents)}: drop "
                f"{', '.join(collections)} and evaluate again"
            )
        return points


SEED = 0
_NGRAMS = (2, 5)

Scores = npt.NDArray[np.float32]
#: Titles of the documents, titles of the queries -> scores of all documents, a row a query.
Scorer = Callable[[list[str], list[str]], Iterator[Scores]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A ranking of titles by themselves. Implements :class:`eval.systems.System`.

    Args:
        model: its name.
        settings: what decides its rankings.
        scorer: the scores, higher is better; documents that tie keep the order of the corpus.
        library: package that computes them.
    """

    model: str
    settings: dict[str, Any]
    scorer: Scorer
    library: str

    @property
    def variant(self) -> str:
        """None, so empty."""
        return ""

    @property
    def description(self) -> dict[str, Any]:
        """Name, settings, and the library with its version."""
        with suppress(PackageNotFoundError):
            library = f"{self.library} {version(self.library)}"
            return {"model": self.model, **self.settings, "library": library}
        return {"model": self.model, **self.settings}

    def rank(self, benchmark: Benchmark, *, depth: int | None, progress: bool) -> Ranked:
        """Rank for every query; see :class:`eval.systems.System`."""
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
        # Job titles have words of one letter (C, R) and no sentences, so no stop words are dropped.
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
    stored = vectorizer.fit_transform(documents).T.tocsr()
    asked = vectorizer.transform(queries)
    for row in range(len(queries)):
        yield (asked[row] @ stored).toarray()[0]


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
