"""The leaderboard: cells as tables within a language and across languages, as in the papers.

Published figures of other systems are listed beside the measured ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.benchmarks.talentclef import SAMPLE_NAME
from eval.results import Cell
from eval.tables.render import Table, figure

#: TalentCLEF ranks systems by their mean over these pairs, within and across languages.
MONOLINGUAL = ("en-en", "es-es", "de-de")
CROSS_LINGUAL = ("en-es", "en-de")

_OFFICIAL = (
    "official results of task A, TalentCLEF 2025, talentclef.github.io; place of the team's best "
    "run among the teams"
)
_SCALAR = (
    "Bhangale, Gabhane and Anand Kumar 2025, Fine-Tuned Sentence Transformer for Multilingual Job "
    "Title Matching, CEUR-WS Vol-4038, table 1 (team SCaLAR)"
)
_MELO = (
    "Retyk et al. 2024, arXiv:2410.08319 (OpenAI, mE5), and others; not checked against the "
    "publication"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A published figure of another system.

    Args:
        system: name of the system.
        benchmark: name of the benchmark.
        measured_on: split of the benchmark.
        metric: name as in :data:`eval.metrics.MEASURES`.
        pairs: pair of languages -> value.
        source: where the figure is published.
        means: the pairs that ``mean`` averages. A row with a mean stands beside figures of any
            split, once all these pairs are measured.
        mean: the published mean; None if only single pairs are published.
    """

    system: str
    benchmark: str
    measured_on: str
    metric: str
    pairs: Mapping[str, float]
    source: str
    means: tuple[str, ...] = ()
    mean: float | None = None


def _official(system: str, pairs: tuple[str, ...], figures: str) -> Published:
    """A row of the official results: MAP of the pairs, then their mean."""
    *values, mean = map(float, figures.split())
    by_pair = dict(zip(pairs, values, strict=True))
    return Published(
        system, "talentclef-2025", "test", "MAP", by_pair, _OFFICIAL, means=pairs, mean=mean
    )


def _melo(system: str, value: float) -> Published:
    return Published(system, "melo", "deu_q_de_c_en", "MRR", {"de-en": value}, source=_MELO)


PUBLISHED = (
    _official("mE5-instruct fine-tuned, AlexU-NLP (1st of 12)", MONOLINGUAL, ".559 .527 .516 .534"),
    _official("MPNet fine-tuned, TechWolf (2nd)", MONOLINGUAL, ".533 .519 .500 .517"),
    _official("GTE-Qwen2-7B fine-tuned, pjmathematician (3rd)", MONOLINGUAL, ".563 .507 .476 .515"),
    _official("GTE-Qwen2-7B zero-shot, NLPnorth (4th)", MONOLINGUAL, ".537 .496 .442 .492"),
    _official("three models zero-shot, NT (5th)", MONOLINGUAL, ".523 .466 .404 .464"),
    _official("MPNet fine-tuned, SCaLAR (6th)", MONOLINGUAL, ".473 .438 .427 .446"),
    _official("MPNet zero-shot, DS@GT (9th)", MONOLINGUAL, ".440 .402 .355 .399"),
    _official("MPNet fine-tuned, DS@GT", MONOLINGUAL, ".408 .348 .324 .360"),
    _official("MiniLM zero-shot, organisers' baseline", MONOLINGUAL, ".408 .348 .324 .360"),
    Published(
        "MPNet fine-tuned, SCaLAR",
        "talentclef-2025",
        "validation",
        "MAP",
        {"en-en": 0.5815, "es-es": 0.4737, "de-de": 0.4183},
        source=_SCALAR,
    ),
    _official(
        "GTE-Qwen2-7B fine-tuned, pjmathematician (1st of 9)", CROSS_LINGUAL, ".525 .504 .514"
    ),
    _official("mE5-instruct fine-tuned, AlexU-NLP (2nd)", CROSS_LINGUAL, ".516 .512 .514"),
    _official("MPNet fine-tuned, TechWolf (3rd)", CROSS_LINGUAL, ".510 .498 .504"),
    _official("MPNet zero-shot, DS@GT (9th)", CROSS_LINGUAL, ".023 .019 .021"),
    _melo("OpenAI text-embedding-3-large", 0.552),
    _melo("mE5-large", 0.386),
    _melo("BGE-M3", 0.334),
    _melo("MPNet", 0.092),
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of a table: a measured or published system."""

    system: str
    measured_on: str
    pairs: dict[str, float]
    mean: float | None
    source: str = ""


def tables(cells: Sequence[Cell], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard: one or two tables per benchmark and metric.

    One table has the pairs within a language, the other the pairs across languages. Rows are the
    measured systems, sorted by number of pairs, then by mean, both decreasing; then published
    figures. Columns are pairs, and the mean that TalentCLEF ranks by if all its pairs were
    measured. Every row names the set it was measured on: figures of different sets cannot be
    compared.

    Args:
        cells: the results.
        metrics: names as in :data:`eval.metrics.MEASURES`.
    """
    parts: list[Table] = []
    for name, own in by_set(cells).items():
        for metric in metrics:
            parts += _tables(name, own, metric)
    return parts


def by_set(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Name of a benchmark -> its cells; a benchmark with several splits has one entry per split."""
    splits: dict[str, set[str]] = {}
    for cell in cells:
        splits.setdefault(cell.benchmark, set()).add(cell.split)
    cells_of: dict[str, list[Cell]] = {}
    for cell in cells:
        several = len(splits[cell.benchmark]) > 1
        name = f"{cell.benchmark} {cell.split}" if several else cell.benchmark
        cells_of.setdefault(name, []).append(cell)
    return cells_of


def _tables(name: str, cells: Sequence[Cell], metric: str) -> list[Table]:
    parts = []
    for title, ranked_by, across in (
        ("within a language", MONOLINGUAL, False),
        ("across languages", CROSS_LINGUAL, True),
    ):
        chosen = [cell for cell in cells if _is_across(cell.pair) == across]
        if chosen:
            parts.append(_table(f"{name}: {metric} {title}", chosen, metric, ranked_by))
    return parts


def _table(title: str, cells: Sequence[Cell], metric: str, ranked_by: tuple[str, ...]) -> Table:
    measured, splits = {cell.pair for cell in cells}, {cell.split for cell in cells}
    pairs = pairs_in_order(cells)
    with_mean = measured.issuperset(ranked_by)
    published = [
        entry
        for entry in _published(cells, metric, ranked_by)
        if with_mean or (entry.measured_on in splits and entry.pairs.keys() & measured)
    ]
    entries = [*_measured(cells, metric, ranked_by), *published]
    sources = list(dict.fromkeys(entry.source for entry in entries if entry.source))
    rows = tuple(
        (
            f"{e.system} [{sources.index(e.source) + 1}]" if e.source else e.system,
            e.measured_on,
            *(figure(e.pairs.get(pair)) for pair in pairs),
            *([figure(e.mean)] if with_mean else []),
        )
        for e in entries
    )
    notes = [f"mean: over {', '.join(ranked_by)}"] if with_mean else []
    notes += [f"[{number}] {source}" for number, source in enumerate(sources, start=1)]
    headers = ("system", "measured on", *pairs, *(["mean"] if with_mean else []))
    return Table(title, headers, rows, tuple(notes), words=2)


def pairs_in_order(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The measured pairs: those that TalentCLEF ranks by first, then the others by name."""
    measured = {cell.pair for cell in cells}
    first = [pair for pair in (*MONOLINGUAL, *CROSS_LINGUAL) if pair in measured]
    return (*first, *sorted(measured.difference(first)))


def _measured(cells: Sequence[Cell], metric: str, ranked_by: tuple[str, ...]) -> list[_Entry]:
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        rows.setdefault((cell.system, set_of(cell)), {})[cell.pair] = cell.metrics[metric]
    best_first = sorted(rows.items(), key=lambda row: (-len(row[1]), -fmean(row[1].values())))
    return [
        _Entry(system, measured_on, pairs, _mean_over(pairs, ranked_by))
        for (system, measured_on), pairs in best_first
    ]


def _published(cells: Sequence[Cell], metric: str, ranked_by: tuple[str, ...]) -> list[_Entry]:
    benchmark, splits = cells[0].benchmark, {cell.split for cell in cells}
    return [
        _Entry(
            f"published: {row.system}",
            row.measured_on,
            dict(row.pairs),
            _mean_over(row.pairs, ranked_by) if row.mean is None else row.mean,
            row.source,
        )
        for row in PUBLISHED
        if (row.benchmark, row.metric) == (benchmark, metric) and _fits(row, splits, ranked_by)
    ]


def _fits(row: Published, splits: set[str], ranked_by: tuple[str, ...]) -> bool:
    """Whether a published row belongs into a table: by its mean, or by its split and pairs."""
    if row.mean is not None:
        return row.means == ranked_by
    across = ranked_by == CROSS_LINGUAL
    return row.measured_on in splits and all(_is_across(pair) == across for pair in row.pairs)


def _mean_over(values: Mapping[str, float], pairs: tuple[str, ...]) -> float | None:
    return fmean(values[pair] for pair in pairs) if values.keys() >= set(pairs) else None


def _is_across(pair: str) -> bool:
    first, second = pair.split("-")
    return first != second


def set_of(cell: Cell) -> str:
    """Name of the set in tables: the split, or ``sample`` for the sample."""
    return SAMPLE_NAME if cell.benchmark == SAMPLE_NAME else cell.split
