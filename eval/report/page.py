"""Renders tables and charts as an HTML page."""

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
# Number of queries with the largest gains, and with the largest losses, per comparison.
_SHOWN_QUERIES = 5
_MAX_FIGURE_BYTES = 20 * 1024**2


def write_report(
    cells: Sequence[Cell],
    path: Path,
    *,
    figure: Path | None = None,
    trained_on: Collection[str] = (),
) -> None:
    """Write the report.

    Args:
        cells: the results.
        path: the HTML file, written atomically; an earlier file is replaced.
        figure: SVG or PNG file to include, such as one written by ``jobsearch models plot``.
        trained_on: titles of training data, as :func:`ingest.training_titles.titles_in` returns
            them; if not empty, queries among them get a table.

    Raises:
        BenchmarkError: the report cannot be written, or the figure cannot be read.
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
    """Comparisons of every two systems that are not baselines."""
    by_system: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.model not in BASELINES:
            by_system.setdefault(cell.system, []).append(cell)
    # Pretrained variants come first: the others are compared with them.
    systems = sorted(by_system.items(), key=lambda item: item[1][0].variant != "pretrained")
    comparisons: list[dict[str, Any]] = []
    for (first, first_cells), (second, second_cells) in combinations(systems, 2):
        try:
            pairs = paired_cells(first_cells, second_cells)
        except BenchmarkError as error:
            comparisons.append({"first": first, "second": second, "problem": str(error)})
            continue
        differences = compare(pairs, METRICS)
        gained, lost = changes(pairs, METRICS[0], _SHOWN_QUERIES)
        shown = comparison_tables(first, second, differences, gained, lost)
        comparisons.append(
            {
                "first": first,
                "second": second,
                "problem": "",
                "tables": shown[: len(METRICS)],
                "queries": shown[len(METRICS) :],
                "scatters": scatters(pairs, METRICS[0]),
            }
        )
    return comparisons


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
    """Name of each system, and everything that its rankings depend on."""
    facts_of: dict[str, dict[str, Any]] = {}
    for cell in cells:
        facts = dict(cell.provenance.get("system", {}))
        facts |= {
            f"version of {name}": value
            for name, value in cell.provenance.get("versions", {}).items()
        }
        facts["Python"] = cell.provenance.get("python", "")
        facts["bootstrap"] = cell.provenance.get("bootstrap", "")
        facts_of.setdefault(cell.system, facts)
    return list(facts_of.items())


def _data_uri(figure: Path) -> str:
    kinds = {".svg": "image/svg+xml", ".png": "image/png"}
    kind = kinds.get(figure.suffix.lower())
    try:
        if not kind or figure.stat().st_size > _MAX_FIGURE_BYTES:
            raise BenchmarkError(
                f"{figure} is not an SVG or PNG file of at most 20 MiB: give such a `figure`"
            )
        return f"data:{kind};base64,{base64.b64encode(figure.read_bytes()).decode()}"
    except OSError as error:
        raise BenchmarkError(
            f"{figure} cannot be read ({error.strerror or error}): draw it with "
            "`jobsearch models plot`"
        ) from error
