"""Embedding models and their variants. Importing this package does not import torch."""

from jobsearch.models.catalog import ModelEntry, find_model, known_models, load_encoder, short_name
from jobsearch.models.encoder import DocumentEncoder, Encoder, QueryEncoder, TitleEncoder

__all__ = [
    "DocumentEncoder",
    "Encoder",
    "ModelEntry",
    "QueryEncoder",
    "TitleEncoder",
    "find_model",
    "known_models",
    "load_encoder",
    "short_name",
]
