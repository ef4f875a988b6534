"""The token sums of all titles, computed once: what the head of ``builtin`` is trained on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from jobsearch.models.use import UseTokens

_BATCH = 256


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
