"""Concept anchors: every vector is pulled towards the concepts it lies next to."""

import math
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from jobsearch.models.own import OwnModule


class ConceptAnchors(OwnModule):
    """Adds to a vector the softmax-weighted mean of its ``k`` nearest anchors.

    An anchor is the mean embedding of the titles of one concept over all languages, of unit length.
    A unit vector x becomes ``x + strength * sum_i softmax(scale * cos(x, a_i)) a_i`` over its k
    nearest anchors a_i, and is normalised again. Queries and documents pass alike, so two titles
    that lie near one concept come nearer to one another, in whatever languages they are. One small
    matrix product a batch; the store needs no change.

    Reads and writes ``sentence_embedding`` (batch, dim), rows of unit length.

    Args:
        anchors: (concepts, dim), rows of unit length; kept in half precision.
        k: number of nearest anchors.
        strength: their weight beside the vector itself; 0 changes nothing.
        scale: inverse temperature of their softmax.
    """

    config_keys = ("concepts", "dim", "k", "strength", "scale")
    anchors: Tensor

    def __init__(self, anchors: Tensor, *, k: int, strength: float, scale: float = 20.0) -> None:
        super().__init__()
        if type(k) is not int or k < 1 or not all(map(_is_number, (strength, scale))):
            raise ValueError(f"k is {k!r}, strength {strength!r}, scale {scale!r}")
        self.concepts, self.dim = anchors.shape
        self.k, self.strength, self.scale = k, strength, scale
        self.register_buffer("anchors", anchors.detach().to(torch.float16))

    def get_embedding_dimension(self) -> int:
        """Length of the vectors, in and out."""
        return self.dim

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Pull ``sentence_embedding`` (batch, dim) towards the anchors."""
        x = features["sentence_embedding"]
        anchors = self.anchors.to(x.dtype)
        cosines, nearest = (x @ anchors.T).topk(min(self.k, self.concepts), dim=1)
        weights = torch.softmax(self.scale * cosines, dim=1)
        pull = (weights.unsqueeze(1) @ anchors[nearest]).squeeze(1)
        features["sentence_embedding"] = functional.normalize(x + self.strength * pull)
        return features

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json`` and ``model.safetensors``, in half precision."""
        super().save(output_path)
        # A network may have been cast as a whole; the values were rounded before that.
        self.save_weights(output_path, {"anchors": self.anchors.to(torch.float16)})

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load what :meth:`save` wrote."""
        config = cls.load_config(model_name_or_path, subfolder)
        shape = config.pop("concepts"), config.pop("dim")
        module = cls(torch.zeros(shape), **config)
        module.load_weights(model_name_or_path, subfolder)
        return module


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
