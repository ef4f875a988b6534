"""TalentCLEF 2025 task A, one benchmark per pair of languages.

The files of a pair within one language are in the folder of that language
(:mod:`ingest.sources.talentclef`). A pair of two languages has a folder
``<split>/<language of queries>-<language of corpus>`` with judgements; its queries and its corpus
are those of the two languages, unless that folder has a ``queries`` or ``corpus_elements`` file of
its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Literal

from eval.benchmarks.base import Benchmark, Card, Corpus, read_qrels, require_titles
from ingest.sources.esco import SAMPLE_FOLDER
from ingest.sources.talentclef import TaskFiles, TaskPart, find_task, read_titles, task_part
from jobsearch.errors import BenchmarkError
from jobsearch.languages import CODES
from jobsearch.types import TitleRecord

NAME = "talentclef-2025"
SAMPLE_NAME = "sample"

_CARD = Card(
    scope="job titles, judged by experts for whether they name the same job",
    structure="queries, corpus elements and qrels per language, qrels across languages",
    source="TalentCLEF 2025 task A, doi:10.5281/zenodo.14002665",
    licence="CC BY 4.0",
)
_SAMPLE_CARD = Card(
    scope="30 queries in each of en, es, de and zh, made up to try the software, not to measure it",
    structure="as TalentCLEF 2025 task A",
    source="written by hand for jobsearch",
    licence="Apache-2.0",
)
_FOLDER = re.compile(r"([a-z]+)(?:-([a-z]+))?", re.IGNORECASE)
_Files = dict[TaskPart, str]


@dataclass(frozen=True, slots=True)
class _Pair:
    """The files of one pair of languages, as names in the tree.

    ``own_corpus`` is true if the corpus is in the folder of the pair, not of its language.
    """

    query_language: str
    corpus_language: str
    queries: str
    corpus: str
    qrels: str
    own_corpus: bool

    @property
    def name(self) -> str:
        return f"{self.query_language}-{self.corpus_language}"


def load_talentclef(
    path: str | Path, *, pairs: Sequence[str] | None = None, split: str = "validation"
) -> list[Benchmark]:
    """Load the benchmarks of a TalentCLEF task A split.

    Args:
        path: the folder TaskA, a folder above it, the folder of a split, or a zip file; any files
            in its layout.
        pairs: the pairs to load, e.g. ``["en-en", "en-es"]``; if None, all pairs with queries, a
            corpus and judgements.
        split: name of the split; only ``validation`` has public judgements.

    Returns:
        The benchmarks in the order of ``pairs``; if that is None, pairs within a language first,
        then pairs across languages, each sorted by name. The sample that ships with jobsearch is
        named ``sample``.

    Raises:
        BenchmarkError: a pair is missing, or the files do not fit together, with file and line.
        SourceError: the path has no such layout, or a file of titles cannot be read.
    """
    task = find_task(path)
    available = {pair.name: pair for pair in _pairs(task, split)}
    if missing := [pair for pair in pairs or () if pair not in available]:
        raise BenchmarkError(
            f"{path} has no judgements for {', '.join(missing)} in split {split!r}: "
            f"its pairs are {', '.join(available) or 'none'}"
        )
    if not available:
        raise BenchmarkError(
            f"{path} has no qrels.tsv in split {split!r}: its splits are {', '.join(task.splits)}; "
            "only validation has public judgements"
        )
    is_sample = Path(path).resolve().is_relative_to(SAMPLE_FOLDER)
    name, card = (SAMPLE_NAME, _SAMPLE_CARD) if is_sample else (NAME, _CARD)
    chosen = dict.fromkeys(pairs) if pairs else available
    return [_load(task, split, available[pair], name, card) for pair in chosen]


def load_sample(*, pairs: Sequence[str] | None = None) -> list[Benchmark]:
    """Load the benchmarks that ship with jobsearch; their figures say nothing about quality.

    Args:
        pairs: as for :func:`load_talentclef`.

    Raises:
        BenchmarkError: a pair is missing.
    """
    return load_talentclef(SAMPLE_FOLDER / "benchmark", pairs=pairs)


def ids_of_split(path: str | Path, split: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Pair of languages -> query ids and document ids, for all pairs with queries and a corpus.

    Judgements are not needed: the test split has none.

    Raises:
        BenchmarkError: no pair of the split has queries and a corpus.
        SourceError: the path has no such layout, or a file of titles cannot be read.
    """
    task = find_task(path)
    folders = _folders(task, split)

    @cache
    def ids(language: str, part: Literal["queries", "corpus"], name: str) -> frozenset[str]:
        return frozenset(_titles(task, split, language, part, name))

    ids_by_pair = {}
    combinations = product(task.languages(split, "queries"), task.languages(split, "corpus"))
    for query_language, corpus_language in dict.fromkeys((*combinations, *folders)):
        files = _files_of_pair(folders, query_language, corpus_language)
        if files.keys() >= {"queries", "corpus"}:
            ids_by_pair[f"{query_language}-{corpus_language}"] = (
                ids(query_language, "queries", files["queries"]),
                ids(corpus_language, "corpus", files["corpus"]),
            )
    if not ids_by_pair:
        raise BenchmarkError(
            f"{path} has no queries and corpora in split {split!r}: its splits are "
            f"{', '.join(task.splits)}"
        )
    return ids_by_pair


def _pairs(task: TaskFiles, split: str) -> list[_Pair]:
    """The pairs with queries, a corpus and judgements, pairs within a language first."""
    folders = _folders(task, split)
    pairs = []
    for first, second in folders:
        files = _files_of_pair(folders, first, second)
        if files.keys() >= {"queries", "corpus", "qrels"}:
            own_corpus = first != second and "corpus" in folders[first, second]
            names = files["queries"], files["corpus"], files["qrels"]
            pairs.append(_Pair(first, second, *names, own_corpus))
    return sorted(pairs, key=lambda p: (p.query_language != p.corpus_language, p.name))


def _files_of_pair(
    folders: Mapping[tuple[str, str], _Files], query_language: str, corpus_language: str
) -> _Files:
    """The files in the folder of the pair; missing ones come from the folders of its languages."""
    files: _Files = {}
    for part, language in (("queries", query_language), ("corpus", corpus_language)):
        within = folders.get((language, language), {})
        if part in within:
            files[part] = within[part]
    return files | folders.get((query_language, corpus_language), {})


def _folders(task: TaskFiles, split: str) -> dict[tuple[str, str], _Files]:
    """Pair of languages -> the files in its folder; the folder of a language is a pair with itself.

    The keys are query language and corpus language.
    """
    folders: dict[tuple[str, str], _Files] = {}
    split_folders = {
        PurePosixPath(n).parents[1] for (s, _, _), n in task.files.items() if s == split
    }
    for name in task.tree.names:
        path = PurePosixPath(name)
        part = task_part(path.name)
        if not part or path.parent.parent not in split_folders:
            continue
        match = _FOLDER.fullmatch(path.parent.name)
        languages = [CODES.get((word or "").lower()) for word in match.groups()] if match else []
        if languages and (first := languages[0]):
            second = languages[1] if match and match[2] else first
            if second:
                folders.setdefault((first, second), {})[part] = name
    return folders


def _load(task: TaskFiles, split: str, pair: _Pair, name: str, card: Card) -> Benchmark:
    queries = _titles(task, split, pair.query_language, "queries", pair.queries)
    titles = _titles(task, split, pair.corpus_language, "corpus", pair.corpus)
    # In the store, the pair's own corpus must not replace the corpus of the language.
    stored_split = f"{split}/{pair.name}" if pair.own_corpus else split
    language = pair.corpus_language
    documents = tuple(
        (line, TitleRecord(title, language, name, "corpus", split=stored_split, doc_id=doc_id))
        for line, (doc_id, title) in enumerate(titles.items(), start=2)
    )
    tree = task.tree
    corpus = Corpus(name, stored_split, "2025", (language,), tree.where(pair.corpus), documents)
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
    require_titles(titles, task.tree.where(name), part)
    return titles
