"""Options that several methods of the facade share."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from jobsearch.types import Topology, VectorStorage

if TYPE_CHECKING:
    from jobsearch.settings import VariantChoice


class EmbedOptions(TypedDict, total=False):
    """Options of everything that embeds the titles of a source.

    Args:
        languages: languages to ingest; all languages of the source if left out.
        language_check: refuse titles that are plainly in another language (default True).
        max_rejects: share of bad rows, from 0 to 1, above which nothing is stored (default 0.01).
        rejects: folder for files with the bad rows; none are written if left out.
        cache_dir: folder of the cache of embeddings; that of the operating system if left out.
        cache_mb: size of the cache above which embeddings are deleted, first the oldest ones that
            this ingest does not use, then the last ones that it stored; 0 uses none
            (default 2048).
        workers: number of processes that embed (default 1).
        storage: how vectors are stored; as in the live collection if left out.
    """

    languages: str | Sequence[str] | None
    language_check: bool
    max_rejects: float
    rejects: Path | None
    cache_dir: Path | None
    cache_mb: int
    workers: int
    storage: VectorStorage | None


class IngestOptions(EmbedOptions, total=False):
    """Options of an ingest, beside those of :class:`EmbedOptions`.

    Args:
        force: build even if nothing has changed.
        drop_others: drop other sources that cannot be kept, instead of failing.
        resume: continue an interrupted build on a server.
        topology: how a server spreads a collection over a cluster; as the live collection if left
            out.
    """

    force: bool
    drop_others: bool
    resume: bool
    topology: Topology | None


class SearchOptions(TypedDict, total=False):
    """Options of a search; see :meth:`jobsearch.search.engine.SearchEngine.search`.

    ``isco``, ``kinds``, ``concept_ids``, ``sources`` and ``splits`` are conditions on the titles
    (:class:`jobsearch.types.Filters`), each one string or several.
    """

    to: str | Sequence[str] | None
    query_language: str | None
    top: int
    isco: str | Iterable[str]
    kinds: str | Iterable[str]
    concept_ids: str | Iterable[str]
    sources: str | Iterable[str]
    splits: str | Iterable[str]
    variant: "VariantChoice | None"
    group_by_concept: bool
    min_score: float | None
