"""The estimates of `jobsearch plan`, against values computed by hand."""

import pytest

from jobsearch.errors import InvalidInput
from jobsearch.sizing import Demand, graph_bytes, memory_bytes, parse_count, plan_for


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("33606", 33_606), ("100k", 100_000), ("10M", 10**7), ("1B", 10**9), ("1b", 10**9),
        ("2.5M", 2_500_000), (" 0.1k ", 100), ("1.000000001B", 1_000_000_001), ("7.0", 7),
    ],
)  # fmt: skip
def test_parse_count(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text",
    ["", "M", "12x", "1.5", "0.0001k", "-3", "1e6", "1,000", "1_000", "10 M", "nan", "٣", "9" * 16],
)
def test_text_that_is_not_a_count(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"write it as 33606, 100k, 2\.5M or 1B"):
        parse_count(text)


def test_the_example_in_the_qdrant_documentation() -> None:
    """1 million vectors of 1024 dimensions: 6,144,000,000 bytes (its page on capacity planning)."""
    assert plan_for(Demand(10**6, dim=1024)).memory_bytes == 6_144_000_000


def test_a_hundred_million_titles() -> None:
    plan = plan_for(Demand(10**8))
    assert plan.vector_bytes == 204_800_000_000
    assert plan.quantized_bytes == 0
    assert plan.payload_bytes == 28_300_000_000
    assert plan.index_bytes == 28_800_000_000
    # 4 * (32 + 16 / 15) bytes per title.
    assert plan.graph_bytes == 13_226_666_666
    assert plan.memory_bytes == 307_200_000_000
    # 275,126,666,666 * 1.5.
    assert plan.disk_bytes == 412_689_999_999
    # 51.2 of 64 GB are usable: 307.2 / 51.2 is exactly 6.
    assert (plan.nodes, plan.shards) == (6, 12)
    # 10**8 / 3,673 s, 10**8 / 16,000 s, and 10**8 / 3,300 s / 6 nodes.
    assert plan.embed_hours_one_worker == plan.embed_hours == pytest.approx(7.56269, abs=1e-5)
    assert plan.upload_hours == pytest.approx(1.73611, abs=1e-5)
    assert plan.graph_hours == pytest.approx(1.40292, abs=1e-5)
    assert plan.cost is plan.cost_per_million is None


@pytest.mark.parametrize(
    ("quantization", "quantized", "memory"),
    # Per title 512 * 1.5 or 64 * 1.5 bytes and 288 for indexes; 13,226,666,666 for the graph.
    [("int8", 51_200_000_000, 118_826_666_666), ("binary", 6_400_000_000, 51_626_666_666)],
)
def test_quantised_vectors_are_in_memory_and_full_vectors_on_disk(
    quantization, quantized: int, memory: int
) -> None:
    plain, quantised = plan_for(Demand(10**8)), plan_for(Demand(10**8, quantization=quantization))
    assert quantised.vector_bytes == plain.vector_bytes
    assert quantised.quantized_bytes == quantized
    assert quantised.memory_bytes == memory
    assert quantised.disk_bytes == plain.disk_bytes + quantized * 3 // 2


def test_binary_vectors_are_padded_to_whole_bytes() -> None:
    assert plan_for(Demand(10, dim=100, quantization="binary")).quantized_bytes == 10 * 13


def test_with_short_vectors_the_graph_counts_in_full() -> None:
    # 64 dimensions: half of 256 bytes is less than graph (132) and indexes (288).
    assert memory_bytes(256, 0, 420) == 676
    for dim in (1, 64, 211, 512):
        none, int8 = (plan_for(Demand(10**6, dim=dim, quantization=q)) for q in ("none", "int8"))
        assert int8.memory_bytes < none.memory_bytes


def test_links_of_the_graph() -> None:
    # About 15 of 225 points are in the second layer and one in the third. Each of the 225 points
    # has 32 links in the lowest layer, and each of these 15 has 16 more, of four bytes each.
    assert graph_bytes(225) == 4 * (225 * 32 + 15 * 16)


def test_replicas_multiply_memory_and_disk_and_need_three_nodes() -> None:
    one, two = plan_for(Demand(10**6)), plan_for(Demand(10**6, replicas=2))
    assert (one.nodes, one.shards) == (1, 1)
    assert (two.nodes, two.shards) == (3, 6)
    assert two.memory_bytes == 2 * one.memory_bytes
    assert two.disk_bytes == 2 * one.disk_bytes
    assert two.upload_hours == one.upload_hours
    assert two.graph_hours == pytest.approx(one.graph_hours * 2 / 3)
    assert plan_for(Demand(10**6, replicas=5)).nodes == 5


def test_another_node_when_four_fifths_are_full() -> None:
    # 3,072 bytes per title: 0.8 * 38.4 GB hold ten million titles.
    assert plan_for(Demand(10**7, node_memory_gb=38.4)).nodes == 1
    assert plan_for(Demand(10**7 + 1, node_memory_gb=38.4)).nodes == 2


def test_workers_divide_the_time_but_not_the_cost() -> None:
    plan = plan_for(Demand(36 * 10**6, titles_per_second=1000, workers=4, price_per_hour=2.5))
    assert plan.embed_hours_one_worker == 10
    assert plan.embed_hours == 2.5
    assert plan.cost == 25
    assert plan.cost_per_million == pytest.approx(25 / 36)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("titles", 0), ("titles", 10**15 + 1), ("dim", 0), ("dim", 65_537), ("replicas", 0),
        ("node_memory_gb", float("nan")), ("node_memory_gb", 0.0), ("workers", 0),
        ("titles_per_second", float("inf")), ("titles_per_second", -1.0), ("price_per_hour", -0.01),
    ],
)  # fmt: skip
def test_numbers_out_of_range(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=f"^`{name}` is .*: give a value from"):
        Demand(**{"titles": 1, name: value})


def test_the_largest_demand_has_finite_figures() -> None:
    plan = plan_for(
        Demand(10**15, 65_536, "none", 100, 0.5, 0.001, 1, 10**6),
    )
    assert plan.nodes == 10**15 * 65_536 * 6 * 100 // (4 * 10**8)
    assert plan.cost == pytest.approx(10**15 / 0.001 / 3600 * 10**6)
