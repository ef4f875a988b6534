"""Whether a system answers the feminine form of a title as it answers the masculine one.

Queries pair up where both forms of a title are asked (``Arzt``, ``Ärztin``), by the rule of
:func:`ingest.gendered.find_form_pairs`; no list of names or outside data is used, and the pairs are
part of the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Self

from eval.benchmarks.base import Benchmark
from ingest.gendered import find_form_pairs
from jobsearch.text import fold_title

#: Persistence of rank-biased overlap: the first 10 ranks have 86% of the weight.
PERSISTENCE = 0.9
#: Down to this rank rankings are compared; what follows weighs less than .00003.
DEPTH = 100
#: Documents among which the masculine share is counted.
SHARE_DEPTH = 10


@dataclass(frozen=True, slots=True)
class GenderedPair:
    """Two queries that differ in gender only.

    Args:
        masculine, feminine: ids of the queries.
        masculine_title, feminine_title: as they are asked.
        overlap: rank-biased overlap of the two rankings in [0, 1]; 1 if they are the same.
        overlap_of_jobs: the same after documents whose titles are the same, or the two forms of
            one, count as one document.
        masculine_map, feminine_map: average precision of each; None if it has no judgements.
        masculine_share, feminine_share: of those of the first ``SHARE_DEPTH`` documents that stand
            in the corpus in both forms, how many are masculine, in the ranking of either query;
            None if there are none.
    """

    masculine: str
    feminine: str
    masculine_title: str
    feminine_title: str
    overlap: float
    overlap_of_jobs: float
    masculine_map: float | None
    feminine_map: float | None
    masculine_share: float | None
    feminine_share: float | None


@dataclass(frozen=True, slots=True)
class GenderReport:
    """All pairs of a benchmark, and the means over them.

    Args:
        persistence, depth, share_depth: how overlap and shares were computed.
        corpus_share: of the documents that stand in both forms, how many are masculine.
        pairs: the pairs; at least one.
    """

    persistence: float
    depth: int
    share_depth: int
    corpus_share: float | None
    pairs: tuple[GenderedPair, ...]

    @property
    def means(self) -> dict[str, float | None]:
        """Mean of each figure over the pairs that have it, None where none has."""
        names = (
            "overlap", "overlap_of_jobs", "masculine_map", "feminine_map", "masculine_share",
            "feminine_share",
        )  # fmt: skip
        values = {name: [getattr(pair, name) for pair in self.pairs] for name in names}
        known = {name: [v for v in found if v is not None] for name, found in values.items()}
        return {name: fmean(found) if found else None for name, found in known.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the means included."""
        return {**asdict(self), "means": self.means}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_dict` made."""
        pairs = tuple(GenderedPair(**pair) for pair in data["pairs"])
        own = {name: value for name, value in data.items() if name != "means"}
        return cls(**{**own, "pairs": pairs})


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float) -> float:
    """Similarity of two rankings, the first ranks weighing most: 0 disjoint, 1 equal.

    RBO_ext for two prefixes of one length (Webber, Moffat and Zobel, "A Similarity Measure for
    Indefinite Rankings", ACM Transactions on Information Systems 28(4), 2010): the agreement at the
    last rank is taken to go on. Of rankings of different length, the longer is cut.

    Args:
        first: documents, best first, each at most once.
        second: likewise.
        p: persistence in (0, 1): how likely a reader goes on to the next rank.
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
    """Collects the rankings of queries that stand in both genders.

    Args:
        benchmark: whose queries and documents are looked at.
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
        """Whether the query is one of a pair."""
        return query_id in self._wanted

    def add(self, query_id: str, ranking: Sequence[str]) -> None:
        """Take the first ``DEPTH`` documents of a query's ranking, best first."""
        self._rankings[query_id] = list(ranking[:DEPTH])

    def report(self, average_precision: Mapping[str, float]) -> GenderReport | None:
        """The pairs that were collected; None if the benchmark has none.

        Args:
            average_precision: of the judged queries.
        """
        if not self._pairs:
            return None
        return GenderReport(
            persistence=PERSISTENCE,
            depth=DEPTH,
            share_depth=SHARE_DEPTH,
            corpus_share=self._masculine_share(self._forms),
            pairs=tuple(self._pair(one, other, average_precision) for one, other in self._pairs),
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
        """The ranking of titles in the masculine, each at its first rank."""
        titles = (self._forms[doc_id] for doc_id in ranking)
        return list(dict.fromkeys(self._masculine_of.get(title, title) for title in titles))

    def _masculine_share(self, doc_ids: Mapping[str, str] | Sequence[str]) -> float | None:
        titles = [self._forms[doc_id] for doc_id in doc_ids]
        masculine = sum(title in self._masculine for title in titles)
        feminine = sum(title in self._masculine_of for title in titles)
        return masculine / (masculine + feminine) if masculine + feminine else None
