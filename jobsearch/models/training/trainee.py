"""What of a model is trained, and the network that the trainer runs for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from jobsearch.errors import InvalidInput
from jobsearch.models.builtin import UseHead, UseTokens
from jobsearch.models.modules import Normalize, OwnNetwork
from jobsearch.models.training.pairs import Recipe

_BATCH = 256
_ADAPTER_RANK, _ADAPTER_ALPHA = 16, 32


@dataclass(frozen=True, slots=True)
class Trainee:
    """A network in training.

    Args:
        network: what the trainer runs.
        finish: gives the whole network with the trained weights in it, after training.
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
        recipe: says what is trained.
        texts: every text that training and its checks will ask for.
        advance: told of each text whose features are computed, for a progress bar.

    Raises:
        InvalidInput: the model has no such part.
    """
    if isinstance(network, OwnNetwork):
        network = network.as_sentence_transformer()
    if recipe.gradient_checkpointing and not hasattr(network[0], "auto_model"):
        raise InvalidInput(
            "gradient checkpointing needs a transformer, which builtin is not: leave it off"
        )
    if recipe.part == "head":
        return _head(network, recipe, texts, advance)
    if recipe.part == "adapter":
        return _adapter(network)
    network.requires_grad_(True)
    return Trainee(network, lambda: network)


@torch.no_grad()
def round_to_half(network: SentenceTransformer) -> None:
    """Round the weights of the head to half precision, in which it is stored."""
    for module in network:
        if isinstance(module, UseHead):
            for weight in module.parameters():
                weight.copy_(weight.half().float())


class TokenSums(InputModule):
    """Stands in for :class:`UseTokens` while the head is trained: looks its outputs up.

    The network below the head does not change, so its output for a title never does.

    Args:
        tokens: computes the sums.
        texts: every text that will be asked for.
        advance: told the number of texts after each batch.
    """

    save_in_root = False

    def __init__(
        self, tokens: UseTokens, texts: Sequence[str], advance: Callable[[int], Any] = int
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._row = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        known = list(self._row)
        self._sums = torch.empty(len(known), 1280)
        self._counts = torch.empty(len(known))
        order = sorted(range(len(known)), key=lambda row: len(known[row]))
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                found = tokens(tokens.preprocess([known[row] for row in rows]))
                self._sums[rows], self._counts[rows] = found["token_sum"], found["token_count"]
                advance(len(rows))

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """``input_ids`` (batch, 1) int64: numbers of texts that were given before."""
        rows = np.fromiter((self._row[text] for text in inputs), np.int64)
        return {"input_ids": torch.from_numpy(rows).unsqueeze(1)}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add ``token_sum`` (batch, 1280) and ``token_count`` (batch,) to the features."""
        rows = features["input_ids"].squeeze(1)
        return {**features, "token_sum": self._sums[rows], "token_count": self._counts[rows]}

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Nothing: the sums can be computed again."""


def _head(
    network: SentenceTransformer,
    recipe: Recipe,
    texts: Sequence[str],
    advance: Callable[[int], Any],
) -> Trainee:
    tokens, head, *rest = list(network)
    if not isinstance(tokens, UseTokens) or not isinstance(head, UseHead):
        raise InvalidInput("only builtin has a head to train: use --train all or --train adapter")
    network.requires_grad_(False)
    head.requires_grad_(True)
    head.dropout.p = recipe.dropout
    short = SentenceTransformer(modules=[TokenSums(tokens, texts, advance), head, Normalize()])

    def finish() -> SentenceTransformer:
        head.dropout.p = 0.0
        return SentenceTransformer(modules=[tokens, head, *rest])

    return Trainee(short, finish)


def _adapter(network: SentenceTransformer) -> Trainee:
    transformer: Any = network[0]
    if not hasattr(transformer, "auto_model"):
        raise InvalidInput("adapters need a transformer, which builtin is not: use --train head")
    from peft import LoraConfig, get_peft_model

    network.requires_grad_(False)
    config = LoraConfig(r=_ADAPTER_RANK, lora_alpha=_ADAPTER_ALPHA, lora_dropout=0.05)
    adapted = get_peft_model(transformer.auto_model, config)
    transformer.auto_model = adapted

    def finish() -> SentenceTransformer:
        transformer.auto_model = adapted.merge_and_unload()
        return network

    return Trainee(network, finish)
