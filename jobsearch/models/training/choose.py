"""Chooses what of a training is published: how much of it, and whether with anchors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from jobsearch.models.modules import ConceptAnchors
from jobsearch.models.training.probe import Embed, HeldOutProbe, ProbeScore
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.vectors import Vectors

#: How much of the way from the pretrained weights to the trained ones (Wortsman et al. 2022,
#: "Robust fine-tuning of zero-shot models", arXiv:2109.01903).
ALPHAS = (0.25, 0.5, 0.75, 1.0)
NEAREST, STRENGTHS = (3, 5, 10), (0.2, 0.35, 0.5, 0.75)
#: By how much a pair's MRR or MAP may fall below that of the pretrained model.
TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice and what it reaches on the held-out concepts.

    Args:
        alpha: share of the way from the pretrained to the trained weights; 0 is untrained.
        k, strength: of the anchors; 0 and 0.0 without.
        known: score where the anchors know the held-out concepts by other titles of theirs.
        unknown: score where the anchors know nothing of them; the same without anchors.
    """

    alpha: float
    k: int
    strength: float
    known: ProbeScore
    unknown: ProbeScore

    def passes(self, before: ProbeScore) -> bool:
        """Whether no pair falls below the pretrained model, known to the anchors or not."""
        worst = max(self.known.worst_loss(before), self.unknown.worst_loss(before))
        return worst <= TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "alpha": self.alpha,
            "k": self.k,
            "strength": self.strength,
            "known": self.known.as_dict(),
            "unknown": self.unknown.as_dict(),
        }


def best(candidates: Sequence[Candidate], before: ProbeScore) -> Candidate | None:
    """The best mean over all pairs among those that pass, None if none does."""
    passing = [candidate for candidate in candidates if candidate.passes(before)]
    return max(passing, key=lambda candidate: candidate.known.mean, default=None)


def weights_candidates(
    network: SentenceTransformer,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    probe: HeldOutProbe,
    embed: Embed,
) -> list[Candidate]:
    """Score the weights between the pretrained and the trained ones."""
    found = []
    for alpha in ALPHAS:
        interpolate(network, before, after, alpha)
        score = probe.score(embed)
        found.append(Candidate(alpha, 0, 0.0, score, score))
    return found


def anchor_candidates(
    alpha: float,
    titles: TrainingTitles,
    held_out: frozenset[str],
    probe: HeldOutProbe,
    embed: Embed,
) -> list[Candidate]:
    """Score anchors behind a network, for several numbers of neighbours and strengths."""
    texts = list(dict.fromkeys([*titles.texts, *probe.texts]))
    vectors = embed(texts)
    row = {text: place for place, text in enumerate(texts)}
    others = ~np.array([c in held_out for c in titles.concepts])[titles.concept_of]
    unknown = mean_vectors(vectors, titles, np.flatnonzero(others))
    known = mean_vectors(vectors, titles, np.flatnonzero(others | probe.told))

    def score(anchors: Tensor, k: int, strength: float) -> ProbeScore:
        module = ConceptAnchors(anchors, k=k, strength=strength)

        def pulled(texts: Sequence[str]) -> Vectors:
            x = torch.from_numpy(vectors[[row[text] for text in texts]])
            with torch.inference_mode():
                out: Tensor = module({"sentence_embedding": x})["sentence_embedding"]
            return out.numpy()

        return probe.score(pulled)

    return [
        Candidate(alpha, k, g, score(known, k, g), score(unknown, k, g))
        for k, g in product(NEAREST, STRENGTHS)
    ]


@torch.no_grad()
def interpolate(
    network: SentenceTransformer,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    alpha: float,
) -> None:
    """Set the weights to ``before + alpha * (after - before)``."""
    weights = dict(network.named_parameters())
    for name, trained in after.items():
        weights[name].copy_(torch.lerp(before[name], trained, alpha))


def mean_vectors(vectors: Vectors, titles: TrainingTitles, rows: Sequence[int] | Any) -> Tensor:
    """(concepts, dim) mean vectors of those concepts that have a title among ``rows``.

    Args:
        vectors: (t, dim) of ``titles.texts``, rows of unit length.
        titles: what they are.
        rows: of the titles to count.
    """
    total = np.zeros((len(titles.concepts), vectors.shape[1]), np.float32)
    np.add.at(total, titles.concept_of[rows], vectors[titles.text_of[rows]])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return torch.from_numpy((total / np.maximum(length, 1e-9))[length[:, 0] > 0])
