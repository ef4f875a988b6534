"""Titles in, unit vectors out."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from jobsearch.text import normalize_title
from jobsearch.types import EncoderInfo, Variant

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = npt.NDArray[np.float32]

BATCH_SIZE = 64
_CHUNK = 256


class TitleEncoder(Protocol):
    """What ingest, search and evaluation need of an encoder."""

    @property
    def info(self) -> EncoderInfo:
        """What decides the vectors."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
        ...


class Encoder:
    """A SentenceTransformer with its own prompts and pooling, over normalised titles."""

    def __init__(self, network: "SentenceTransformer", info: EncoderInfo) -> None:
        self.network = network
        self.info = info

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are stored: (n, dim) float32, rows of unit length, in order."""
        return self._encode(self.network.encode_document, texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Embed titles that are searched for: (n, dim) float32, rows of unit length, in order."""
        return self._encode(self.network.encode_query, texts)

    def _encode(self, encode: Any, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.info.dim), dtype=np.float32)
        normalized = [normalize_title(text) for text in texts]
        call = partial(
            encode, batch_size=BATCH_SIZE, normalize_embeddings=True, show_progress_bar=False
        )
        if len(normalized) > _CHUNK and self._runs_on_threads:
            vectors = _encode_on_threads(call, normalized, self.info.dim)
        else:
            vectors = call(normalized)
        return np.ascontiguousarray(vectors, dtype=np.float32)

    @property
    def _runs_on_threads(self) -> bool:
        first: Any = self.network[0]
        return getattr(first, "thread_safe", False) and self.network.device.type == "cpu"


def _encode_on_threads(call: Any, texts: list[str], dim: int) -> Vectors:
    """Encode chunks side by side, each on one core.

    The matrices of a batch of titles are too small to be shared by cores: this takes a sixth less
    processor time, and does not stall when another thread needs a core.
    """
    import torch

    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
    vectors = np.empty((len(texts), dim), dtype=np.float32)
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, "encode", torch.set_num_threads, (1,)) as pool:
            encoded = pool.map(lambda chunk: call([texts[place] for place in chunk]), chunks)
            for chunk, rows in zip(chunks, encoded, strict=True):
                vectors[chunk] = rows
    finally:
        # The setting of a thread becomes the default of those that come after it.
        torch.set_num_threads(threads)
    return vectors


def describe_network(
    network: "SentenceTransformer", model: str, variant: Variant, model_id: str
) -> EncoderInfo:
    """Everything about a loaded network that decides its vectors."""
    return EncoderInfo(
        model=model,
        variant=variant,
        model_id=model_id,
        model_revision=network.model_card_data.base_model_revision or "",
        weights_sha256=_weights_sha256(network),
        tokenizer_sha256=_tokenizer_sha256(network),
        dim=network.get_embedding_dimension() or 0,
        pooling=_pooling(network),
        query_prompt=_prompt(network, "query"),
        document_prompt=_prompt(network, "document", "passage", "corpus"),
    )


def _prompt(network: "SentenceTransformer", *names: str) -> str:
    """The prompt that the network's own ``encode_query`` or ``encode_document`` would use."""
    name = next((n for n in names if n in network.prompts), network.default_prompt_name)
    return network.prompts.get(name or "") or ""


def _weights_sha256(network: "SentenceTransformer") -> str:
    """Over names, shapes and bytes of all tensors, and the settings of all modules.

    The same however they were stored.
    """
    import torch

    digest = hashlib.sha256()
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    modules: list[Any] = list(network)
    settings = [module.get_config_dict() for module in modules if hasattr(module, "config_keys")]
    described = json.dumps([network.max_seq_length, settings], sort_keys=True, default=str)
    digest.update(described.encode())
    return digest.hexdigest()


def _tokenizer_sha256(network: "SentenceTransformer") -> str:
    """Over the tokenizer's whole definition."""
    first: Any = network[0]
    if hasattr(first, "pieces"):
        definition = first.pieces.serialized_model_proto()
    elif hasattr(first.tokenizer, "backend_tokenizer"):
        definition = first.tokenizer.backend_tokenizer.to_str().encode()
    else:
        definition = repr(sorted(first.tokenizer.get_vocab().items())).encode()
    return hashlib.sha256(definition).hexdigest()


def _pooling(network: "SentenceTransformer") -> str:
    modules: list[Any] = list(network)
    for module in modules:
        if hasattr(module, "pooling_mode"):
            return str(module.pooling_mode)
    return "+".join(type(module).__name__ for module in modules)
