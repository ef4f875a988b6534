"""Cells arranged as tables: within a language, and across languages, as the papers have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from eval.cells import Cell
from eval.published import CROSS_LINGUAL, MONOLINGUAL, PUBLISHED, Published
from eval.talentclef import SAMPLE_NAME

_TABLE_FORMATS = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row before it is laid out."""

    system: str
    measured_on: str
    pairs: dict[str, float]
    mean: float | None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not laid out yet: text only, the first columns are words."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    #: Number of leading columns that hold words; the others are figures.
    words: int = 1


def tables(cells: Sequence[Cell], metrics: Sequence[str]) -> list[Table]:
    """The leaderboard: for each benchmark and metric a table or two.

    One table is for pairs within a language, one for pairs across languages; rows are models with
    their variants, then published systems, columns are pairs and the mean that TalentCLEF ranks by,
    where all its pairs were measured. Every row says which set it was measured on: figures of
    different sets do not compare.

    Args:
        cells: what was measured.
        metrics: names as in :data:`eval.metrics.MEASURES`.
    """
    parts: list[Table] = []
    for benchmark in dict.fromkeys(cell.benchmark for cell in cells):
        own = [cell for cell in cells if cell.benchmark == benchmark]
        for metric in metrics:
            parts += _tables(benchmark, own, metric)
    return parts


def tables_of_what_is_hidden(cells: Sequence[Cell], metrics: Sequence[str]) -> list[Table]:
    """For each benchmark: what its figures hide, and the figures without it."""
    found: list[Table] = []
    for benchmark in dict.fromkeys(cell.benchmark for cell in cells):
        own = [cell for cell in cells if cell.benchmark == benchmark and cell.facts]
        if own:
            found.append(_facts_table(benchmark, own))
            found += [_without_copies_table(benchmark, own, metric) for metric in metrics]
    return found


def _facts_table(benchmark: str, cells: Sequence[Cell]) -> Table:
    facts = {(cell.split, cell.pair): cell for cell in cells}
    rows = tuple(
        (
            split,
            pair,
            str(cell.queries),
            f"{cell.corpus:,}",
            f"{f.copies} ({f.copies_not_relevant})",
            str(f.contradictions),
            f"{f.random_map:.3f}",
            *(_figure(value) for value in f.best_map.values()),
        )
        for (split, pair), cell in facts.items()
        if (f := cell.facts)
    )
    headers = (
        "measured on", "pair", "queries", "corpus", "copies (not relevant)", "contradictions",
        "MAP by chance", *(f"highest MAP@{depth}" for depth in _depths(cells)),
    )  # fmt: skip
    notes = (
        "copies: queries that stand word for word in the corpus; in brackets those of which no "
        "copy was judged relevant",
        "contradictions: of documents with the same title, one is judged relevant and one is not",
        "highest MAP@10: no run of ten documents a query can have more",
    )
    return Table(f"{benchmark}: what the figures hide", headers, rows, notes, words=2)


def tables_of_gender(cells: Sequence[Cell]) -> list[Table]:
    """For each benchmark whose queries stand in both genders: how alike they are answered."""
    found: list[Table] = []
    for benchmark in dict.fromkeys(cell.benchmark for cell in cells):
        own = [cell for cell in cells if cell.benchmark == benchmark and cell.gender]
        if own:
            found.append(_gender_table(benchmark, own))
    return found


def _gender_table(benchmark: str, cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        if not (report := cell.gender):
            continue
        means = report.means
        figures = [
            _figure(means[name])
            for name in (
                "overlap", "overlap_of_jobs", "masculine_map", "feminine_map", "masculine_share",
                "feminine_share",
            )
        ]  # fmt: skip
        corpus = _figure(report.corpus_share)
        rows.append(
            (cell.system, _set_of(cell), cell.pair, str(len(report.pairs)), *figures, corpus)
        )
    report = next(cell.gender for cell in cells if cell.gender)
    headers = (
        "system", "measured on", "pair", "queries in both forms", "overlap", "overlap of jobs",
        "MAP masculine", "MAP feminine", "masculine of masculine", "masculine of feminine",
        "masculine in corpus",
    )  # fmt: skip
    notes = (
        f"overlap: rank-biased overlap (p = {report.persistence:g}, {report.depth} ranks) of the "
        "rankings for both forms of a query; of jobs: both forms of a document count as one",
        f"masculine of …: share of masculine titles among the first {report.share_depth} "
        "documents that have a gender, for the masculine and the feminine query",
    )
    return Table(f"{benchmark}: gender", headers, tuple(rows), notes, words=3)


def _depths(cells: Sequence[Cell]) -> tuple[str, ...]:
    return next((tuple(cell.facts.best_map) for cell in cells if cell.facts), ())


def _without_copies_table(benchmark: str, cells: Sequence[Cell], metric: str) -> Table:
    rows: dict[tuple[str, str], dict[str, tuple[float, float | None]]] = {}
    for cell in cells:
        pair = (cell.metrics[metric], cell.without_copies.get(metric))
        rows.setdefault((cell.system, _set_of(cell)), {})[cell.pair] = pair
    pairs = _in_order(cells)
    return Table(
        f"{benchmark}: {metric} with and without the copies of the query",
        ("system", "measured on", *pairs),
        tuple(
            (
                *names,
                *(
                    f"{_figure(values[p][0])} ({_figure(values[p][1])})" if p in values else ""
                    for p in pairs
                ),
            )
            for names, values in rows.items()
        ),
        ("in brackets: without them, in the corpus and in the judgements",),
        words=2,
    )


def _in_order(cells: Sequence[Cell]) -> tuple[str, ...]:
    measured = {cell.pair for cell in cells}
    first = [pair for pair in (*MONOLINGUAL, *CROSS_LINGUAL) if pair in measured]
    return (*first, *sorted(measured.difference(first)))


def render(tables: Sequence[Table], form: str = "text") -> str:
    """Tables as ``text``, ``markdown`` or ``latex`` (with the package booktabs)."""
    from tabulate import tabulate

    parts = []
    for table in tables:
        align = ("left",) * table.words + ("right",) * (len(table.headers) - table.words)
        laid_out = tabulate(
            table.rows,
            headers=table.headers,
            disable_numparse=True,
            colalign=align,
            tablefmt=_TABLE_FORMATS[form],
        )
        title, notes = table.title, list(table.notes)
        if form == "markdown":
            title, notes = f"### {title}\n", ["", *(f"{note}  " for note in notes)]
        elif form == "latex":
            title, notes = f"% {title}", [f"% {note}" for note in notes]
        parts.append("\n".join([title, laid_out, *notes]).rstrip())
    return "\n\n".join(parts)


def _tables(benchmark: str, cells: Sequence[Cell], metric: str) -> list[Table]:
    found = []
    for title, ranked_by, across in (
        ("within a language", MONOLINGUAL, False),
        ("across languages", CROSS_LINGUAL, True),
    ):
        here = [cell for cell in cells if _is_across(cell.pair) == across]
        if here:
            found.append(_table(f"{benchmark}: {metric} {title}", here, metric, ranked_by))
    return found


def _table(title: str, cells: Sequence[Cell], metric: str, ranked_by: tuple[str, ...]) -> Table:
    measured = {cell.pair for cell in cells}
    pairs = _in_order(cells)
    with_mean = measured.issuperset(ranked_by)
    own, published = _own(cells, metric, ranked_by), _published(cells, metric, ranked_by)
    entries = [*own, *(p for p in published if p.pairs.keys() & measured or with_mean)]
    sources = list(dict.fromkeys(entry.source for entry in entries if entry.source))
    rows = tuple(
        (
            f"{e.system} [{sources.index(e.source) + 1}]" if e.source else e.system,
            e.measured_on,
            *(_figure(e.pairs.get(pair)) for pair in pairs),
            *([_figure(e.mean)] if with_mean else []),
        )
        for e in entries
    )
    notes = [f"mean: over {', '.join(ranked_by)}"] if with_mean else []
    notes += [f"[{number}] {source}" for number, source in enumerate(sources, start=1)]
    headers = ("system", "measured on", *pairs, *(["mean"] if with_mean else []))
    return Table(title, headers, rows, tuple(notes), words=2)


def _own(cells: Sequence[Cell], metric: str, ranked_by: tuple[str, ...]) -> list[_Entry]:
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for cell in cells:
        rows.setdefault((cell.system, _set_of(cell)), {})[cell.pair] = cell.metrics[metric]
    return [
        _Entry(system, measured_on, pairs, _mean_over(pairs, ranked_by))
        for (system, measured_on), pairs in rows.items()
    ]


def _set_of(cell: Cell) -> str:
    return SAMPLE_NAME if cell.benchmark == SAMPLE_NAME else cell.split


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
    """Whether a published row belongs into a table: by its mean, or by its pairs and set."""
    if row.mean is not None:
        return row.means == ranked_by
    across = ranked_by == CROSS_LINGUAL
    return row.measured_on in splits and all(_is_across(pair) == across for pair in row.pairs)


def _mean_over(pairs: Mapping[str, float], wanted: tuple[str, ...]) -> float | None:
    return fmean(pairs[pair] for pair in wanted) if pairs.keys() >= set(wanted) else None


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _is_across(pair: str) -> bool:
    first, second = pair.split("-")
    return first != second
