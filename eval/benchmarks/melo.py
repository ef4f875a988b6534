"""MELO, Multilingual Entity Linking of Occupations.

Scope: 48 sets in 21 languages: titles of national occupation classifications, to be linked to the
labels of ESCO; judgements from official crosswalks.
Structure: one folder per set, named ``<country>_q_<language of queries>_c_<language of corpus>``,
with ``queries.tsv`` and ``corpus_elements.tsv`` (id, tab, title), ``annotations.tsv`` (TREC qrels)
and ``concept_mapping.tsv`` (document id, tab, ESCO or ISCO URI); no headers, no quoting.
A corpus may have several languages (``usa_q_en_c_de_en_es_fr_it_nl_pl_pt``); the document ids then
give the language of each title.
Source: Retyk et al. 2024, arXiv:2410.08319, https://github.com/Avature/melo-benchmark (MIT).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from eval.benchmarks.base import (
    Benchmark,
    Card,
    Corpus,
    read_qrels,
    read_title_lines,
    require_titles,
)
from ingest.sources.files import FileTree, IdTitleLine, open_tree
from jobsearch.errors import BenchmarkError
from jobsearch.languages import NAMES
from jobsearch.types import TitleRecord

NAME = "melo"

_CARD = Card(
    scope="titles of a national classification of occupations, linked to labels of ESCO",
    structure="queries, corpus elements and qrels; a document is a label, several share a concept",
    source="MELO, arXiv:2410.08319, https://github.com/Avature/melo-benchmark",
    licence="MIT (annotations and code), ESCO with attribution (labels)",
)
_EXPECTED = "a MELO set, a folder such as deu_q_de_c_en, or a folder or zip of several"
_FOLDER = re.compile(r"[a-z]{3}_q_([a-z]{2})_c_([a-z]{2}(?:_[a-z]{2})*)", re.IGNORECASE)
_DOC_ID = re.compile(r"C\d+_([a-z]{2})_\d+")
_FILES = ("queries.tsv", "corpus_elements.tsv", "annotations.tsv", "concept_mapping.tsv")


def load_melo(path: str | Path, *, set_name: str | None = None) -> list[Benchmark]:
    """Load a MELO set.

    Args:
        path: folder of the set, whose name gives the languages; or a folder or zip file that holds
            sets at any depth.
        set_name: the set to load if ``path`` holds several, e.g. ``deu_q_de_c_en``.

    Returns:
        One benchmark.

    Raises:
        BenchmarkError: the path holds no set, or several and no ``set_name`` is given; the name of
            the set gives no languages; a file is missing or empty; or the files do not fit
            together, with file and line.
        SourceError: the path cannot be read.
    """
    tree = open_tree(path, _EXPECTED)
    name, folder = _find_set(tree, set_name)
    query_language, corpus_languages = _languages(name)
    if missing := [file for file in _FILES if folder + file not in tree.names]:
        raise BenchmarkError(
            f"{tree.where(folder) if folder else path} has no {', '.join(missing)}: "
            f"give {_EXPECTED}"
        )
    queries = {line.id: line.title for line in _lines(tree, f"{folder}queries.tsv")}
    require_titles(queries, tree.where(f"{folder}queries.tsv"), "queries")
    corpus = _corpus(tree, folder, name, corpus_languages)
    annotations = f"{folder}annotations.tsv"
    benchmark = Benchmark(
        name=NAME,
        split=name,
        query_language=query_language,
        queries=queries,
        corpus=corpus,
        documents=corpus.titles,
        qrels=read_qrels(tree.lines(annotations), tree.where(annotations), queries, corpus.titles),
        card=_CARD,
    )
    return [benchmark]


def _find_set(tree: FileTree, set_name: str | None) -> tuple[str, str]:
    """Name of the set, and its folder in the tree: empty, or ending with a slash."""
    root_name = tree.name
    sets: dict[str, list[str]] = {}
    parts = (name.rpartition("/") for name in tree.names)
    for folder in dict.fromkeys(folder for folder, _, file in parts if file in _FILES):
        name = folder.rpartition("/")[2] if folder else root_name
        if _FOLDER.fullmatch(name):
            sets.setdefault(name, []).append(f"{folder}/" if folder else "")
    listed = ", ".join(sorted(sets))
    if set_name in (None, root_name) and (not sets or "" in sets.get(root_name, ())):
        return root_name, ""
    if not set_name and len(sets) > 1:
        raise BenchmarkError(
            f"{tree.root} holds {len(sets)} sets: choose one with `set_name`: {listed}"
        )
    name = set_name or listed
    if name not in sets:
        raise BenchmarkError(f"{tree.root} has no set {name!r}: its sets are {listed or 'none'}")
    if len(sets[name]) > 1:
        raise BenchmarkError(
            f"{tree.root} holds {name} {len(sets[name])} times ({', '.join(sets[name])}): give a "
            "folder with one of them"
        )
    return name, sets[name][0]


def _languages(set_name: str) -> tuple[str, tuple[str, ...]]:
    """Language of the queries, and languages of the corpus."""
    match = _FOLDER.fullmatch(set_name)
    if not match:
        raise BenchmarkError(
            f"the folder name {set_name!r} gives no languages, as those of MELO do: "
            f"give {_EXPECTED}"
        )
    query, corpora = match[1].lower(), tuple(dict.fromkeys(match[2].lower().split("_")))
    if unknown := [code for code in (query, *corpora) if code not in NAMES]:
        raise BenchmarkError(
            f"the folder name {set_name!r} has unknown languages: {', '.join(unknown)}"
        )
    return query, corpora


def _corpus(tree: FileTree, folder: str, split: str, languages: tuple[str, ...]) -> Corpus:
    lines = list(_lines(tree, f"{folder}corpus_elements.tsv"))
    where = tree.where(f"{folder}corpus_elements.tsv")
    require_titles({line.id: line.title for line in lines}, where, "corpus elements")
    concepts = {line.id: line.title for line in _lines(tree, f"{folder}concept_mapping.tsv")}
    documents = tuple(
        (
            line.line,
            TitleRecord(
                line.title,
                _language_of(line, where, languages),
                NAME,
                "corpus",
                split=split,
                concept_id=concepts.get(line.id),
                doc_id=line.id,
            ),
        )
        for line in lines
    )
    return Corpus(NAME, split, "", languages, where, documents)


def _language_of(line: IdTitleLine, where: str, languages: tuple[str, ...]) -> str:
    """The language in the document id, e.g. ``de`` in ``C000007_de_000``."""
    match = _DOC_ID.fullmatch(line.id)
    if not match and len(languages) == 1:
        return languages[0]
    if not match or match[1] not in languages:
        raise BenchmarkError(
            f"{where}, line {line.line}: the id {line.id!r} names none of the set's languages, "
            f"{', '.join(languages)}: get the set again"
        )
    return match[1]


def _lines(tree: FileTree, name: str) -> Iterator[IdTitleLine]:
    return read_title_lines(tree.lines(name), tree.where(name))
