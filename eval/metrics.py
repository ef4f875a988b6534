"""The metrics of the leaderboard, computed by trec_eval through ir-measures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eval.benchmarks.base import Qrels

#: Query id -> document ids and scores, best first.
Run = Mapping[str, Sequence[tuple[str, float]]]

#: Metric as the leaderboard names it -> name in ir-measures.
MEASURES = {
    "MAP": "AP",
    "MRR": "RR",
    "nDCG": "nDCG",
    "P@5": "P@5",
    "P@10": "P@10",
    "P@100": "P@100",
    "R@100": "R@100",
}
# Number of queries per call of trec_eval; it bounds the memory.
_QUERIES_AT_A_TIME = 100


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of a run, all in [0, 1]; higher is better.

    Args:
        means: metric -> mean over the judged queries.
        per_query: query id -> metric -> value; 0 for a judged query without a ranking in the run.
        missing_queries: judged queries without a ranking in the run.
        unjudged_queries: queries of the run without judgements; they do not affect the means.
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    missing_queries: tuple[str, ...]
    unjudged_queries: tuple[str, ...]


def score(run: Run, qrels: Qrels) -> Scores:
    """Score a run.

    MAP is the mean of average precision: the precisions at the ranks of the relevant documents
    found, divided by the number of *all* relevant documents (Buckley and Voorhees, "Retrieval
    System Evaluation", TREC 2005). nDCG has linear gains and no cutoff. P@k divides by k, also for
    shorter rankings.

    Args:
        run: the rankings. Only their order matters; scores are ignored, so that equal scores
            cannot be ordered in two ways.
        qrels: the judgements.

    Raises:
        ValueError: there are no judgements, or a ranking has a document twice.
    """
    per_query: dict[str, Mapping[str, float]] = {}
    q_ids = list(qrels)
    for start in range(0, len(q_ids), _QUERIES_AT_A_TIME):
        batch = q_ids[start : start + _QUERIES_AT_A_TIME]
        rankings = {q_id: [doc_id for doc_id, _ in run.get(q_id, ())] for q_id in batch}
        per_query |= _score(rankings, {q_id: qrels[q_id] for q_id in batch})
    return summarize(per_query, qrels, run)


def score_ranking(ranking: Sequence[str], judged: Mapping[str, int]) -> dict[str, float]:
    """Score one ranking of document ids, best first.

    Args:
        ranking: document ids, best first.
        judged: document id -> relevance.

    Returns:
        Metric -> value in [0, 1]; higher is better.

    Raises:
        ValueError: the ranking has a document twice.
    """
    return _score({"q": ranking}, {"q": judged})["q"]


def _score(rankings: Mapping[str, Sequence[str]], qrels: Qrels) -> dict[str, dict[str, float]]:
    """Query id -> metric -> value; ``rankings`` and ``qrels`` have the same queries."""
    values = {q_id: dict.fromkeys(MEASURES, 0.0) for q_id in qrels}
    scored: dict[str, dict[str, float]] = {}
    for q_id, ranking in rankings.items():
        # trec_eval sorts by score and orders equal scores by document id. Strictly decreasing
        # scores keep the order of the ranking. trec_eval holds scores in single precision, which
        # is exact for whole numbers up to 2**24.
        depth = len(ranking)
        scored[q_id] = dict(zip(ranking, map(float, range(depth, 0, -1)), strict=True))
        if len(scored[q_id]) != depth:
            raise ValueError(
                f"the ranking of {depth} documents has only {len(scored[q_id])} distinct ones"
            )
    answered = {q_id: ranking for q_id, ranking in scored.items() if ranking}
    if answered:
        judged = {q_id: dict(qrels[q_id]) for q_id in answered}
        evaluator = _provider().evaluator(list(_measures()), judged)
        for metric in evaluator.iter_calc(answered):
            values[metric.query_id][_measures()[metric.measure]] = metric.value
    return values


def summarize(
    per_query: Mapping[str, Mapping[str, float]], qrels: Qrels, run_queries: Iterable[str]
) -> Scores:
    """Average the metrics of all judged queries.

    Args:
        per_query: query id -> metric -> value, for every judged query.
        qrels: the judgements.
        run_queries: ids of the queries that have a ranking.

    Raises:
        ValueError: there are no judgements.
    """
    if not qrels:
        raise ValueError("there are no judgements to score against")
    answered = dict.fromkeys(run_queries)
    return Scores(
        means={name: sum(v[name] for v in per_query.values()) / len(qrels) for name in MEASURES},
        per_query=per_query,
        missing_queries=tuple(q_id for q_id in qrels if q_id not in answered),
        unjudged_queries=tuple(q_id for q_id in answered if q_id not in qrels),
    )


@cache
def _measures() -> dict[Any, str]:
    import ir_measures

    return {ir_measures.parse_measure(measure): name for name, measure in MEASURES.items()}


@cache
def _provider() -> Any:
    import ir_measures

    return ir_measures.pytrec_eval
