"""Models and their variants. Importing this package does not import torch."""

from jobsearch.models.encoder import Encoder, TitleEncoder
from jobsearch.models.registry import ModelEntry, find_model, known_models, load_encoder, short_name

__all__ = [
    "Encoder",
    "ModelEntry",
    "TitleEncoder",
    "find_model",
    "known_models",
    "load_encoder",
    "short_name",
]
