"""Scores a model on concepts that it was not trained on, and detects collapsed embeddings."""

from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from jobsearch.models.training.titles import Indices, TrainingTitles
from jobsearch.vectors import Vectors

#: Embeds n texts: (n, dim) float32, rows of unit length.
Embed = Callable[[Sequence[str]], Vectors]

# Maximum number of titles of other concepts in the corpus of a language.
_DISTRACTORS = 5000
# Number of vectors that are checked for collapse.
_COLLAPSE_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """Scores of a model on held-out concepts; higher is better, except for ``mean_cosine``.

    Args:
        mrr, map: mean reciprocal rank and mean average precision in [0, 1], by pair of languages
            (``en-de``: English queries, German titles).
        watched: mean of MRR and MAP over all pairs with a language that is not trained on, by that
            language. Single pairs have too few titles for a score of their own.
        mean_cosine: mean cosine of two different titles in [-1, 1]; near 1 if all embeddings have
            become alike.
        effective_rank: exponential of the entropy of the normalised singular values of the
            embeddings (Roy and Vetterli 2007), from 1 to their dimension; small if they use few
            directions.
    """

    mrr: dict[str, float]
    map: dict[str, float]
    watched: dict[str, float]
    mean_cosine: float
    effective_rank: float

    @property
    def mean(self) -> float:
        """Mean of MRR and MAP over all pairs of training languages."""
        return float(np.mean([*self.mrr.values(), *self.map.values()]))

    def worst_loss(self, before: "ProbeScore") -> float:
        """Largest drop of any score from ``before``, MRR, MAP and watched; negative if all rose."""
        scores = ((before.mrr, self.mrr), (before.map, self.map), (before.watched, self.watched))
        return max(value - new[name] for old, new in scores for name, value in old.items())

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Task:
    """The queries of one pair of languages, and the corpus that they search.

    Args:
        queries: (q,) rows of the probe's texts.
        corpus: (d,) rows of the probe's texts.
        relevant: (q, d) bool, whether a text answers a query.
        excluded: (q, d) bool, whether a text is the query itself, in pairs of one language.
    """

    queries: Indices
    corpus: Indices
    relevant: npt.NDArray[np.bool_]
    excluded: npt.NDArray[np.bool_]


class HeldOutProbe:
    """Ranks titles of held-out concepts, within and across languages.

    The titles of each held-out concept in each language are divided into halves. *Anchor titles*
    may be used to make anchors, because a search system knows the taxonomy that it searches. *Test
    titles* are the queries (one per concept and language) and the relevant results. The corpus of a
    language is all test titles of held-out concepts and up to 5,000 titles of other concepts.

    Languages without training titles are watched: every pair with such a language is tested too,
    with all titles of ``watched``, because none of them was trained on in that language.

    Args:
        titles: titles of all concepts.
        held_out: ids of the concepts to test on.
        seed: random seed of the halves, the queries and the corpora.
        watched: titles in further languages, and in training languages to pair them with.

    Attributes:
        texts: all texts that are ranked.
        anchor_titles: (n,) bool, whether each of ``titles`` is an anchor title.
        pairs: names of the pairs of training languages.
        watched_pairs: names of the pairs with a watched language, by that language.
    """

    def __init__(
        self,
        titles: TrainingTitles,
        held_out: Set[str],
        seed: int,
        watched: TrainingTitles | None = None,
    ) -> None:
        random = np.random.default_rng(seed)
        is_held_out = np.array([c in held_out for c in titles.concepts])[titles.concept_of]
        is_test = np.zeros(len(titles), dtype=bool)
        cell = titles.concept_of * len(titles.languages) + titles.language_of
        for held_out_cell in np.unique(cell[is_held_out]):
            rows = random.permutation(np.flatnonzero(cell == held_out_cell))
            is_test[rows[: max(1, len(rows) // 2)]] = True
        self.anchor_titles = is_held_out & ~is_test
        self._row_of: dict[str, int] = {}
        others = random.permutation(np.flatnonzero(~is_held_out))
        self._tasks = self._make_tasks(titles, is_test, others, random)
        self.pairs = tuple(self._tasks)
        self.watched_pairs: dict[str, list[str]] = {}
        if watched:
            every, no_others = np.ones(len(watched), bool), np.array([], int)
            tasks = self._make_tasks(watched, every, no_others, random)
            for language in sorted(set(watched.languages) - set(titles.languages)):
                self.watched_pairs[language] = [p for p in tasks if language in p.split("-")]
            kept = set(chain(*self.watched_pairs.values()))
            self._tasks |= {pair: task for pair, task in tasks.items() if pair in kept}
        self.texts = list(self._row_of)
        self._collapse_sample = random.permutation(len(self.texts))[:_COLLAPSE_SAMPLE]

    def _make_tasks(
        self,
        titles: TrainingTitles,
        is_test: npt.NDArray[np.bool_],
        others: Indices,
        random: np.random.Generator,
    ) -> dict[str, _Task]:
        """The tasks of all pairs of languages that have queries, by name of the pair."""
        tasks = {}
        for a, query_language in enumerate(titles.languages):
            for b, corpus_language in enumerate(titles.languages):
                answers = np.flatnonzero(is_test & (titles.language_of == b))
                distractors = others[titles.language_of[others] == b][:_DISTRACTORS]
                queries = _one_per_concept(titles, is_test & (titles.language_of == a), random)
                corpus = np.concatenate([answers, distractors])
                task = self._make_task(titles, queries, corpus, one_language=a == b)
                if len(task.queries):
                    tasks[f"{query_language}-{corpus_language}"] = task
        return tasks

    def _make_task(
        self, titles: TrainingTitles, queries: Indices, corpus: Indices, *, one_language: bool
    ) -> _Task:
        query_texts, corpus_texts = titles.text_of[queries], titles.text_of[corpus]
        concepts = titles.concepts_of_text
        # A title that shares any concept with the query is relevant.
        relevant = (concepts[query_texts] @ concepts[corpus_texts].T).toarray() > 0
        excluded = (query_texts[:, None] == corpus_texts) & one_language
        relevant &= ~excluded
        answered = relevant.any(axis=1)
        return _Task(
            self._rows([titles.texts[text] for text in query_texts[answered]]),
            self._rows([titles.texts[text] for text in corpus_texts]),
            relevant[answered],
            excluded[answered],
        )

    def _rows(self, texts: Sequence[str]) -> Indices:
        """Rows of the probe's texts; new texts are added."""
        return np.array([self._row_of.setdefault(t, len(self._row_of)) for t in texts], np.int64)

    def score(self, embed: Embed) -> ProbeScore:
        """Embed all titles, rank them by cosine, and score the rankings.

        Args:
            embed: embeds the titles.
        """
        vectors = embed(self.texts)
        scores = {pair: _mrr_and_map(vectors, task) for pair, task in self._tasks.items()}
        sample = vectors[self._collapse_sample]
        return ProbeScore(
            mrr={pair: scores[pair][0] for pair in self.pairs},
            map={pair: scores[pair][1] for pair in self.pairs},
            watched={
                language: float(np.mean([scores[pair] for pair in pairs]))
                for language, pairs in self.watched_pairs.items()
            },
            mean_cosine=_mean_cosine(sample),
            effective_rank=effective_rank(sample),
        )


def effective_rank(vectors: Vectors) -> float:
    """Exponential of the entropy of the normalised singular values of (n, dim) vectors."""
    values = np.linalg.svd(vectors, compute_uv=False)
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _mean_cosine(vectors: Vectors) -> float:
    """Mean cosine of two different rows of unit length."""
    n = len(vectors)
    total = float(np.square(vectors.sum(axis=0)).sum())
    return (total - n) / (n * (n - 1)) if n > 1 else 0.0


def _one_per_concept(
    titles: TrainingTitles, eligible: npt.NDArray[np.bool_], random: np.random.Generator
) -> Indices:
    """Rows of one random eligible title of each concept."""
    rows = random.permutation(np.flatnonzero(eligible))
    _, first = np.unique(titles.concept_of[rows], return_index=True)
    return rows[first]


def _mrr_and_map(vectors: Vectors, task: _Task) -> tuple[float, float]:
    cosines = vectors[task.queries] @ vectors[task.corpus].T
    scores = np.where(task.excluded, -np.inf, cosines)
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(task.relevant, order, axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = hits.cumsum(axis=1) / ranks
    average_precision = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return float((1 / (hits.argmax(axis=1) + 1)).mean()), float(average_precision.mean())
