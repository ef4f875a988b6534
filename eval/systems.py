"""What can be measured: an encoder through the store, or a baseline that needs no model."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from eval.benchmarks import Benchmark
from eval.index_loss import IndexMode, measure_index
from ingest.pipeline import ingest
from jobsearch.errors import BenchmarkError
from jobsearch.models.encoder import TitleEncoder
from jobsearch.search.exact import Ranking, exact_rankings, read_points
from jobsearch.store import PointBatch, Store, check_collection
from jobsearch.store.names import eval_namespace
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
        """What the live index loses; see :func:`eval.index_loss.measure_index`."""
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
