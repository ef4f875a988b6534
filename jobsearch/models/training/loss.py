"""The loss of the ``aligned`` recipe: in-batch negatives without false negatives."""

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn
from torch.nn import functional

from jobsearch.models.training.titles import TrainingTitles


class AlignedLoss(CachedLossMixin, nn.Module):
    """Multiple negatives ranking in both directions, with same-concept negatives masked.

    Multiple Negatives Ranking Loss (Henderson et al. 2017, arXiv:1705.00652) treats every other
    title of the batch as a wrong answer. Here the cross entropy runs over the rows and over the
    columns of ``scale * cosine``, and titles that share any concept with the row's title are left
    out of the denominator. A title of another concept in the same ISCO-08 unit group counts as a
    fraction ``graded`` of a positive: the targets of a row are 1 for its pair and ``graded`` for
    each title of the same unit group, divided by their sum.

    Args:
        model: the SentenceTransformer to train.
        titles: the titles that the labels of a batch refer to: ``labels`` is (batch, 2) int64, the
            rows of ``titles.texts`` of the two titles of each pair.
        scale: inverse temperature.
        graded: weight of a title of the same unit group.
        mini_batch_size: number of titles that pass through the network at once. Gradients are
            cached (Gao et al. 2021, arXiv:2101.06983), so memory does not limit the batch size.
    """

    def __init__(
        self,
        model: Any,
        titles: TrainingTitles,
        *,
        scale: float,
        graded: float,
        mini_batch_size: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.scale, self.graded, self.mini_batch_size = scale, graded, mini_batch_size
        self._titles = titles

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Loss of a batch: a scalar, natural logarithm; lower is better."""
        features = list(sentence_features)
        if len(labels) <= self.mini_batch_size:
            embeddings = [self.model(column)["sentence_embedding"] for column in features]
            return self.loss(embeddings[0], embeddings[1], labels)
        cached: Tensor = self.forward_cached(features, labels)
        return cached

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Loss over mini-batches of embeddings; see :class:`CachedLossMixin`."""
        assert labels is not None  # noqa: S101 # the trainer always passes them
        loss = self.loss(torch.cat(reps[0]), torch.cat(reps[1]), labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss

    def loss(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """Loss of the (batch, dim) embeddings of the first and the second titles of the pairs."""
        first, second = functional.normalize(first), functional.normalize(second)
        same, related = self.relations(labels)
        diagonal = torch.eye(len(labels), dtype=torch.bool)
        targets = (diagonal + self.graded * (related & ~same)).to(first.device)
        left_out = (same & ~diagonal).to(first.device)
        scores = (self.scale * first @ second.T).float().masked_fill(left_out, -1e4)
        rows = functional.cross_entropy(scores, targets / targets.sum(dim=1, keepdim=True))
        columns = functional.cross_entropy(scores.T, (targets / targets.sum(dim=0)).T)
        return (rows + columns) / 2

    def relations(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each first title shares a concept or a unit group with each second title.

        Returns:
            Two (batch, batch) bool tensors on the CPU: same concept, same unit group.
        """
        first, second = labels.cpu().numpy().T
        concepts, groups = self._titles.concepts_of_text, self._titles.groups_of_text
        same = (concepts[first] @ concepts[second].T).toarray() > 0
        related = (groups[first] @ groups[second].T).toarray() > 0
        return torch.from_numpy(same), torch.from_numpy(related)
