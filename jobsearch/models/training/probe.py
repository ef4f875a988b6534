"""How good a model is on concepts that it was not trained on, and whether it has collapsed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobsearch.models.training.titles import Indices, TrainingTitles

Vectors = npt.NDArray[np.float32]
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
        mean_cosine: between titles of different concepts, in [-1, 1]; near 1 when everything has
            become alike.
        effective_rank: the exponential of the entropy of the vectors' normalised singular values
            (Roy and Vetterli 2007), from 1 to their dimension; small when they use few directions.
    """

    mrr: dict[str, float]
    map: dict[str, float]
    mean_cosine: float
    effective_rank: float

    @property
    def mean(self) -> float:
        """Mean of MRR and MAP over all pairs."""
        return float(np.mean([*self.mrr.values(), *self.map.values()]))

    def worst_loss(self, before: "ProbeScore") -> float:
        """By how much the worst pair's MRR or MAP is lower than before; negative if none is."""
        return max(
            was - now
            for then, here in ((before.mrr, self.mrr), (before.map, self.map))
            for was, now in ((then[pair], here[pair]) for pair in then)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "mrr": self.mrr,
            "map": self.map,
            "mean_cosine": self.mean_cosine,
            "effective_rank": self.effective_rank,
        }


@dataclass(frozen=True, slots=True)
class _Task:
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

    Args:
        titles: of all concepts.
        held_out: ids of the concepts to test on.
        seed: of the halves and the draws.
    """

    def __init__(self, titles: TrainingTitles, held_out: frozenset[str], seed: int) -> None:
        random = np.random.default_rng(seed)
        kept_out = np.array([c in held_out for c in titles.concepts])[titles.concept_of]
        asked = np.zeros(len(titles), dtype=bool)
        cell = titles.concept_of * len(titles.languages) + titles.language_of
        for member in np.unique(cell[kept_out]):
            rows = random.permutation(np.flatnonzero(cell == member))
            asked[rows[: max(1, len(rows) // 2)]] = True
        others = random.permutation(np.flatnonzero(~kept_out))
        self.told = kept_out & ~asked
        self.pairs: dict[str, _Task] = {}
        for a, asking in enumerate(titles.languages):
            for b, searched in enumerate(titles.languages):
                corpus = np.flatnonzero(asked & (titles.language_of == b))
                distractors = others[titles.language_of[others] == b][:_DISTRACTORS]
                queries = _one_each(titles, asked & (titles.language_of == a), random)
                searchable = np.concatenate([corpus, distractors])
                task = _task(titles, queries, searchable, one_language=a == b)
                if len(task.queries):
                    self.pairs[f"{asking}-{searched}"] = task
        self._titles = titles
        used = [rows for task in self.pairs.values() for rows in (task.queries, task.corpus)]
        self._texts = np.unique(titles.text_of[np.concatenate(used)]) if used else np.array([], int)
        self._spread = random.permutation(self._texts)[:_COLLAPSE_SAMPLE]

    @property
    def texts(self) -> list[str]:
        """Every text that is ranked."""
        return [self._titles.texts[text] for text in self._texts]

    def score(self, embed: Embed) -> ProbeScore:
        """Embed all titles and rank them.

        Args:
            embed: gives (n, dim) float32, rows of unit length, for n texts.
        """
        vectors = embed(self.texts)
        row = np.full(len(self._titles.texts), -1)
        row[self._texts] = np.arange(len(self._texts))
        mrr, average = {}, {}
        for pair, task in self.pairs.items():
            asked = vectors[row[self._titles.text_of[task.queries]]]
            found = vectors[row[self._titles.text_of[task.corpus]]]
            scores = np.where(task.excluded, -np.inf, asked @ found.T)
            mrr[pair], average[pair] = _mrr_and_map(scores, task.relevant)
        sample = vectors[row[self._spread]]
        return ProbeScore(mrr, average, _mean_cosine(sample), effective_rank(sample))


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


def _task(
    titles: TrainingTitles, queries: Indices, corpus: Indices, *, one_language: bool
) -> _Task:
    asked, found = titles.text_of[queries], titles.text_of[corpus]
    concepts = titles.concepts_of_text
    # Titles that share any concept with the query answer it.
    relevant = (concepts[asked] @ concepts[found].T).toarray() > 0
    excluded = (asked[:, None] == found) & one_language
    relevant &= ~excluded
    answered = relevant.any(axis=1)
    return _Task(queries[answered], corpus, relevant[answered], excluded[answered])


def _mrr_and_map(
    scores: npt.NDArray[np.floating[Any]], relevant: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(relevant, order, axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = hits.cumsum(axis=1) / ranks
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return float((1 / (hits.argmax(axis=1) + 1)).mean()), float(average.mean())
