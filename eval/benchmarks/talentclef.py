"""TalentCLEF 2025 task A as benchmarks, one a pair of languages.

Within a language all is in its folder (:mod:`ingest.sources.talentclef`). Across languages there is
a folder ``<split>/<language of queries>-<language of corpus>`` with judgements of the first
language's queries and the second's corpus; a ``queries`` or ``corpus_elements`` file of its own in
that folder takes their place.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Literal

from eval.benchmarks.base import Benchmark, Card, Corpus, check_titles_are_there, read_qrels
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.sources.talentclef import TaskFiles, TaskPart, find_task, read_titles
from jobsearch.errors import BenchmarkError
from jobsearch.languages import CODES
from jobsearch.types import TitleRecord

NAME = "talentclef-2025"
SAMPLE_NAME = "sample"

_CARD = Card(
    scope="job titles, judged by experts for whether they name the same job",
    structure="queries, corpus elements and qrels a language, qrels across languages",
    source="TalentCLEF 2025 task A, doi:10.5281/zenodo.14002665",
    licence="CC BY 4.0",
)
_SAMPLE_CARD = Card(
    scope="30 queries in each of en, es, de and zh, made up to try the software: no measure of it",
    structure="as TalentCLEF 2025 task A",
    source="written by hand for jobsearch",
    licence="Apache-2.0",
)
_FOLDER = re.compile(r"([a-z]+)(?:-([a-z]+))?", re.IGNORECASE)
_FILES: dict[str, TaskPart] = {
    "queries": "queries",
    "corpus_elements": "corpus",
    "corpus_element": "corpus",
    "qrels.tsv": "qrels",
}
_Files = dict[TaskPart, str]


@dataclass(frozen=True, slots=True)
class _Pair:
    """The files of one pair of languages: names in the tree."""

    query_language: str
    corpus_language: str
    queries: str
    corpus: str
    qrels: str
    own_corpus: bool

    @property
    def name(self) -> str:
        return f"{self.query_language}-{self.corpus_language}"


def talentclef(
    path: str | Path, pairs: Sequence[str] | None = None, split: str = "validation"
) -> list[Benchmark]:
    """Load the benchmarks of a TalentCLEF task A split.

    Args:
        path: the folder TaskA, a folder above it, or a zip file; anything in its layout.
        pairs: those wanted, e.g. ``["en-en", "en-es"]``; if None, all for which there are queries,
            a corpus and judgements.
        split: name of the split; only ``validation`` has public judgements.

    Returns:
        Benchmarks within a language first, then across languages, each by name; or as ``pairs``
        orders them. The sample that ships with jobsearch is named ``sample``.

    Raises:
        BenchmarkError: a pair is not there, or files do not fit together, with file and line.
        SourceError: no such layout, or a file of titles cannot be read.
    """
    task = find_task(path)
    there = {pair.name: pair for pair in _pairs(task, split)}
    listed = ", ".join(there) or "none"
    if missing := [pair for pair in pairs or () if pair not in there]:
        raise BenchmarkError(
            f"{path} has no judgements for {', '.join(missing)} in split {split!r}: "
            f"its pairs are {listed}"
        )
    if not there:
        raise BenchmarkError(
            f"{path} has no qrels.tsv in split {split!r}: its splits are {', '.join(task.splits)}; "
            "only validation has public judgements"
        )
    is_sample = Path(path).resolve().is_relative_to(SAMPLE_FOLDER)
    name, card = (SAMPLE_NAME, _SAMPLE_CARD) if is_sample else (NAME, _CARD)
    wanted = dict.fromkeys(pairs) if pairs else there
    return [_load(task, split, there[pair], name, card) for pair in wanted]


def ids_of_split(path: str | Path, split: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Query ids and document ids by pair, judgements or not: the test split has none.

    Raises:
        BenchmarkError: the split has no pair with both.
        SourceError: no such layout, or a file of titles cannot be read.
    """
    task = find_task(path)
    folders = _folders(task, split)

    @cache
    def ids(language: str, part: Literal["queries", "corpus"], name: str) -> frozenset[str]:
        return frozenset(_titles(task, split, language, part, name))

    found = {}
    across = product(task.languages(split, "queries"), task.languages(split, "corpus"))
    for first, second in dict.fromkeys((*across, *folders)):
        own = _of_pair(folders, first, second)
        if own.keys() >= {"queries", "corpus"}:
            found[f"{first}-{second}"] = (
                ids(first, "queries", own["queries"]),
                ids(second, "corpus", own["corpus"]),
            )
    if not found:
        raise BenchmarkError(
            f"{path} has no queries and corpora in split {split!r}: its splits are "
            f"{', '.join(task.splits)}"
        )
    return found


def sample(pairs: Sequence[str] | None = None) -> list[Benchmark]:
    """The benchmark that ships with jobsearch, to try it; its figures measure nothing."""
    return talentclef(SAMPLE_FOLDER / "benchmark", pairs)


def _pairs(task: TaskFiles, split: str) -> list[_Pair]:
    """The pairs with all that they need, those within a language first."""
    folders = _folders(task, split)
    pairs = []
    for first, second in folders:
        own = _of_pair(folders, first, second)
        if own.keys() >= {"queries", "corpus", "qrels"}:
            apart = first != second and "corpus" in folders[first, second]
            files = own["queries"], own["corpus"], own["qrels"]
            pairs.append(_Pair(first, second, *files, apart))
    return sorted(pairs, key=lambda p: (p.query_language != p.corpus_language, p.name))


def _of_pair(folders: Mapping[tuple[str, str], _Files], first: str, second: str) -> _Files:
    """The files of a pair: its own, else the queries and the corpus of its languages."""
    files: _Files = {}
    for part, language in (("queries", first), ("corpus", second)):
        own = folders.get((language, language), {})
        if part in own:
            files[part] = own[part]
    return files | folders.get((first, second), {})


def _folders(task: TaskFiles, split: str) -> dict[tuple[str, str], _Files]:
    """Names of the files in the folder of each pair; within a language that is the language's."""
    folders: dict[tuple[str, str], _Files] = {}
    split_folders = {
        PurePosixPath(n).parents[1] for (s, _, _), n in task.files.items() if s == split
    }
    for name in task.tree.names:
        path = PurePosixPath(name)
        if path.name not in _FILES or path.parent.parent not in split_folders:
            continue
        found = _FOLDER.fullmatch(path.parent.name)
        languages = [CODES.get((part or "").lower()) for part in found.groups()] if found else []
        if languages and (first := languages[0]):
            second = languages[1] if found and found[2] else first
            if second:
                folders.setdefault((first, second), {})[_FILES[path.name]] = name
    return folders


def _load(task: TaskFiles, split: str, pair: _Pair, name: str, card: Card) -> Benchmark:
    queries = _titles(task, split, pair.query_language, "queries", pair.queries)
    titles = _titles(task, split, pair.corpus_language, "corpus", pair.corpus)
    # A corpus of its own must not replace that of the language in the store.
    part = f"{split}/{pair.name}" if pair.own_corpus else split
    documents = tuple(
        (line, TitleRecord(title, pair.corpus_language, name, "corpus", split=part, doc_id=doc_id))
        for line, (doc_id, title) in enumerate(titles.items(), start=2)
    )
    tree = task.tree
    languages = (pair.corpus_language,)
    corpus = Corpus(name, part, "2025", languages, tree.where(pair.corpus), documents)
    where = tree.where(pair.qrels)
    qrels = read_qrels(tree.lines(pair.qrels), where, queries, corpus.titles)
    return Benchmark(
        name=name,
        split=split,
        query_language=pair.query_language,
        queries=queries,
        corpus=corpus,
        documents=corpus.titles,
        qrels=qrels,
        card=card,
    )


def _titles(
    task: TaskFiles, split: str, language: str, part: Literal["queries", "corpus"], name: str
) -> dict[str, str]:
    titles = read_titles(
        TaskFiles(task.tree, {(split, language, part): name}), split, language, part
    )
    check_titles_are_there(titles, task.tree.where(name), part)
    return titles
