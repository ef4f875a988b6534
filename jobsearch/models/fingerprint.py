"""Identifies a loaded network by everything that determines its vectors."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from jobsearch.types import EncoderInfo, Variant

if TYPE_CHECKING:
    from jobsearch.models.encoder import Network


def describe_network(
    network: "Network", model: str, variant: Variant, model_id: str
) -> EncoderInfo:
    """Describe a loaded network as an :class:`jobsearch.types.EncoderInfo`.

    Args:
        network: the loaded network.
        model: short name of the model.
        variant: pretrained or finetuned.
        model_id: where the model came from: a Hugging Face id, a directory's name, or a package
            and its version.
    """
    card = getattr(network, "model_card_data", None)
    return EncoderInfo(
        model=model,
        variant=variant,
        model_id=model_id,
        model_revision=getattr(card, "base_model_revision", None) or "",
        weights_sha256=_weights_sha256(network),
        tokenizer_sha256=_tokenizer_sha256(network),
        dim=network.get_embedding_dimension() or 0,
        pooling=_pooling(network),
        query_prompt=_prompt(network, "query"),
        document_prompt=_prompt(network, "document", "passage", "corpus"),
    )


def _prompt(network: "Network", *names: str) -> str:
    """The prompt that ``encode_query`` or ``encode_document`` puts before each text."""
    name = next((n for n in names if n in network.prompts), network.default_prompt_name)
    return network.prompts.get(name or "") or ""


def _weights_sha256(network: "Network") -> str:
    """SHA-256 over the names, shapes and bytes of all tensors, and the settings of all modules.

    It does not depend on the file format of the weights.
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
    as_json = json.dumps([network.max_seq_length, settings], sort_keys=True, default=str)
    digest.update(as_json.encode())
    return digest.hexdigest()


def _tokenizer_sha256(network: "Network") -> str:
    """SHA-256 over the tokenizer's definition, without the padding and truncation of a batch."""
    first: Any = network[0]
    if hasattr(first, "pieces"):
        definition = first.pieces.serialized_model_proto()
    elif hasattr(first.tokenizer, "backend_tokenizer"):
        settings = json.loads(first.tokenizer.backend_tokenizer.to_str())
        definition = json.dumps({**settings, "padding": None, "truncation": None}).encode()
    else:
        definition = repr(sorted(first.tokenizer.get_vocab().items())).encode()
    return hashlib.sha256(definition).hexdigest()


def _pooling(network: "Network") -> str:
    """The pooling mode; for a network without pooling, the names of its module classes."""
    modules: list[Any] = list(network)
    for module in modules:
        if hasattr(module, "pooling_mode"):
            return str(module.pooling_mode)
    return "+".join(type(module).__name__ for module in modules)
