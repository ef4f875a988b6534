"""The direction of dependencies: docs/architecture.md draws the arrows, the source code obeys."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DRAWING = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = sorted(p for top in ("jobsearch", "ingest", "eval") for p in (ROOT / top).rglob("*.py"))

VENDORS = {
    "qdrant_client": "store",
    "qdrant_edge": "store",
    "torch": "models",
    "sentence_transformers": "models",
    "sentencepiece": "models",
}
TOOLS = {"cache", "data", "doctor", "models", "plan", "run_files"}


def drawn_arrows() -> dict[str, set[str]]:
    """Layer -> layers that it may import, as the drawing has it."""
    [block] = [part for part in DRAWING.split("```") if part.startswith("arrows\n")]
    lines = [line.split(":") for line in block.splitlines()[1:]]
    return {layer: {layer, *(set(names.split()) - {"-"})} for layer, names in lines}


ARROWS = drawn_arrows()


def layer(module: str) -> str:
    top, _, rest = module.partition(".")
    if top in ("ingest", "eval"):
        return top
    part, _, below = rest.partition(".")
    if part == "cli":
        return "tools" if below in TOOLS else "commands"
    return part if part in ARROWS else "vocabulary"


def nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from nodes_that_run(node)


def imports(path: Path) -> set[str]:
    found = set()
    for node in nodes_that_run(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module)
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_follow_the_arrows(path: Path) -> None:
    own = layer(name_of(path))
    for imported in imports(path):
        top = imported.split(".")[0]
        if top in VENDORS:
            assert own == VENDORS[top], f"{name_of(path)} imports {imported}"
        if top in ("jobsearch", "ingest", "eval"):
            # Commands are put together in the package jobsearch.cli.
            allowed = ARROWS[own] | ({"tools"} if own == "commands" else set())
            assert layer(imported) in allowed, f"{name_of(path)} imports {imported}"


def test_every_layer_has_modules() -> None:
    layers = {layer(name_of(path)) for path in MODULES}
    assert layers == set(ARROWS)


def test_a_wrong_arrow_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from eval.run import evaluate\n"
        "def f():\n    from ingest.build import Builder\n"
    )
    assert imports(module) == {"typing", "ingest.build"}
    assert "ingest" not in ARROWS["search"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_drawing_names_every_module(path: Path) -> None:
    if path.name != "__init__.py":
        assert path.stem in DRAWING, f"{name_of(path)} is not in docs/architecture.md"


def test_no_cycles() -> None:
    names = {name_of(path).removesuffix(".__init__"): path for path in MODULES}
    # Packages only collect names, and import lazily where that would close a circle.
    graph = {
        name: {i for i in imports(path) if i in names and names[i].name != "__init__.py"}
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above, name])
        if name not in done:
            for imported in graph[name]:
                visit(imported, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def loaded_after(code: str) -> str:
    """The heavy libraries that are imported when ``code`` has run."""
    heavy = ["torch", "sentence_transformers", "pandas", "numpy", "qdrant_client", "qdrant_edge"]
    script = f"import sys; {code}; print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stderr.strip()


def test_help_needs_no_heavy_library() -> None:
    code = "from jobsearch.cli import main; main(['--help'], standalone_mode=False)"
    assert loaded_after(code) == "[]"


def test_importing_the_package_is_cheap() -> None:
    assert loaded_after("import jobsearch; jobsearch.open") == "[]"
