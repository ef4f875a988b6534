"""What a number of titles takes: memory, disk, nodes, hours and money.

Every formula names its source. "Qdrant" is a page below https://qdrant.tech/documentation/,
"footprint" is `python -m benchmarks.footprint`, run on two cores with other work on them, and
`python -m benchmarks encode` printed the rate of encoding in README.md. GB are 10**9 bytes.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from jobsearch.errors import InvalidInput
from jobsearch.types import Quantization

#: Titles that the built-in model encodes in a second on two cores (README, encode).
BUILTIN_TITLES_PER_SECOND = 3673.0
#: Dimensions of the built-in model.
BUILTIN_DIM = 512

#: Bytes a title of its payload (footprint: ESCO in English).
PAYLOAD_BYTES = 283
#: Bytes a title of the indexes of its fields and of its id (footprint: 259 and 29).
INDEX_BYTES = 288
#: Titles that the engine takes in and puts into its graph in a second (footprint: the
#: lowest without quantisation, rounded down).
UPLOADED_PER_SECOND, LINKED_PER_SECOND = 16_000, 3_300

#: Share of a node's memory that is used: at 80% it is time for more (Qdrant, scaling).
USED_SHARE = Fraction(8, 10)
#: Two shards a node, as in "if you have 3 nodes, 6 shards could be a good option", and three nodes
#: where there are copies, so that one may be down (Qdrant, distributed_deployment).
SHARDS_A_NODE, NODES_FOR_COPIES = 2, 3

# Links of a point in the graph: the default of the server, and what ingest asks for.
_HNSW_M = 16
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
# From, to: with them nothing below is zero, infinite or too large for the sum it is part of.
_RANGES: dict[str, tuple[float, float]] = {
    "titles": (1, 10**15),
    "dim": (1, 65_536),
    "replicas": (1, 100),
    "node_memory_gb": (0.5, 100_000),
    "titles_per_second": (0.001, 10**9),
    "workers": (1, 10**6),
    "price_per_hour": (0, 10**6),
}


def parse_count(text: str) -> int:
    """A number of titles as people write it: ``33606``, ``100k``, ``2.5M``, ``1B``.

    Raises:
        InvalidInput: it is none, or not a whole number.
    """
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([kmb]?)", text.strip().lower())
    count = Fraction(found[1]) * _UNITS[found[2]] if found else Fraction(1, 2)
    if count.denominator != 1:
        raise InvalidInput(f"{text!r} is no number of titles: write it as 33606, 100k, 2.5M or 1B")
    return int(count)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be stored, and with what.

    Args:
        titles: number of points, in all collections together.
        dim: length of the vectors.
        quantization: what the index compares at first; with ``int8`` and ``binary`` the vectors
            themselves lie on disk.
        replicas: copies of each title.
        node_memory_gb: memory of one node.
        titles_per_second: what one worker encodes.
        workers: how many encode at a time.
        price_per_hour: of one worker, in any currency.

    Raises:
        InvalidInput: a number is out of its range, or is none.
    """

    titles: int
    dim: int = BUILTIN_DIM
    quantization: Quantization = "none"
    replicas: int = 1
    node_memory_gb: float = 64.0
    titles_per_second: float = BUILTIN_TITLES_PER_SECOND
    workers: int = 1
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            # Not a number fails this comparison too.
            if value is not None and not low <= value <= high:
                what = name.replace("_", " ")
                raise InvalidInput(f"{what} is {value:,}: it must be from {low:,} to {high:,}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand takes.

    Args:
        vector_bytes, quantized_bytes, payload_bytes, index_bytes, graph_bytes: of one copy.
        memory_bytes, disk_bytes: of all copies.
        nodes, shards: of the cluster; ``shards`` is for ``ingest --shards``.
        embed_hours_one_worker, embed_hours: of one worker and of all.
        upload_hours: in one stream.
        graph_hours: all nodes at a time.
        cost, cost_per_million: of encoding all titles and a million; None without a price.
    """

    vector_bytes: int
    quantized_bytes: int
    payload_bytes: int
    index_bytes: int
    graph_bytes: int
    memory_bytes: int
    disk_bytes: int
    nodes: int
    shards: int
    embed_hours_one_worker: float
    embed_hours: float
    upload_hours: float
    graph_hours: float
    cost: float | None
    cost_per_million: float | None


def plan(demand: Demand) -> Plan:
    """Work out what a demand takes."""
    titles = demand.titles
    vectors = titles * demand.dim * 4
    quantized = quantized_bytes(titles, demand.dim, demand.quantization)
    payload, index, graph = titles * PAYLOAD_BYTES, titles * INDEX_BYTES, graph_bytes(titles)
    memory = memory_bytes(vectors, quantized, graph + index) * demand.replicas
    # Half more than what lies there, as Qdrant (capacity-planning) reckons for vectors and for
    # payloads: segments are rewritten beside the old ones.
    disk = (vectors + quantized + payload + index + graph) * 3 // 2 * demand.replicas
    nodes = nodes_for(memory, demand)
    hours = titles / demand.titles_per_second / 3600
    price = demand.price_per_hour
    return Plan(
        vector_bytes=vectors,
        quantized_bytes=quantized,
        payload_bytes=payload,
        index_bytes=index,
        graph_bytes=graph,
        memory_bytes=memory,
        disk_bytes=disk,
        nodes=nodes,
        shards=nodes * SHARDS_A_NODE if nodes > 1 else 1,
        embed_hours_one_worker=hours,
        embed_hours=hours / demand.workers,
        upload_hours=titles / UPLOADED_PER_SECOND / 3600,
        graph_hours=titles * demand.replicas / nodes / LINKED_PER_SECOND / 3600,
        cost=None if price is None else hours * price,
        cost_per_million=None if price is None else hours * price * 10**6 / titles,
    )


def quantized_bytes(titles: int, dim: int, quantization: Quantization) -> int:
    """A byte or a bit a number: a quarter or a thirty-second (Qdrant, quantization)."""
    a_title = {"none": 0, "int8": dim, "binary": -(-dim // 8)}[quantization]
    return titles * a_title


def graph_bytes(titles: int) -> int:
    """Links of the HNSW graph, four bytes each.

    A point has up to 2m of them in the lowest layer and up to m in each layer above; it is in
    1 / (m - 1) of those on average, since each has an m-th of the points of the one below (Malkov
    and Yashunin, 2016, arxiv.org/abs/1603.09320). That is 132 bytes a title with m = 16, as an
    upper bound: the engine writes them in 31 (footprint).
    """
    return titles * 4 * (2 * _HNSW_M * (_HNSW_M - 1) + _HNSW_M) // (_HNSW_M - 1)


def memory_bytes(vectors: int, quantized: int, rest: int) -> int:
    """Memory of one copy.

    Without quantisation: vectors * dim * 4 bytes * 1.5 (Qdrant, capacity-planning), where the half
    stands for indexes, versions of points and segments that are being rewritten. Vectors so
    short that graph and indexes do not fit into it take those in full.

    With quantisation the same of the quantised vectors, and ``rest``, graph and indexes, on top:
    their half is too small for it. Indexes are taken to be as large as on disk.
    """
    if not quantized:
        return max(vectors * 3 // 2, vectors + rest)
    return quantized * 3 // 2 + rest


def nodes_for(memory: int, demand: Demand) -> int:
    """Nodes that hold ``memory`` bytes, at least three where there are copies."""
    # By way of its digits: 38.4 is a little less as a float, and would ask for a node more.
    usable = Fraction(str(demand.node_memory_gb)) * 10**9 * USED_SHARE
    least = max(demand.replicas, NODES_FOR_COPIES) if demand.replicas > 1 else 1
    return max(math.ceil(memory / usable), least)
