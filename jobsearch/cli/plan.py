"""``jobsearch plan``: what a number of titles takes."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jobsearch.cli.options import as_json
from jobsearch.cli.output import note, print_json, print_table
from jobsearch.sizing import (
    BUILTIN_DIM,
    BUILTIN_TITLES_PER_SECOND,
    Demand,
    parse_count,
    plan_for,
)
from jobsearch.types import QUANTIZATIONS, Quantization

if TYPE_CHECKING:
    from jobsearch.sizing import Plan

_DEFAULTS = Demand(titles=1)


@click.command()
@click.option("--titles", required=True, metavar="N", help="How many: 33606, 100k, 2.5M, 1B.")
@click.option(
    "--dim", default=_DEFAULTS.dim, show_default=True, metavar="N", help="Length of the vectors."
)
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default=_DEFAULTS.quantization,
    show_default=True,
    help="As of `ingest`; int8 and binary are reckoned with `--on-disk`.",
)
@click.option(
    "--replicas",
    default=_DEFAULTS.replicas,
    show_default=True,
    metavar="N",
    help="Copies of each title.",
)
@click.option(
    "--node-memory-gb",
    default=_DEFAULTS.node_memory_gb,
    show_default=True,
    metavar="GB",
    help="Memory of one Qdrant node.",
)
@click.option(
    "--titles-per-second",
    default=_DEFAULTS.titles_per_second,
    show_default=True,
    metavar="RATE",
    help="What one worker encodes; the default was measured with the built-in model on two cores.",
)
@click.option(
    "--workers",
    default=_DEFAULTS.workers,
    show_default=True,
    metavar="N",
    help="Machines or GPUs that encode at a time.",
)
@click.option(
    "--price-per-hour", type=float, metavar="PRICE", help="Of one worker; adds what encoding costs."
)
@as_json
def plan(
    titles: str,
    dim: int,
    quantization: Quantization,
    replicas: int,
    node_memory_gb: float,
    titles_per_second: float,
    workers: int,
    price_per_hour: float | None,
    json_: bool,
) -> None:
    """Work out memory, disk, nodes and hours for a number of titles on a Qdrant cluster."""
    demand = Demand(
        titles=parse_count(titles),
        dim=dim,
        quantization=quantization,
        replicas=replicas,
        node_memory_gb=node_memory_gb,
        titles_per_second=titles_per_second,
        workers=workers,
        price_per_hour=price_per_hour,
    )
    planned = plan_for(demand)
    if json_:
        print_json({**asdict(demand), **asdict(planned)})
    else:
        print_table(_sizes(demand, planned) + _efforts(demand, planned), ("what", "amount", "how"))
    if dim != BUILTIN_DIM and titles_per_second == BUILTIN_TITLES_PER_SECOND:
        note(
            f"{titles_per_second:,.0f} titles a second are the built-in model's, which has "
            f"{BUILTIN_DIM} dimensions: give --titles-per-second of yours"
        )
    note("for one build; while titles are ingested again, up to three lie there: docs/scaling.md")


def _sizes(demand: Demand, planned: "Plan") -> list[tuple[str, str, str]]:
    titles, copies = demand.titles, f" x {demand.replicas} copies" if demand.replicas > 1 else ""
    quantized = planned.quantized_bytes

    def a_title(total: int) -> str:
        return f"{total / titles:,.0f} bytes a title"

    rows = [
        ("vectors", _size(planned.vector_bytes), a_title(planned.vector_bytes)),
        ("quantised vectors", _size(quantized), a_title(quantized)),
        ("payload", _size(planned.payload_bytes), f"{a_title(planned.payload_bytes)}, measured"),
        ("indexes, ids", _size(planned.index_bytes), f"{a_title(planned.index_bytes)}, measured"),
        ("graph", _size(planned.graph_bytes), f"at most {a_title(planned.graph_bytes)}"),
        ("memory", _size(planned.memory_bytes), a_title(planned.memory_bytes // demand.replicas)),
        ("disk", _size(planned.disk_bytes), "all of the above but memory, x 1.5"),
    ]
    rows[-2:] = [(what, amount, how + copies) for what, amount, how in rows[-2:]]
    return [row for row in rows if quantized or row[0] != "quantised vectors"]


def _efforts(demand: Demand, planned: "Plan") -> list[tuple[str, str, str]]:
    memory, rate = demand.node_memory_gb, demand.titles_per_second
    by_all = f"embedding, {demand.workers:,} workers"
    rows = [
        ("nodes", f"{planned.nodes:,}", f"of {memory:,g} GB, at most 80% of it used"),
        ("shards", f"{planned.shards:,}", "two a node" if planned.nodes > 1 else "one node"),
        ("embedding, 1 worker", _time(planned.embed_hours_one_worker), f"{rate:,g} titles/s"),
        (by_all, _time(planned.embed_hours), "at a time"),
        ("upload", _time(planned.upload_hours), "one stream"),
        ("building the graph", _time(planned.graph_hours), "at least; two cores a node"),
    ]
    if demand.workers == 1:
        rows = [row for row in rows if row[0] != by_all]
    if planned.cost is not None and planned.cost_per_million is not None:
        price = f"embedding at {demand.price_per_hour:,g} an hour"
        rows += [
            ("cost", f"{planned.cost:,.2f}", price),
            ("cost of a million", f"{planned.cost_per_million:,.4f}", price),
        ]
    return rows


def _size(count: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,} bytes"


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"
