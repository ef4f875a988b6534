"""Prepares a model for training: the trained part, and the network that the trainer runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from jobsearch.errors import InvalidInput
from jobsearch.models.builtin import SUM_DIM, UseHead, UseTokens
from jobsearch.models.modules import Normalize, OwnNetwork
from jobsearch.models.training.pairs import Recipe

# Number of texts in one pass through the layers below the head.
_BATCH_SIZE = 256
_ADAPTER_RANK, _ADAPTER_ALPHA = 16, 32


@dataclass(frozen=True, slots=True)
class Trainee:
    """A network in training.

    Args:
        network: the network that the trainer runs.
        finish: returns the complete network with the trained weights, after training.
    """

    network: SentenceTransformer
    finish: Callable[[], SentenceTransformer]


def trainee_for(
    network: SentenceTransformer | OwnNetwork,
    recipe: Recipe,
    texts: Sequence[str],
    advance: Callable[[int], Any],
) -> Trainee:
    """Prepare a pretrained network for a recipe.

    Args:
        network: the pretrained model; it is changed.
        recipe: names the trained part.
        texts: all texts that training and its tests embed.
        advance: called with the number of texts after each batch of features, for a progress bar.

    Raises:
        InvalidInput: the model does not have the trained part, or does not support the recipe.
    """
    if isinstance(network, OwnNetwork):
        network = network.as_sentence_transformer()
    if recipe.gradient_checkpointing and not hasattr(network[0], "auto_model"):
        raise InvalidInput(
            "gradient checkpointing works with transformers only, not with builtin: leave "
            "`gradient_checkpointing` out"
        )
    if recipe.part == "head":
        return _head(network, recipe, texts, advance)
    if recipe.part == "adapter":
        return _adapter(network)
    network.requires_grad_(True)
    return Trainee(network, lambda: network)


@torch.no_grad()
def round_to_half(network: SentenceTransformer) -> None:
    """Round the weights of the head to half precision, in which they are stored."""
    for module in network:
        if isinstance(module, UseHead):
            for weight in module.parameters():
                weight.copy_(weight.half().float())


class TokenSums(InputModule):
    """Replaces :class:`UseTokens` while the head is trained: looks up precomputed token sums.

    The layers below the head do not change, so each text needs one pass through them.

    Args:
        tokens: computes the token sums.
        texts: all texts that will be embedded.
        advance: called with the number of texts after each batch.
    """

    save_in_root = False

    def __init__(
        self, tokens: UseTokens, texts: Sequence[str], advance: Callable[[int], Any]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._row = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = list(self._row)
        self._sums = torch.empty(len(distinct), SUM_DIM)
        self._counts = torch.empty(len(distinct))
        order = sorted(range(len(distinct)), key=lambda row: len(distinct[row]))
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH_SIZE):
                rows = order[start : start + _BATCH_SIZE]
                features = tokens(tokens.preprocess([distinct[row] for row in rows]))
                self._sums[rows] = features["token_sum"]
                self._counts[rows] = features["token_count"]
                advance(len(rows))

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """``input_ids`` (batch, 1) int64: the rows of the texts among the precomputed ones."""
        rows = np.fromiter((self._row[text] for text in inputs), np.int64)
        return {"input_ids": torch.from_numpy(rows).unsqueeze(1)}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add ``token_sum`` (batch, 1280) and ``token_count`` (batch,) to the features."""
        rows = features["input_ids"].squeeze(1)
        return {**features, "token_sum": self._sums[rows], "token_count": self._counts[rows]}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write nothing: the sums can be computed again."""


def _head(
    network: SentenceTransformer,
    recipe: Recipe,
    texts: Sequence[str],
    advance: Callable[[int], Any],
) -> Trainee:
    tokens, head, *rest = list(network)
    if not isinstance(tokens, UseTokens) or not isinstance(head, UseHead):
        raise InvalidInput(
            'only builtin has a head to train: use `train="all"` or `train="adapter"`'
        )
    network.requires_grad_(False)
    head.requires_grad_(True)
    head.dropout.p = recipe.dropout
    head_only = SentenceTransformer(modules=[TokenSums(tokens, texts, advance), head, Normalize()])

    def finish() -> SentenceTransformer:
        head.dropout.p = 0.0
        return SentenceTransformer(modules=[tokens, head, *rest])

    return Trainee(head_only, finish)


def _adapter(network: SentenceTransformer) -> Trainee:
    transformer: Any = network[0]
    if not hasattr(transformer, "auto_model"):
        raise InvalidInput(
            'adapters work with transformers only, not with builtin: use `train="head"`'
        )
    from peft import LoraConfig, get_peft_model

    network.requires_grad_(False)
    config = LoraConfig(r=_ADAPTER_RANK, lora_alpha=_ADAPTER_ALPHA, lora_dropout=0.05)
    adapted = get_peft_model(transformer.auto_model, config)
    transformer.auto_model = adapted

    def finish() -> SentenceTransformer:
        transformer.auto_model = adapted.merge_and_unload()
        return network

    return Trainee(network, finish)
