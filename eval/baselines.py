"""Rankings that need no model, to tell what a model adds: by chance, by words, by letters."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from eval.benchmarks import Benchmark
from eval.systems import Ranked
from jobsearch.errors import InvalidInput
from jobsearch.search.exact import Ranking
from jobsearch.text import fold_title

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
