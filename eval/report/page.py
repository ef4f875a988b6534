"""Puts tables and charts into the page."""

import base64
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from eval.diagnostics.plausibility import implausible
from eval.report.charts import bar_charts, colours_of, scatters
from eval.results import Cell
from eval.systems import BASELINES
from eval.tables.compare import changes, compare, paired_cells
from eval.tables.compare import tables as comparison_tables
from eval.tables.diagnostics import details
from eval.tables.leaderboard import tables
from eval.tables.render import Table
from jobsearch.errors import BenchmarkError
from jobsearch.files import whole_file

METRICS = ("MAP", "MRR")
# Queries that gained most, and that lost most, of each comparison.
_SHOWN_QUERIES = 5
_LARGEST_FIGURE = 20 * 1024**2


def write_report(
    cells: Sequence[Cell],
    path: Path,
    *,
    figure: Path | None = None,
    trained_on: Collection[str] = (),
) -> None:
    """Write the page.

    Args:
        cells: what was measured.
        path: of the HTML file; an earlier one is replaced when the new one is complete.
        figure: SVG or PNG file to show, as ``jobsearch models plot`` draws it.
        trained_on: titles as :func:`ingest.training_titles.titles_in` gives them: queries among
            them are shown apart.

    Raises:
        BenchmarkError: the page cannot be written, or the figure cannot be read.
    """
    page = _render(cells, _data_uri(figure) if figure else None, trained_on)
    with whole_file(path, "choose another file", BenchmarkError) as partial:
        partial.write_text(page, encoding="utf-8")


def _render(cells: Sequence[Cell], figure: str | None, trained_on: Collection[str]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        leaderboard=tables(cells, METRICS),
        details=details(cells, METRICS, trained_on),
        problems=implausible(cells),
        colours=colours_of(cells),
        bars=bar_charts(cells, METRICS),
        comparisons=_comparisons(cells),
        figure=figure,
        benchmarks=_benchmarks(cells),
        systems=_systems(cells),
        cells=cells,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _comparisons(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every two models, variants included, that were measured on the same data."""
    by_system: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.model not in BASELINES:
            by_system.setdefault(cell.system, []).append(cell)
    # "pretrained" is what the others are compared with.
    systems = sorted(by_system.items(), key=lambda item: item[1][0].variant != "pretrained")
    found: list[dict[str, Any]] = []
    for (first, mine), (second, theirs) in combinations(systems, 2):
        try:
            pairs = paired_cells(mine, theirs)
        except BenchmarkError as error:
            found.append({"first": first, "second": second, "problem": str(error)})
            continue
        differences = compare(pairs, METRICS)
        gained, lost = changes(pairs, METRICS[0], _SHOWN_QUERIES)
        shown = comparison_tables(first, second, differences, gained, lost)
        found.append(
            {
                "first": first,
                "second": second,
                "problem": "",
                "tables": shown[: len(METRICS)],
                "queries": shown[len(METRICS) :],
                "scatters": scatters(pairs, METRICS[0]),
            }
        )
    return found


def _benchmarks(cells: Sequence[Cell]) -> Table:
    rows = dict.fromkeys(
        (
            f"{cell.benchmark} {cell.split}",
            cell.pair,
            str(cell.queries),
            f"{cell.corpus:,}",
            f"{cell.relevant:,}",
            str(cell.provenance.get("benchmark_sha256", ""))[:16],
        )
        for cell in cells
    )
    headers = ("benchmark", "pair", "queries", "corpus", "relevant", "SHA-256 of the data")
    return Table("Benchmarks", headers, tuple(rows), words=2)


def _systems(cells: Sequence[Cell]) -> list[tuple[str, dict[str, Any]]]:
    """Each system's name, and everything that decides its rankings."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        facts = dict(cell.provenance.get("system", {}))
        facts |= {
            f"version of {name}": value
            for name, value in cell.provenance.get("versions", {}).items()
        }
        facts["Python"] = cell.provenance.get("python", "")
        facts["bootstrap"] = cell.provenance.get("bootstrap", "")
        found.setdefault(cell.system, facts)
    return list(found.items())


def _data_uri(figure: Path) -> str:
    kinds = {".svg": "image/svg+xml", ".png": "image/png"}
    kind = kinds.get(figure.suffix.lower())
    try:
        if not kind or figure.stat().st_size > _LARGEST_FIGURE:
            raise BenchmarkError(f"{figure} is no SVG or PNG file of less than 20 MB: give one")
        return f"data:{kind};base64,{base64.b64encode(figure.read_bytes()).decode()}"
    except OSError as error:
        raise BenchmarkError(
            f"{figure} cannot be read ({error.strerror or error}): draw it with "
            "`jobsearch models plot`"
        ) from error
