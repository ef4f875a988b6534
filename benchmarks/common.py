"""Data, timing and output shared by the benchmarks."""

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ingest.sources import EscoSource
from jobsearch.text import normalize_title

ESCO = Path(os.environ["ESCO"])
TALENTCLEF = Path(os.environ["TALENTCLEF"])
MELO = Path(os.environ["MELO"])
LANGUAGES = ("en", "es", "de")


def distinct_titles(languages: tuple[str, ...] = LANGUAGES) -> list[str]:
    """The distinct normalised ESCO labels, language by language."""
    source = EscoSource(ESCO)
    texts: list[str] = []
    for language in languages:
        records = (record for row in source.rows(language) for record in row.records)
        texts += dict.fromkeys(normalize_title(record.title) for record in records)
    return texts


def seconds(call: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def milliseconds(call: Callable[[int], object], repeats: int) -> np.ndarray:
    """Time ``call(i)`` for i in 0..repeats-1, after ``repeats // 10`` warm-up calls."""
    for i in range(repeats // 10):
        call(i)
    return np.array([1e3 * seconds(lambda i=i: call(i)) for i in range(repeats)])


def peak_memory_gb() -> float:
    """Peak memory of this process plus peaks of its children, even at other times (Linux)."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = Path("/proc/self/task").glob("*/children")
    pids = {pid for listed in children for pid in listed.read_text().split()}
    lines = [line for pid in pids for line in Path("/proc", pid, "status").read_text().splitlines()]
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (own + sum(peaks)) / 1024**2


def figure(name, value, unit, limit_is, limit, detail) -> dict:
    """One row of the table; ``limit_is`` is ``at most`` or ``at least``."""
    return {
        "figure": name, "value": float(value), "unit": unit,
        "limit_is": limit_is, "limit": limit, "detail": detail,
    }  # fmt: skip


def report(*rows: dict) -> None:
    """Print rows for ``python -m benchmarks``."""
    print(json.dumps(rows))
