"""The direction of dependencies, checked in the source code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(p for top in ("jobsearch", "ingest", "eval") for p in (ROOT / top).rglob("*.py"))

#: Each layer may import the layers before it.
LAYERS = ["vocabulary", "models", "store", "search", "ingest", "eval", "cli"]
SIBLINGS = {("store", "models")}  # neither imports the other
VENDORS = {
    "qdrant_client": "store",
    "qdrant_edge": "store",
    "torch": "models",
    "sentence_transformers": "models",
    "sentencepiece": "models",
}


def layer(module: str) -> str:
    top, _, rest = module.partition(".")
    if top in ("ingest", "eval"):
        return top
    part = rest.split(".")[0]
    return part if part in LAYERS else "vocabulary"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    own = layer(name_of(path))
    for imported in imports(path):
        top = imported.split(".")[0]
        if top in VENDORS:
            assert own == VENDORS[top], f"{name_of(path)} imports {imported}"
        if top in ("jobsearch", "ingest", "eval"):
            other = layer(imported)
            assert LAYERS.index(other) <= LAYERS.index(own), f"{name_of(path)} imports {imported}"
            assert (own, other) not in SIBLINGS, f"{name_of(path)} imports {imported}"


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 30


def test_help_needs_no_heavy_library() -> None:
    heavy = ["torch", "sentence_transformers", "pandas", "numpy", "qdrant_client", "qdrant_edge"]
    code = (
        "import sys; from jobsearch.cli import main; main(['--help'], standalone_mode=False); "
        f"print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "ingest" in done.stdout
