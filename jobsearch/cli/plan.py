"""``jobsearch plan``: memory, disk, nodes and hours for a number of titles."""

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
@click.option(
    "--titles", required=True, metavar="N", help="Number of titles: 33606, 100k, 2.5M, 1B."
)
@click.option(
    "--dim", default=_DEFAULTS.dim, show_default=True, metavar="N", help="Dimensions of a vector."
)
@click.option(
    "--quantization",
    type=click.Choice(QUANTIZATIONS),
    default=_DEFAULTS.quantization,
    show_default=True,
    help="As in `ingest`; int8 and binary assume `--on-disk`.",
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
    help="Encoding rate of one worker; the default is that of the built-in model on two cores.",
)
@click.option(
    "--workers",
    default=_DEFAULTS.workers,
    show_default=True,
    metavar="N",
    help="Machines or GPUs that encode in parallel.",
)
@click.option(
    "--price-per-hour",
    type=float,
    metavar="PRICE",
    help="Price of one worker; adds the cost of encoding.",
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
    """Estimate memory, disk, nodes and hours for a number of titles on a Qdrant cluster.

    Nothing is connected to or changed.

    Example: jobsearch plan --titles 100M --quantization int8 --replicas 2
    """
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
        rows = _sizes(demand, planned) + _machines_and_hours(demand, planned)
        print_table(rows, ("what", "amount", "how"))
    if dim != BUILTIN_DIM and titles_per_second == BUILTIN_TITLES_PER_SECOND:
        note(
            f"{titles_per_second:,.0f} titles per second is the rate of the built-in model, which "
            f"has {BUILTIN_DIM} dimensions: give --titles-per-second for your model"
        )
    note("for one build; a new ingest needs up to three at the same time: see docs/scaling.md")


def _sizes(demand: Demand, planned: "Plan") -> list[tuple[str, str, str]]:
    copies = f" x {demand.replicas} copies" if demand.replicas > 1 else ""
    quantized = planned.quantized_bytes

    def per_title(total: int) -> str:
        return f"{total / demand.titles:,.0f} bytes a title"

    memory_per_copy = per_title(planned.memory_bytes // demand.replicas)
    rows = [
        ("vectors", _size(planned.vector_bytes), per_title(planned.vector_bytes)),
        ("quantised vectors", _size(quantized), per_title(quantized)),
        ("payload", _size(planned.payload_bytes), f"{per_title(planned.payload_bytes)}, measured"),
        ("indexes, ids", _size(planned.index_bytes), f"{per_title(planned.index_bytes)}, measured"),
        ("graph", _size(planned.graph_bytes), f"at most {per_title(planned.graph_bytes)}"),
        ("memory", _size(planned.memory_bytes), memory_per_copy + copies),
        ("disk", _size(planned.disk_bytes), f"all of the above but memory, x 1.5{copies}"),
    ]
    return [row for row in rows if quantized or row[0] != "quantised vectors"]


def _machines_and_hours(demand: Demand, planned: "Plan") -> list[tuple[str, str, str]]:
    memory, rate = demand.node_memory_gb, demand.titles_per_second
    all_workers = f"embedding, {demand.workers:,} workers"
    rows = [
        ("nodes", f"{planned.nodes:,}", f"of {memory:,g} GB, at most 80% of it used"),
        ("shards", f"{planned.shards:,}", "two a node" if planned.nodes > 1 else "one node"),
        ("embedding, 1 worker", _time(planned.embed_hours_one_worker), f"{rate:,g} titles/s"),
        (all_workers, _time(planned.embed_hours), "at a time"),
        ("upload", _time(planned.upload_hours), "one stream"),
        ("building the graph", _time(planned.graph_hours), "at least; two cores a node"),
    ]
    if demand.workers == 1:
        rows = [row for row in rows if row[0] != all_workers]
    if planned.cost is not None and planned.cost_per_million is not None:
        price = f"embedding at {demand.price_per_hour:,g} an hour"
        rows += [
            ("cost", f"{planned.cost:,.2f}", price),
            ("cost of a million", f"{planned.cost_per_million:,.4f}", price),
        ]
    return rows


def _size(count: int) -> str:
    """A number of bytes in MB, GB or TB."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,} bytes"


def _time(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"
