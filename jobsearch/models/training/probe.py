"""How good a model is on concepts that it was not trained on, and whether it has collapsed."""

from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from jobsearch.models.training.titles import Indices, TrainingTitles
from jobsearch.vectors import Vectors

Embed = Callable[[Sequence[str]], Vectors]

# Titles of other concepts among which those of a held-out concept must be found, a language.
_DISTRACTORS = 5000
_COLLAPSE_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """What a model reaches on held-out concepts; higher is better, but for ``mean_cosine``.

    Args:
        mrr, map: mean reciprocal rank and mean average precision, by pair of languages (``en-de``:
            an English title asks for German ones).
        watched: mean of MRR and MAP over all pairs with a language that is not trained on, by that
            language. Its pairs are not told apart: their titles are few.
        mean_cosine: between titles of different concepts, in [-1, 1]; near 1 when everything has
            become alike.
        effective_rank: the exponential of the entropy of the vectors' normalised singular values
            (Roy and Vetterli 2007), from 1 to their dimension; small when they use few directions.
    """

    mrr: dict[str, float]
    map: dict[str, float]
    watched: dict[str, float]
    mean_cosine: float
    effective_rank: float

    @property
    def mean(self) -> float:
        """Mean of MRR and MAP over all pairs of languages trained on."""
        return float(np.mean([*self.mrr.values(), *self.map.values()]))

    def worst_loss(self, before: "ProbeScore") -> float:
        """By how much the worst of all these figures is lower than before; negative if none is."""
        figures = ((before.mrr, self.mrr), (before.map, self.map), (before.watched, self.watched))
        return max(was - now[name] for then, now in figures for name, was in then.items())

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Task:
    #: Rows of the probe's texts.
    queries: Indices
    corpus: Indices
    relevant: npt.NDArray[np.bool_]
    #: The query itself, where its own language is searched.
    excluded: npt.NDArray[np.bool_]


class HeldOutProbe:
    """Ranks titles of held-out concepts, within and across languages.

    Half of each held-out concept's titles in each language are *told*: they may be known to the
    model by its anchors, as a taxonomy is known to who searches it. The others are *asked*: one of
    them is the query, those in the language searched are relevant. They are found among all asked
    titles of held-out concepts and up to 5,000 titles of the other concepts.

    Languages without training titles are watched: every pair with one of them is asked too, over
    all concepts that ``watched`` has, since none was trained on in it.

    Args:
        titles: of all concepts.
        held_out: ids of the concepts to test on.
        seed: of the halves and the draws.
        watched: titles in further languages, and in some of ``titles`` to pair them with.

    Attributes:
        texts: all texts that are ranked.
        told: (n,) bool, which of ``titles`` are told.
        pairs: names of the pairs of languages trained on.
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
        kept_out = np.array([c in held_out for c in titles.concepts])[titles.concept_of]
        asked = np.zeros(len(titles), dtype=bool)
        cell = titles.concept_of * len(titles.languages) + titles.language_of
        for member in np.unique(cell[kept_out]):
            rows = random.permutation(np.flatnonzero(cell == member))
            asked[rows[: max(1, len(rows) // 2)]] = True
        self.told = kept_out & ~asked
        self._row_of: dict[str, int] = {}
        others = random.permutation(np.flatnonzero(~kept_out))
        self._tasks = self._ask(titles, asked, others, random)
        self.pairs = tuple(self._tasks)
        self.watched_pairs: dict[str, list[str]] = {}
        if watched:
            found = self._ask(watched, np.ones(len(watched), bool), np.array([], int), random)
            for language in sorted(set(watched.languages) - set(titles.languages)):
                self.watched_pairs[language] = [p for p in found if language in p.split("-")]
            wanted = set(chain(*self.watched_pairs.values()))
            self._tasks |= {pair: task for pair, task in found.items() if pair in wanted}
        self.texts = list(self._row_of)
        self._spread = random.permutation(len(self.texts))[:_COLLAPSE_SAMPLE]

    def _ask(
        self,
        titles: TrainingTitles,
        asked: npt.NDArray[np.bool_],
        others: Indices,
        random: np.random.Generator,
    ) -> dict[str, _Task]:
        tasks = {}
        for a, asking in enumerate(titles.languages):
            for b, searched in enumerate(titles.languages):
                corpus = np.flatnonzero(asked & (titles.language_of == b))
                distractors = others[titles.language_of[others] == b][:_DISTRACTORS]
                queries = _one_each(titles, asked & (titles.language_of == a), random)
                searchable = np.concatenate([corpus, distractors])
                task = self._task(titles, queries, searchable, one_language=a == b)
                if len(task.queries):
                    tasks[f"{asking}-{searched}"] = task
        return tasks

    def _task(
        self, titles: TrainingTitles, queries: Indices, corpus: Indices, *, one_language: bool
    ) -> _Task:
        asked, found = titles.text_of[queries], titles.text_of[corpus]
        concepts = titles.concepts_of_text
        # Titles that share any concept with the query answer it.
        relevant = (concepts[asked] @ concepts[found].T).toarray() > 0
        excluded = (asked[:, None] == found) & one_language
        relevant &= ~excluded
        answered = relevant.any(axis=1)
        return _Task(
            self._rows([titles.texts[text] for text in asked[answered]]),
            self._rows([titles.texts[text] for text in found]),
            relevant[answered],
            excluded[answered],
        )

    def _rows(self, texts: Sequence[str]) -> Indices:
        return np.array([self._row_of.setdefault(t, len(self._row_of)) for t in texts], np.int64)

    def score(self, embed: Embed) -> ProbeScore:
        """Embed all titles and rank them.

        Args:
            embed: gives (n, dim) float32, rows of unit length, for n texts.
        """
        vectors = embed(self.texts)
        found = {pair: _mrr_and_map(vectors, task) for pair, task in self._tasks.items()}
        sample = vectors[self._spread]
        return ProbeScore(
            mrr={pair: found[pair][0] for pair in self.pairs},
            map={pair: found[pair][1] for pair in self.pairs},
            watched={
                language: float(np.mean([found[pair] for pair in pairs]))
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


def _one_each(
    titles: TrainingTitles, wanted: npt.NDArray[np.bool_], random: np.random.Generator
) -> Indices:
    rows = random.permutation(np.flatnonzero(wanted))
    _, first = np.unique(titles.concept_of[rows], return_index=True)
    return rows[first]


def _mrr_and_map(vectors: Vectors, task: _Task) -> tuple[float, float]:
    cosines = vectors[task.queries] @ vectors[task.corpus].T
    scores = np.where(task.excluded, -np.inf, cosines)
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(task.relevant, order, axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = hits.cumsum(axis=1) / ranks
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return float((1 / (hits.argmax(axis=1) + 1)).mean()), float(average.mean())
