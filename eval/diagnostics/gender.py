"""Compares the rankings for the masculine and the feminine form of a title.

Two queries form a pair if they are the two forms of one title (``Arzt``, ``Ärztin``), by the rules
of :func:`ingest.gendered.find_form_pairs`. No lists of names or other outside data are used, and
the pairs are part of the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from eval.benchmarks.base import Benchmark
from eval.values import Count, Share
from ingest.gendered import find_form_pairs
from jobsearch.text import fold_title

#: Persistence of rank-biased overlap; with .9, the first 10 ranks have 86% of the weight.
PERSISTENCE = 0.9
#: Depth to which rankings are compared; all ranks below weigh less than .00003.
DEPTH = 100
#: Number of documents at the top of a ranking that the masculine share is computed from.
SHARE_DEPTH = 10


@dataclass(frozen=True, slots=True)
class GenderedPair:
    """Two queries that differ only in gender.

    Args:
        masculine, feminine: ids of the queries.
        masculine_title, feminine_title: titles of the queries.
        overlap: rank-biased overlap of the two rankings in [0, 1]; 1 if they are equal.
        overlap_of_jobs: the same, with documents that have the same title or the two forms of one
            title counted as one document.
        masculine_map, feminine_map: average precision of each query; None without judgements.
        masculine_share, feminine_share: share of masculine titles in the first ``SHARE_DEPTH``
            documents for the masculine and for the feminine query, among documents whose titles are
            in the corpus in both forms; None without such documents.
    """

    masculine: str
    feminine: str
    masculine_title: str
    feminine_title: str
    overlap: Share
    overlap_of_jobs: Share
    masculine_map: Share | None
    feminine_map: Share | None
    masculine_share: Share | None
    feminine_share: Share | None


@dataclass(frozen=True, slots=True)
class GenderReport:
    """All pairs of a benchmark, and means over them.

    Args:
        persistence, depth, share_depth: parameters of overlap and shares.
        corpus_share: share of masculine titles in the corpus, among documents whose titles are
            there in both forms; None without such documents.
        pairs: the pairs, at least one.
    """

    persistence: Share
    depth: Count
    share_depth: Count
    corpus_share: Share | None
    pairs: tuple[GenderedPair, ...]

    @property
    def means(self) -> dict[str, float | None]:
        """Mean of each figure over the pairs with a value; None if no pair has one."""
        names = (
            "overlap", "overlap_of_jobs", "masculine_map", "feminine_map", "masculine_share",
            "feminine_share",
        )  # fmt: skip
        values = {name: [getattr(pair, name) for pair in self.pairs] for name in names}
        known = {name: [v for v in each if v is not None] for name, each in values.items()}
        return {name: fmean(each) if each else None for name, each in known.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the means included."""
        return {**asdict(self), "means": self.means}

    @staticmethod
    def plain(data: Mapping[str, Any]) -> dict[str, Any]:
        """The fields in the output of :meth:`as_dict`, without the means."""
        return {name: value for name, value in data.items() if name != "means"}


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float) -> float:
    """Similarity of two rankings in [0, 1]; the first ranks weigh most.

    RBO_ext for two prefixes of equal length (Webber, Moffat and Zobel, "A Similarity Measure for
    Indefinite Rankings", ACM Transactions on Information Systems 28(4), 2010). It assumes that the
    agreement at the last rank continues. If the lengths differ, the longer ranking is cut.

    Args:
        first: documents, best first, each at most once.
        second: documents of the other ranking, likewise.
        p: persistence in (0, 1): probability that a reader continues to the next rank.

    Returns:
        0 for disjoint rankings, 1 for equal ones.
    """
    depth = min(len(first), len(second))
    if not depth:
        return 1.0 if len(first) == len(second) else 0.0
    seen_first: set[str] = set()
    seen_second: set[str] = set()
    shared, total = 0, 0.0
    for rank in range(1, depth + 1):
        one, other = first[rank - 1], second[rank - 1]
        shared += (one == other) + (one in seen_second) + (other in seen_first)
        seen_first.add(one)
        seen_second.add(other)
        total += shared / rank * p**rank
    return shared / depth * p**depth + (1 - p) / p * total


class GenderProbe:
    """Collects the rankings of queries that exist in both forms.

    Args:
        benchmark: the benchmark with the queries and documents.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        ids: dict[str, str] = {}
        for q_id, title in benchmark.queries.items():
            ids.setdefault(fold_title(title), q_id)
        self._pairs = [
            (ids[masculine], ids[feminine])
            for masculine, feminine in find_form_pairs(ids, benchmark.query_language)
        ]
        self._titles = benchmark.queries
        self._wanted = {q_id for pair in self._pairs for q_id in pair}
        self._rankings: dict[str, list[str]] = {}
        forms = {doc_id: fold_title(title) for doc_id, title in benchmark.documents.items()}
        self._masculine_of = {
            feminine: masculine
            for language in (benchmark.corpus.languages if self._pairs else ())
            for masculine, feminine in find_form_pairs(
                map(fold_title, benchmark.corpus.titles_in(language)), language
            )
        }
        self._masculine = set(self._masculine_of.values())
        self._forms = forms

    def wants(self, query_id: str) -> bool:
        """Whether the query belongs to a pair."""
        return query_id in self._wanted

    def add(self, query_id: str, ranking: Sequence[str]) -> None:
        """Keep the ranking of a query: document ids, best first; only ``DEPTH`` are used."""
        self._rankings[query_id] = list(ranking[:DEPTH])

    def report(self, average_precision: Mapping[str, float]) -> GenderReport | None:
        """Compare all pairs; None if the benchmark has no pairs.

        Args:
            average_precision: query id -> average precision, for judged queries.
        """
        if not self._pairs:
            return None
        return GenderReport(
            persistence=PERSISTENCE,
            depth=DEPTH,
            share_depth=SHARE_DEPTH,
            corpus_share=self._masculine_share(self._forms),
            pairs=tuple(self._pair(*pair, average_precision) for pair in self._pairs),
        )

    def _pair(
        self, masculine: str, feminine: str, average_precision: Mapping[str, float]
    ) -> GenderedPair:
        one, other = self._rankings[masculine], self._rankings[feminine]
        return GenderedPair(
            masculine=masculine,
            feminine=feminine,
            masculine_title=self._titles[masculine],
            feminine_title=self._titles[feminine],
            overlap=rank_biased_overlap(one, other, PERSISTENCE),
            overlap_of_jobs=rank_biased_overlap(self._jobs(one), self._jobs(other), PERSISTENCE),
            masculine_map=average_precision.get(masculine),
            feminine_map=average_precision.get(feminine),
            masculine_share=self._masculine_share(one[:SHARE_DEPTH]),
            feminine_share=self._masculine_share(other[:SHARE_DEPTH]),
        )

    def _jobs(self, ranking: Sequence[str]) -> list[str]:
        """The ranking as masculine titles, each at its first rank."""
        titles = (self._forms[doc_id] for doc_id in ranking)
        return list(dict.fromkeys(self._masculine_of.get(title, title) for title in titles))

    def _masculine_share(self, doc_ids: Mapping[str, str] | Sequence[str]) -> float | None:
        titles = [self._forms[doc_id] for doc_id in doc_ids]
        masculine = sum(title in self._masculine for title in titles)
        feminine = sum(title in self._masculine_of for title in titles)
        return masculine / (masculine + feminine) if masculine + feminine else None
