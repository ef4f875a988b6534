"""How near translations lie: the number behind the picture, and the points of the picture.

A model aligns two languages if the titles of one concept lie nearer to one another than titles of
different concepts do. One cosine alone says little: a model that maps every title to one spot has
translations at 1. So the cosine of translations is given beside that of random pairs, and their
difference is what counts; higher is better.
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
        source: name and version, e.g. ``esco 1.2.0``.
        titles: language, then concept, to the label; a concept may lack some languages.
    """

    source: str
    titles: Mapping[str, Mapping[str, str]]

    @property
    def languages(self) -> tuple[str, ...]:
        """In the order they were asked for."""
        return tuple(self.titles)

    def shared(self, *languages: str) -> list[str]:
        """The concepts that have a label in each of the languages, sorted."""
        return sorted(set.intersection(*(set(self.titles[language]) for language in languages)))


@dataclass(frozen=True, slots=True)
class PairCosines:
    """Mean cosines between the labels of two languages, each in [-1, 1].

    Args:
        pair: the languages, e.g. ``en-es``; their order makes no difference.
        concepts: number of concepts with a label in both.
        translations: over the two labels of each concept; higher is better.
        random: over every label of the one language with every label of the other that belongs to
            another concept; lower is better.
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
    """What one variant makes of the labels.

    Args:
        model, variant: what encoded them.
        pairs: cosines over all concepts, a pair of languages each.
        points: (languages, concepts, 2), the chosen concepts in the plane of their two principal
            components, largest first; distances in the plane are at most those between the unit
            vectors.
        explained_variance: share of the chosen vectors' variance along each axis, in [0, 1].
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
    """Read the preferred labels of a taxonomy, slash forms whole.

    Raises:
        BenchmarkError: fewer than two concepts have a label in all languages.
        InvalidInput: fewer than two languages, or one that the source lacks.
        SourceError: the source cannot be read.
    """
    wanted = tuple(dict.fromkeys(languages))
    if len(wanted) < 2:
        raise InvalidInput(f"one language, {', '.join(wanted)}, has no translations: give two")
    if missing := [language for language in wanted if language not in source.languages]:
        raise InvalidInput(
            f"{source.name} has no titles in {', '.join(missing)}: its languages are "
            f"{', '.join(source.languages)}"
        )
    name = f"{source.name} {source.version}".strip()
    labels = Labels(name, {language: _preferred(source, language) for language in wanted})
    if len(labels.shared(*wanted)) < 2:
        raise BenchmarkError(
            f"{source.name}: fewer than two concepts have a preferred label in each of "
            f"{', '.join(wanted)}: give one export, and fewer languages"
        )
    return labels


def choose_concepts(labels: Labels, size: int, seed: int) -> tuple[str, ...]:
    """Draw ``size`` of the concepts that have a label in every language; all if there are fewer.

    The draw depends on nothing but the concepts' ids and the seed.
    """
    shared = labels.shared(*labels.languages)
    drawn = random.Random(seed).sample(shared, min(size, len(shared)))  # noqa: S311
    return tuple(sorted(drawn))


def compare_translations(
    labels: Labels, concepts: Sequence[str], encoder: DocumentEncoder
) -> Panel:
    """Encode all labels, compare every pair of languages, and flatten the vectors of ``concepts``.

    Args:
        labels: preferred labels in two or more languages.
        concepts: at least two that have a label in every language, to be drawn.
        encoder: what encodes them, as documents: a translation is no query.
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
    drawn = np.stack([[of[concept] for concept in concepts] for of in vectors.values()])
    points, explained = _principal_plane(drawn)
    return Panel(encoder.info.model, encoder.info.variant, tuple(pairs), points, explained)


def pair_cosines(pair: str, one: Vectors, other: Vectors) -> PairCosines:
    """Compare two languages.

    Args:
        pair: name of the pair.
        one: (concepts, dim), the labels of one language, rows of unit length; at least two.
        other: the same concepts in the same order, in the other language.
    """
    count = len(one)
    first, second = one.astype(np.float64), other.astype(np.float64)
    own = float(np.sum(first * second))
    # All cosines between two sets add up to the product of the sets' sums: no matrix is needed.
    everything = float(first.sum(axis=0) @ second.sum(axis=0))
    return PairCosines(pair, count, own / count, (everything - own) / (count * (count - 1)))


def _preferred(source: Source, language: str) -> dict[str, str]:
    """Concept to label; the halves of a slash form come after the whole and are left out."""
    found: dict[str, str] = {}
    for row in source.rows(language):
        for record in row.records:
            if record.kind == "preferred" and record.concept_id:
                found.setdefault(record.concept_id, record.title)
    return found


def _principal_plane(vectors: Vectors) -> tuple[Points, tuple[float, float]]:
    """(languages, concepts, dim) to (languages, concepts, 2) and the two shares of variance."""
    from sklearn.decomposition import PCA

    plane = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # a model that maps every title to one spot: 0 / 0
        points = plane.fit_transform(vectors.reshape(-1, vectors.shape[-1]).astype(np.float64))
    along_x, along_y = np.nan_to_num(plane.explained_variance_ratio_)
    return points.reshape(*vectors.shape[:2], 2), (float(along_x), float(along_y))
