"""Chooses the weights and anchors of a training that are published."""

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

#: Positions between the pretrained weights (0) and the trained ones (1) that are tried (Wortsman et
#: al. 2022, "Robust fine-tuning of zero-shot models", arXiv:2109.01903).
ALPHAS = (0.25, 0.5, 0.75, 1.0)
#: Values of ``k`` and ``strength`` of :class:`ConceptAnchors` that are tried.
NEAREST, STRENGTHS = (3, 5, 10), (0.2, 0.35, 0.5, 0.75)
#: How far the MRR or MAP of a pair of languages may fall below the pretrained model.
TOLERANCE = 0.005


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of weights and anchors, and its scores on the held-out concepts.

    Args:
        alpha: position between the pretrained weights (0) and the trained ones (1).
        k, strength: parameters of the anchors; 0 and 0.0 without anchors.
        known: score with anchors that are also made from other titles of the held-out concepts.
        unknown: score with anchors of the other concepts only. Without anchors, equal to ``known``.
    """

    alpha: float
    k: int
    strength: float
    known: ProbeScore
    unknown: ProbeScore

    def passes(self, before: ProbeScore) -> bool:
        """Whether no score is lower than ``before`` by more than the tolerance."""
        return all(score.worst_loss(before) <= TOLERANCE for score in (self.known, self.unknown))

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
    """The passing candidate with the highest mean score; None if no candidate passes."""
    passing = [candidate for candidate in candidates if candidate.passes(before)]
    return max(passing, key=lambda candidate: candidate.known.mean, default=None)


def weights_candidates(
    network: SentenceTransformer,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    probe: HeldOutProbe,
    embed: Embed,
) -> list[Candidate]:
    """Score weights between the pretrained and the trained ones; changes the network's weights."""
    candidates = []
    for alpha in ALPHAS:
        interpolate(network, before, after, alpha)
        score = probe.score(embed)
        candidates.append(Candidate(alpha, 0, 0.0, score, score))
    return candidates


def anchor_candidates(
    alpha: float,
    titles: TrainingTitles,
    held_out: frozenset[str],
    probe: HeldOutProbe,
    embed: Embed,
) -> list[Candidate]:
    """Score anchors after a network, for several values of ``k`` and ``strength``."""
    texts = list(dict.fromkeys([*titles.texts, *probe.texts]))
    vectors = embed(texts)
    row_of = {text: row for row, text in enumerate(texts)}
    trained_on = ~np.array([c in held_out for c in titles.concepts])[titles.concept_of]
    unknown = mean_vectors(vectors, titles, np.flatnonzero(trained_on))
    known = mean_vectors(vectors, titles, np.flatnonzero(trained_on | probe.anchor_titles))

    def score(anchors: Tensor, k: int, strength: float) -> ProbeScore:
        module = ConceptAnchors(anchors, k=k, strength=strength)

        def embed_with_anchors(texts: Sequence[str]) -> Vectors:
            x = torch.from_numpy(vectors[[row_of[text] for text in texts]])
            with torch.inference_mode():
                out: Tensor = module({"sentence_embedding": x})["sentence_embedding"]
            return out.numpy()

        return probe.score(embed_with_anchors)

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
    """Set the weights of the network to ``before + alpha * (after - before)``."""
    weights = dict(network.named_parameters())
    for name, trained in after.items():
        weights[name].copy_(torch.lerp(before[name], trained, alpha))


def mean_vectors(vectors: Vectors, titles: TrainingTitles, rows: Sequence[int] | Any) -> Tensor:
    """(concepts, dim) mean vectors of the concepts with a title in ``rows``, of unit length.

    Args:
        vectors: (t, dim) embeddings of ``titles.texts``, rows of unit length.
        titles: all titles.
        rows: the titles to average, as rows of ``titles``.
    """
    total = np.zeros((len(titles.concepts), vectors.shape[1]), np.float32)
    np.add.at(total, titles.concept_of[rows], vectors[titles.text_of[rows]])
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return torch.from_numpy((total / np.maximum(length, 1e-9))[length[:, 0] > 0])
