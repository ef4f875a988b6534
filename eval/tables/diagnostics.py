"""Tables beside the leaderboard: benchmark facts, copies, seen queries, gender and index loss."""

from collections.abc import Collection, Sequence
from statistics import fmean

from eval.results import Cell, QueryResult
from eval.tables.leaderboard import by_set, pairs_in_order, set_of
from eval.tables.render import Table, figure
from jobsearch.text import fold_title


def details(
    cells: Sequence[Cell], metrics: Sequence[str], trained_on: Collection[str] = ()
) -> list[Table]:
    """All tables of this module for which the cells have data.

    Args:
        cells: the results.
        metrics: names as in :data:`eval.metrics.MEASURES`.
        trained_on: titles of training data, as :func:`ingest.training_titles.titles_in` returns
            them; if not empty, queries among them get a table.
    """
    return [
        *tables_of_what_is_hidden(cells, metrics),
        *(tables_of_seen_queries(cells, metrics, trained_on) if trained_on else ()),
        *tables_of_gender(cells),
        *tables_of_index_loss(cells),
    ]


def tables_of_what_is_hidden(cells: Sequence[Cell], metrics: Sequence[str]) -> list[Table]:
    """For each benchmark: its facts, and every metric with and without copies of the query."""
    parts: list[Table] = []
    for name, own in by_set([cell for cell in cells if cell.facts]).items():
        parts.append(_facts_table(name, own))
        parts += [_without_copies_table(name, own, metric) for metric in metrics]
    return parts


def _facts_table(name: str, cells: Sequence[Cell]) -> Table:
    cell_of_set = {(cell.split, cell.pair): cell for cell in cells}
    rows = tuple(
        (
            split,
            pair,
            str(cell.queries),
            f"{cell.corpus:,}",
            f"{f.copies} ({f.copies_not_relevant})",
            str(f.contradictions),
            f"{f.random_map:.3f}",
            *(figure(f.best_map.get(depth)) for depth in _depths(cells)),
        )
        for (split, pair), cell in cell_of_set.items()
        if (f := cell.facts)
    )
    headers = (
        "measured on", "pair", "queries", "corpus", "copies (not relevant)", "contradictions",
        "MAP by chance", *(f"highest MAP@{depth}" for depth in _depths(cells)),
    )  # fmt: skip
    notes = (
        "copies: queries whose exact title, case aside, is in the corpus; in brackets, those "
        "without a relevant copy",
        "contradictions: of documents with the same title, one is judged relevant and one is not",
        "highest MAP@10: the most that a run of ten documents per query can reach",
    )
    return Table(f"{name}: what the figures hide", headers, rows, notes, words=2)


def _depths(cells: Sequence[Cell]) -> tuple[str, ...]:
    return next((tuple(cell.facts.best_map) for cell in cells if cell.facts), ())


def _without_copies_table(name: str, cells: Sequence[Cell], metric: str) -> Table:
    rows: dict[tuple[str, str], dict[str, tuple[float, float | None]]] = {}
    for cell in cells:
        pair = (cell.metrics[metric], cell.without_copies.get(metric))
        rows.setdefault((cell.system, set_of(cell)), {})[cell.pair] = pair
    pairs = pairs_in_order(cells)
    return Table(
        f"{name}: {metric} with and without the copies of the query",
        ("system", "measured on", *pairs),
        tuple(
            (
                *names,
                *(
                    f"{figure(values[p][0])} ({figure(values[p][1])})" if p in values else ""
                    for p in pairs
                ),
            )
            for names, values in rows.items()
        ),
        ("in brackets: after copies are removed from the corpus and from the judgements",),
        words=2,
    )


def tables_of_seen_queries(
    cells: Sequence[Cell], metrics: Sequence[str], trained_on: Collection[str]
) -> list[Table]:
    """Metrics of the queries among the titles of a training, and of the other queries."""
    rows = []
    for cell in cells:
        seen: list[QueryResult] = []
        new: list[QueryResult] = []
        for result in cell.per_query:
            (seen if fold_title(result.title) in trained_on else new).append(result)
        figures = [
            figure(fmean(result.metrics[metric] for result in part) if part else None)
            for metric in metrics
            for part in (seen, new)
        ]
        counts = str(len(seen)), str(len(new))
        rows.append((cell.system, f"{cell.benchmark} {cell.split}", cell.pair, *counts, *figures))
    headers = (
        "system", "benchmark", "pair", "seen", "new",
        *(f"{metric} {part}" for metric in metrics for part in ("seen", "new")),
    )  # fmt: skip
    notes = ("seen: queries whose title, case aside, is in the training data",)
    return [Table("queries seen in training", headers, tuple(rows), notes, words=3)]


def tables_of_gender(cells: Sequence[Cell]) -> list[Table]:
    """For each benchmark with queries in both gender forms: how similar their rankings are."""
    parts: list[Table] = []
    for name, own in by_set([cell for cell in cells if cell.gender]).items():
        parts.append(_gender_table(name, own))
    return parts


def _gender_table(name: str, cells: Sequence[Cell]) -> Table:
    rows = []
    for cell in cells:
        if not (report := cell.gender):
            continue
        means = report.means
        figures = [
            figure(means[name])
            for name in (
                "overlap", "overlap_of_jobs", "masculine_map", "feminine_map", "masculine_share",
                "feminine_share",
            )
        ]  # fmt: skip
        corpus = figure(report.corpus_share)
        rows.append(
            (cell.system, set_of(cell), cell.pair, str(len(report.pairs)), *figures, corpus)
        )
    report = next(cell.gender for cell in cells if cell.gender)
    headers = (
        "system", "measured on", "pair", "queries in both forms", "overlap", "overlap of jobs",
        "MAP masculine", "MAP feminine", "masculine of masculine", "masculine of feminine",
        "masculine in corpus",
    )  # fmt: skip
    notes = (
        f"overlap: rank-biased overlap (p = {report.persistence:g}, {report.depth} ranks) of the "
        "rankings for both forms of a query; of jobs: both forms of a title count as one",
        f"masculine of …: share of masculine titles in the first {report.share_depth} documents, "
        "among titles that are in the corpus in both forms, for either query",
    )
    return Table(f"{name}: gender", headers, tuple(rows), notes, words=3)


def tables_of_index_loss(cells: Sequence[Cell]) -> list[Table]:
    """Accuracy and speed of the live index, for the cells with such measurements."""
    measured = [cell for cell in cells if cell.index]
    if not measured:
        return []
    first = measured[0].index[0]
    rows = tuple(
        (
            cell.system,
            f"{cell.benchmark} {cell.split}",
            cell.pair,
            mode.mode,
            *(figure(mode.recall.get(depth)) for depth in first.recall),
            figure(mode.map_at_depth),
            f"{mode.map_at_depth - cell.index[0].map_at_depth:+.4f}",
            *(_milliseconds(mode.milliseconds.get(q)) for q in first.milliseconds),
        )
        for cell in measured
        for mode in cell.index
    )
    headers = (
        "system", "benchmark", "pair", "search",
        *(f"recall@{depth}" for depth in first.recall),
        "MAP@100", "change", *(f"p{q} ms" for q in first.milliseconds),
    )  # fmt: skip
    notes = (
        "recall: share of the documents of an exact search that are found; in an embedded store, "
        "collections of up to 50,000 titles have no index and lose nothing",
    )
    return [Table("what the live index loses", headers, rows, notes, words=4)]


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
