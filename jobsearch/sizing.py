"""Capacity planning: memory, disk, nodes, hours and money for a number of titles.

Every formula names its source. "Qdrant" is a page below https://qdrant.tech/documentation/.
"footprint" is `python -m benchmarks.footprint`, run on two cores that had other work, too. "encode"
is `python -m benchmarks encode`, which printed the encoding rate in README.md. A GB is 10**9 bytes.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from jobsearch.errors import InvalidInput
from jobsearch.types import Quantization

#: Titles per second that the built-in model encodes on two cores (encode, README.md).
BUILTIN_TITLES_PER_SECOND = 3673.0
#: Dimensions of the built-in model.
BUILTIN_DIM = 512

#: Bytes of payload per title (footprint: ESCO in English).
PAYLOAD_BYTES = 283
#: Bytes per title for the payload indexes and the id (footprint: 259 and 29).
INDEX_BYTES = 288
#: Titles per second that the engine stores, and that it adds to its graph (footprint: the lowest
#: rates without quantisation, rounded down).
UPLOADED_PER_SECOND, LINKED_PER_SECOND = 16_000, 3_300

#: Usable share of a node's memory: above 80% it is time for more memory (Qdrant, scaling).
USED_SHARE = Fraction(8, 10)
#: Shards per node, as in "if you have 3 nodes, 6 shards could be a good option", and the least
#: number of nodes with replicas, so that one node may be down (Qdrant, distributed_deployment).
SHARDS_PER_NODE, MIN_NODES_WITH_REPLICAS = 2, 3

# Links per point in the graph: the server's default, and the value that ingest sets.
_HNSW_M = 16
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
# Lowest and highest value of each input: they keep every result finite.
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
    """Read a number of titles as people write it: ``33606``, ``100k``, ``2.5M``, ``1B``.

    Raises:
        InvalidInput: the text is not a number, or the number is not whole.
    """
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([kmb]?)", text.strip().lower())
    count = Fraction(match[1]) * _UNITS[match[2]] if match else None
    if count is None or count.denominator != 1:
        raise InvalidInput(f"`titles` is {text!r}: write it as 33606, 100k, 2.5M or 1B")
    return int(count)


@dataclass(frozen=True, slots=True)
class Demand:
    """The inputs of a plan: the titles to store, and the machines.

    Args:
        titles: number of points in all collections together.
        dim: length of the vectors.
        quantization: format of the vectors that the index compares first; with ``int8`` and
            ``binary`` the full vectors are on disk.
        replicas: copies of each title.
        node_memory_gb: memory of one node.
        titles_per_second: encoding rate of one worker.
        workers: number of workers that encode at the same time.
        price_per_hour: price of one worker, in any currency.

    Raises:
        InvalidInput: a value is out of its range, or is not a number.
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
            # NaN fails this comparison, too.
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"`{name}` is {value:,}: give a value from {low:,} to {high:,}")


@dataclass(frozen=True, slots=True)
class Plan:
    """The resources that a demand needs.

    Args:
        vector_bytes, quantized_bytes, payload_bytes, index_bytes, graph_bytes: size of one copy.
        memory_bytes, disk_bytes: size of all copies together.
        nodes, shards: size of the cluster; ``shards`` is the value for ``ingest --shards``.
        embed_hours_one_worker, embed_hours: time to encode with one worker and with all workers.
        upload_hours: time to upload in one stream.
        graph_hours: time to build the graph, with all nodes at work.
        cost, cost_per_million: cost of encoding all titles and a million; None without a price.
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


def plan_for(demand: Demand) -> Plan:
    """Compute the resources that a demand needs."""
    titles = demand.titles
    vectors = titles * demand.dim * 4
    quantized = quantized_bytes(titles, demand.dim, demand.quantization)
    payload, index, graph = titles * PAYLOAD_BYTES, titles * INDEX_BYTES, graph_bytes(titles)
    memory = memory_bytes(vectors, quantized, graph + index) * demand.replicas
    # Qdrant (capacity-planning) adds half for vectors and for payloads: a new segment is written
    # while the old one is still there.
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
        shards=nodes * SHARDS_PER_NODE if nodes > 1 else 1,
        embed_hours_one_worker=hours,
        embed_hours=hours / demand.workers,
        upload_hours=titles / UPLOADED_PER_SECOND / 3600,
        graph_hours=titles * demand.replicas / nodes / LINKED_PER_SECOND / 3600,
        cost=None if price is None else hours * price,
        cost_per_million=None if price is None else hours * price * 10**6 / titles,
    )


def quantized_bytes(titles: int, dim: int, quantization: Quantization) -> int:
    """Size of the quantised vectors, with one byte or one bit per dimension (Qdrant, quantization).

    That is a quarter or a thirty-second of the float32 vectors.
    """
    per_title = {"none": 0, "int8": dim, "binary": -(-dim // 8)}[quantization]
    return titles * per_title


def graph_bytes(titles: int) -> int:
    """Upper bound of the size of the HNSW graph, with four bytes per link.

    A point has up to 2m links in the lowest layer and up to m in each higher layer. Each layer has
    1 / m of the points of the layer below, so a point is in 1 / (m - 1) higher layers on average
    (Malkov and Yashunin, 2016, arxiv.org/abs/1603.09320). With m = 16 that is 132 bytes per title;
    the engine writes 31 bytes (footprint).
    """
    return titles * 4 * (2 * _HNSW_M * (_HNSW_M - 1) + _HNSW_M) // (_HNSW_M - 1)


def memory_bytes(vectors: int, quantized: int, rest: int) -> int:
    """Memory of one copy, in bytes.

    Without quantisation: the vectors (titles * dim * 4 bytes) * 1.5 (Qdrant, capacity-planning).
    The additional half is for indexes, point versions and segments that are rewritten. If the
    vectors are so short that graph and indexes are larger than this half, these count in full.

    With quantisation: the quantised vectors * 1.5, plus graph and indexes, for which half of the
    quantised vectors is too little. Indexes are assumed to be as large in memory as on disk.

    Args:
        vectors: bytes of the float32 vectors.
        quantized: bytes of the quantised vectors; 0 without quantisation.
        rest: bytes of graph and indexes.
    """
    if not quantized:
        return max(vectors * 3 // 2, vectors + rest)
    return quantized * 3 // 2 + rest


def nodes_for(memory: int, demand: Demand) -> int:
    """Number of nodes that hold ``memory`` bytes; with replicas, at least 3 and one per copy."""
    # Fraction of the decimal digits: the float 38.4 is a little less than 38.4, which could add a
    # node.
    usable = Fraction(str(demand.node_memory_gb)) * 10**9 * USED_SHARE
    least = max(demand.replicas, MIN_NODES_WITH_REPLICAS) if demand.replicas > 1 else 1
    return max(math.ceil(memory / usable), least)
