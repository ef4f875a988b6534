"""Measures how similar translations are to a model, and computes the points of their plot.

A model aligns two languages if titles of one concept are closer to each other than titles of
different concepts. The cosine of translations alone says little: it is 1 for a model that maps all
titles to one point. Therefore the cosine of random pairs is measured too. The difference of the two
is the figure to compare; higher is better.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.sources.base import Source
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.models.encoder import DocumentEncoder
from jobsearch.types import Variant
from jobsearch.vectors import Vectors

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labels:
    """The preferred labels of a taxonomy.

    Args:
        source: name and version of the taxonomy, e.g. ``esco 1.2.0``.
        titles: language -> concept -> label; a concept may have no label in some languages.
    """

    source: str
    titles: Mapping[str, Mapping[str, str]]

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages, in the order given to :func:`read_labels`."""
        return tuple(self.titles)

    def shared(self, *languages: str) -> list[str]:
        """The concepts with a label in each of the languages, sorted."""
        return sorted(set.intersection(*(set(self.titles[language]) for language in languages)))


@dataclass(frozen=True, slots=True)
class PairCosines:
    """Mean cosines between the labels of two languages, each in [-1, 1].

    Args:
        pair: the languages, e.g. ``en-es``; their order does not matter.
        concepts: number of concepts with a label in both.
        translations: mean over the two labels of each concept; higher is better.
        random: mean over all pairs of labels, one from each language, of different concepts; lower
            is better.
    """

    pair: str
    concepts: int
    translations: float
    random: float

    @property
    def difference(self) -> float:
        """``translations - random``, in [-2, 2]; higher is better."""
        return self.translations - self.random

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "difference": self.difference}


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The labels as one variant of a model embeds them.

    Args:
        model, variant: the encoder.
        pairs: cosines over all concepts, one entry per pair of languages.
        points: (languages, concepts, 2) float64, the chosen concepts in the plane of their two
            largest principal components. Distances in the plane are at most those between the unit
            vectors.
        explained_variance: share of the variance of the chosen vectors along each axis, in [0, 1].
    """

    model: str
    variant: Variant
    pairs: tuple[PairCosines, ...]
    points: Points
    explained_variance: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the points."""
        return {
            "variant": self.variant,
            "pairs": [pair.as_dict() for pair in self.pairs],
            "explained_variance": list(self.explained_variance),
        }


def read_labels(source: Source, languages: Sequence[str]) -> Labels:
    """Read the preferred labels of a taxonomy; gendered forms with a slash stay whole.

    Args:
        source: the taxonomy.
        languages: at least two languages.

    Raises:
        BenchmarkError: fewer than two concepts have a label in all languages.
        InvalidInput: fewer than two languages, or the source does not have a language.
        SourceError: the source cannot be read.
    """
    chosen = tuple(dict.fromkeys(languages))
    if len(chosen) < 2:
        raise InvalidInput(
            f"`languages` is {', '.join(chosen) or 'empty'}: translations need at least two, give "
            "two or more"
        )
    if missing := [language for language in chosen if language not in source.languages]:
        raise InvalidInput(
            f"{source.name} has no titles in {', '.join(missing)}: its languages are "
            f"{', '.join(source.languages)}"
        )
    name = f"{source.name} {source.version}".strip()
    labels = Labels(name, {language: _preferred(source, language) for language in chosen})
    if len(labels.shared(*chosen)) < 2:
        raise BenchmarkError(
            f"{source.name}: fewer than two concepts have a preferred label in each of "
            f"{', '.join(chosen)}: give a folder with a single export, or fewer `languages`"
        )
    return labels


def choose_concepts(labels: Labels, size: int, seed: int) -> tuple[str, ...]:
    """Draw ``size`` of the concepts with a label in every language; all if there are fewer.

    The draw depends only on the ids of the concepts and on the seed.

    Returns:
        The drawn concepts, sorted.
    """
    shared = labels.shared(*labels.languages)
    drawn = random.Random(seed).sample(shared, min(size, len(shared)))  # noqa: S311
    return tuple(sorted(drawn))


def compare_translations(
    labels: Labels, concepts: Sequence[str], encoder: DocumentEncoder
) -> Panel:
    """Encode all labels, compare every pair of languages, and project the chosen concepts.

    Args:
        labels: preferred labels in two or more languages.
        concepts: concepts to project, at least two, each with a label in every language.
        encoder: encodes the labels, as documents: a translation is not a query.
    """
    vectors = {
        language: dict(zip(titles, encoder.encode_documents(list(titles.values())), strict=True))
        for language, titles in labels.titles.items()
    }
    pairs = []
    for one, other in combinations(labels.languages, 2):
        shared = labels.shared(one, other)
        rows = [np.stack([vectors[code][concept] for concept in shared]) for code in (one, other)]
        pairs.append(pair_cosines(f"{one}-{other}", *rows))
    chosen = np.stack([[rows[concept] for concept in concepts] for rows in vectors.values()])
    points, explained = _principal_plane(chosen)
    return Panel(encoder.info.model, encoder.info.variant, tuple(pairs), points, explained)


def pair_cosines(pair: str, one: Vectors, other: Vectors) -> PairCosines:
    """Compare two languages.

    Args:
        pair: name of the pair.
        one: (concepts, dim) float32, labels in one language, rows of unit length; at least two
            concepts.
        other: labels in the other language, of the same concepts in the same order.
    """
    count = len(one)
    first, second = one.astype(np.float64), other.astype(np.float64)
    translations = float(np.sum(first * second))
    # The sum of all cosines is the dot product of the two sums, so no matrix is needed.
    total = float(first.sum(axis=0) @ second.sum(axis=0))
    random_pairs = (total - translations) / (count * (count - 1))
    return PairCosines(pair, count, translations / count, random_pairs)


def _preferred(source: Source, language: str) -> dict[str, str]:
    """Concept -> label. A source yields a slash form before its halves; only the first is kept."""
    labels: dict[str, str] = {}
    for row in source.rows(language):
        for record in row.records:
            if record.kind == "preferred" and record.concept_id:
                labels.setdefault(record.concept_id, record.title)
    return labels


def _principal_plane(vectors: Vectors) -> tuple[Points, tuple[float, float]]:
    """Project (languages, concepts, dim) to (languages, concepts, 2); with the variance shares."""
    from sklearn.decomposition import PCA

    plane = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # 0 / 0 if all vectors are equal
        points = plane.fit_transform(vectors.reshape(-1, vectors.shape[-1]).astype(np.float64))
    along_x, along_y = np.nan_to_num(plane.explained_variance_ratio_)
    return points.reshape(*vectors.shape[:2], 2), (float(along_x), float(along_y))
