"""Cells on disk: ``<folder>/<system>/<benchmark>-<split>_<pair>.json``, one file each.

A cell is written when it is complete and never in part, so an evaluation that was broken off goes
on with what is missing, and a cell whose inputs have changed is measured again.
"""

import json
from pathlib import Path
from typing import Any

from eval.benchmarks import Benchmark
from eval.cells import Cell
from eval.runner import cell_key
from eval.systems import System
from eval.trec import run_tag
from jobsearch.errors import BenchmarkError
from jobsearch.store.names import slug
from jobsearch.whole_file import whole_file

#: Of the files; raised when their form changes.
FORMAT = 2


def cell_path(folder: Path, benchmark: str, split: str, pair: str, tag: str) -> Path:
    """Where a cell is kept."""
    return folder / tag / f"{slug(f'{benchmark} {split}')}_{pair}.json"


def save_cell(folder: Path, cell: Cell) -> Path:
    """Write a cell with all its queries, in the place of an earlier one.

    Raises:
        BenchmarkError: it cannot be written, or another cell has the same file name.
    """
    tag = run_tag(cell.model, cell.variant)
    path = cell_path(folder, cell.benchmark, cell.split, cell.pair, tag)
    there = _read_if_whole(path)
    if there and _names(there) != _names(cell):
        raise BenchmarkError(
            f"{path} holds {' '.join(_names(there))}, and {' '.join(_names(cell))} would have the "
            "same file name: choose another folder for results"
        )
    data = {"format": FORMAT, "cell": cell.as_dict(per_query=True)}
    with whole_file(path, "choose another folder for results", BenchmarkError) as partial:
        partial.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def find_cell(folder: Path, benchmark: Benchmark, system: System) -> Cell | None:
    """The cell of an earlier evaluation, if it is there and nothing it depends on has changed."""
    tag = run_tag(system.model, system.variant)
    path = cell_path(folder, benchmark.name, benchmark.split, benchmark.pair, tag)
    cell = _read_if_whole(path)
    return cell if cell and cell.key == cell_key(benchmark, system) else None


def _read_if_whole(path: Path) -> Cell | None:
    """What is there, unless it was written by another version or is damaged: to be replaced."""
    try:
        return read_cell(path) if path.exists() else None
    except BenchmarkError:
        return None


def _names(cell: Cell) -> tuple[str, ...]:
    return cell.system, cell.benchmark, cell.split


def read_cell(path: Path) -> Cell:
    """Read one file.

    Raises:
        BenchmarkError: it cannot be read or is something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise BenchmarkError(
                f"{path} has format {data['format']!r}, this version reads {FORMAT}: "
                "evaluate again into another folder"
            )
        return Cell.from_dict(data["cell"])
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror or error}): give a folder that "
            "`jobsearch eval … --results` has written"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BenchmarkError(
            f"{path} is damaged, or no result of `jobsearch eval … --results`: give a folder of "
            "results, or evaluate again into another one"
        ) from error


def read_cells(folder: Path) -> list[Cell]:
    """All cells of a folder of results, or of one system's folder in it, sorted by file name.

    Raises:
        BenchmarkError: there are none, one cannot be read, or those of a system were not measured
            with the same weights.
    """
    paths = sorted(folder.glob("*.json")) or sorted(folder.glob("*/*.json"))
    if not paths:
        raise BenchmarkError(
            f"{folder} holds no results: write some with "
            f"`jobsearch eval talentclef PATH --results {folder}`"
        )
    cells = [read_cell(path) for path in paths]
    described: dict[str, Any] = {}
    for path, cell in zip(paths, cells, strict=True):
        own = cell.provenance.get("system")
        if described.setdefault(cell.system, own) != own:
            raise BenchmarkError(
                f"{path} and others of {cell.system} were measured with different weights or "
                "settings, which do not make one table: evaluate all again"
            )
    return cells
