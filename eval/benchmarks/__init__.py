"""Benchmarks: TalentCLEF, the sample, MELO, labels of ESCO, and any TREC files."""

from collections.abc import Callable

from eval.benchmarks.base import Benchmark
from eval.benchmarks.esco import load_esco_labels
from eval.benchmarks.melo import load_melo
from eval.benchmarks.talentclef import load_sample, load_talentclef
from eval.benchmarks.trec import load_trec

#: Name of a benchmark, as ``jobsearch eval`` names it -> the function that loads it.
LOADERS: dict[str, Callable[..., list[Benchmark]]] = {
    "talentclef": load_talentclef,
    "sample": load_sample,
    "melo": load_melo,
    "esco": load_esco_labels,
    "trec": load_trec,
}

__all__ = [
    "LOADERS",
    "load_esco_labels",
    "load_melo",
    "load_sample",
    "load_talentclef",
    "load_trec",
]
