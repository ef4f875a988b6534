"""The front door: a store of titles, a model, and everything that can be done with them.

    import jobsearch

    with jobsearch.open(".jobsearch") as jobs:
        jobs.ingest("jobs.csv", title="job_title", language="de", isco="isco08")
        for hit in jobs.search("Krankenschwester", to="en", isco="222", top=5):
            print(hit.title, hit.score)

Commands that ingest, search, evaluate, train or manage collections call this module and nothing
below it. It imports other packages, and every model, when they are needed.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from jobsearch.errors import (
    CollectionInUse,
    CollectionNotFound,
    InvalidInput,
    StoreLocked,
    TrainingError,
)
from jobsearch.options import EmbedOptions, IngestOptions, SearchOptions
from jobsearch.session import Session
from jobsearch.settings import DEFAULT_MODEL, DEFAULT_MODELS_DIR, DEFAULT_STORE, Secret, Settings
from jobsearch.types import PLAIN_STORAGE, Filters, Topology, Variant, VectorStorage, as_values

if TYPE_CHECKING:
    from eval.benchmarks.base import Benchmark
    from eval.evaluation import Evaluation
    from eval.systems import System
    from ingest.build import FinishedBuild
    from ingest.pipeline import IngestSummary
    from ingest.remote import EmbedSummary, LoadSummary
    from ingest.sources import Source
    from ingest.transfer import Transferred
    from jobsearch.models.training.train import TrainingReport
    from jobsearch.search.engine import SearchEngine, SearchResult
    from jobsearch.settings import VariantChoice
    from jobsearch.store.protocol import CollectionInfo

_TRAINING_PACKAGES = ("accelerate", "datasets")


def open(  # noqa: A001 # meant to be read as jobsearch.open
    store: str | Path = DEFAULT_STORE,
    *,
    model: str = DEFAULT_MODEL,
    variant: "VariantChoice" = "auto",
    models_dir: str | Path = DEFAULT_MODELS_DIR,
    api_key: str | None = None,
    timeout_s: float = 30.0,
    retry_s: float = 30.0,
    progress: bool = False,
) -> "Jobs":
    """Open a store for a model. Nothing is written before titles are ingested.

    Args:
        store: folder of an embedded store, URL of a Qdrant server, or ``:memory:``.
        model: ``builtin``, ``mpnet``, a SentenceTransformer directory or a Hugging Face id.
        variant: ``pretrained``, ``finetuned``, or the policy that chooses: ``auto`` ingests and
            evaluates every variant, and searches with the fine-tuned one where it exists;
            ``paper`` searches with the fine-tuned one within a language only.
        models_dir: folder with fine-tuned variants.
        api_key: API key of the server.
        timeout_s: timeout of one request to the server.
        retry_s: how long to retry temporary server failures.
        progress: draw bars on the standard error, if that is a terminal.

    Raises:
        InvalidInput: the store or the key cannot be used.
        StoreUnavailable: the server does not answer.
        StoreError: the server is too old or refuses the key.
    """
    settings = Settings(
        store=str(store),
        model=model,
        variant=variant,
        models_dir=Path(models_dir),
        api_key=Secret(api_key) if api_key else None,
        timeout_s=timeout_s,
        retry_s=retry_s,
    )
    jobs = Jobs(settings, progress=progress)
    _ = jobs.store
    return jobs


class Jobs(Session):
    """A store and a model; use :func:`open`, or ``with jobsearch.open(...) as jobs``.

    Safe in threads. After a fork, and when it is pickled into another process, it opens the store
    again by itself.
    """

    # Search

    def languages(self) -> dict[str, tuple[Variant, ...]]:
        """The languages that the store holds for this model, with their variants."""
        return self._searcher().languages()

    def search(
        self, query: str, *, exact: bool = False, **options: Unpack[SearchOptions]
    ) -> "SearchResult":
        """Find the titles nearest to a job title; iterating over the result gives its hits.

        Args:
            query: a job title in any language that the model knows.
            exact: compare with every title that passes the conditions, without the index.
            options: see :class:`SearchOptions`.

        Raises:
            JobSearchError: see :meth:`jobsearch.search.engine.SearchEngine.search`.
        """
        return self._searcher().search(query, exact=exact, **self._search_options(options))

    def search_many(
        self, queries: Sequence[str], **options: Unpack[SearchOptions]
    ) -> "list[SearchResult]":
        """Answer many job titles at once, in their order; much faster than a loop of searches.

        Args:
            queries: job titles.
            options: see :class:`SearchOptions`.

        Raises:
            JobSearchError: see :meth:`jobsearch.search.engine.SearchEngine.search_many`.
        """
        return self._searcher().search_many(queries, **self._search_options(options))

    def _search_options(self, options: SearchOptions) -> dict[str, Any]:
        names = ("isco", "kinds", "concept_ids", "sources", "splits")
        rest: dict[str, Any] = {key: value for key, value in options.items() if key not in names}
        conditions: dict[str, Any] = {key: options[key] for key in names if key in options}  # type: ignore[literal-required]
        rest["variant"] = rest.get("variant") or self.settings.variant
        return {**rest, "filters": Filters(**conditions)}

    def _searcher(self) -> "SearchEngine":
        from jobsearch.models import short_name
        from jobsearch.search import SearchEngine

        with self._lock:
            if self._engine is None:
                name = short_name(self.settings.model)
                self._engine = SearchEngine(self.store, name, self.encoder)
            return self._engine

    # Ingest

    def ingest(
        self,
        table: str | Path,
        *,
        title: str,
        language: str | None = None,
        language_column: str | None = None,
        concept_id: str | None = None,
        isco: str | None = None,
        kind: str | None = None,
        name: str | None = None,
        split_titles: str | None = None,
        **options: Unpack[IngestOptions],
    ) -> "list[IngestSummary]":
        """Ingest a table: a CSV, TSV, JSON Lines, Parquet or Excel file.

        Args:
            table: path of the file.
            title: column with the title.
            language: code, tag or name of the language of all titles; beside ``language_column``,
                of titles whose cell is empty.
            language_column: column with the language of each title.
            concept_id: column with the id of the concept.
            isco: column with an ISCO-08 code.
            kind: column with preferred, alternative or hidden.
            name: name of the source; the file's name if left out.
            split_titles: separator of several titles in one cell; line breaks separate titles too.
            options: see :class:`IngestOptions`.

        Returns:
            A summary per variant and language.

        Raises:
            SourceError, StoreError, InvalidInput: see :func:`ingest.pipeline.ingest`.
        """
        from ingest.sources import TableSource

        source = TableSource(
            table, title=title, language=language, language_column=language_column,
            concept_id=concept_id, isco=isco, kind=kind, name=name, split_titles=split_titles,
        )  # fmt: skip
        return self.ingest_source(source, **options)

    def ingest_esco(
        self, path: str | Path, *, hidden: bool = False, **options: Unpack[IngestOptions]
    ) -> "list[IngestSummary]":
        """Ingest an ESCO export, a folder or zip file; see :meth:`ingest`.

        Args:
            path: of the export.
            hidden: ingest hidden labels too.
            options: see :class:`IngestOptions`.
        """
        from ingest.sources import EscoSource

        given = options.get("languages")
        languages = None if given is None else as_values(given, "languages")
        source = EscoSource(path, hidden=hidden, languages=languages)
        return self.ingest_source(source, **options)

    def ingest_sample(self, **options: Unpack[IngestOptions]) -> "list[IngestSummary]":
        """Ingest the sample that ships with jobsearch; see :meth:`ingest`."""
        from ingest.sources import SampleSource

        return self.ingest_source(SampleSource(), **options)

    def ingest_source(
        self, source: "Source", **options: Unpack[IngestOptions]
    ) -> "list[IngestSummary]":
        """Ingest any source (:mod:`ingest.sources`) in its languages and the model's variants.

        Each file is read once for all its languages and variants. See :meth:`ingest`.
        """
        from ingest.pipeline import ingest_languages

        topology = options.pop("topology", None)
        with ExitStack() as opened:
            store = self.store
            if topology not in (None, Topology()):
                store = opened.enter_context(closing(self._open_store(topology)))
            languages, cache, rest = _split(options)
            encoders = opened.enter_context(self._document_encoders(**cache))
            return ingest_languages(
                source,
                languages,
                store,
                encoders,
                directory=self._model_directory(),
                progress=self._progress,
                **rest,
            )

    def embed(
        self,
        source: "Source",
        folder: str | Path,
        *,
        part: int = 1,
        parts: int = 1,
        **options: Unpack[EmbedOptions],
    ) -> "list[EmbedSummary]":
        """Embed a share of a source into Parquet files, which :meth:`load` stores.

        Args:
            source: the titles.
            folder: of the files; created if needed.
            part: number of this share, from 1.
            parts: number of shares; other processes or machines embed the others.
            options: see :class:`EmbedOptions`.

        Raises:
            SourceError, InvalidInput: see :func:`ingest.remote.embed_languages`.
        """
        from ingest.remote import embed_languages

        languages, cache, rest = _split(options)
        with self._document_encoders(**cache) as encoders:
            return embed_languages(
                source, languages, encoders, Path(folder), part=part, parts=parts,
                progress=self._progress, **rest,
            )  # fmt: skip

    def load(
        self, path: str | Path, *, language_check: bool = True, drop_others: bool = False
    ) -> "list[LoadSummary]":
        """Store the files that :meth:`embed` wrote into a folder, each collection in turn.

        Args:
            path: of the folder, or of a single file.
            language_check: refuse titles that are plainly in another language.
            drop_others: drop other sources that cannot be kept, instead of failing.

        Raises:
            SourceError, StoreError: see :func:`ingest.remote.load_parts`.
        """
        from itertools import groupby

        from ingest.pipeline import naming_what_is_done
        from ingest.point_files import find_point_files
        from ingest.remote import load_parts

        summaries: list[LoadSummary] = []
        files = find_point_files(Path(path))
        with naming_what_is_done([summaries], "stored", lambda summary: summary.alias):
            for alias, found in groupby(files, key=lambda file: file.header.alias):
                parts = list(found)
                variant = parts[0].header.metadata.encoder.variant
                self._notify(f"loading {self.settings.model} {variant} for {alias}")
                summaries.append(
                    load_parts(
                        parts, self.store, self.encoder(variant), language_check=language_check,
                        drop_others=drop_others, directory=self._model_directory(),
                        progress=self._progress,
                    )
                )  # fmt: skip
        return summaries

    # Evaluation and training

    def evaluate(
        self,
        benchmark: "str | Sequence[Benchmark]",
        *paths: str | Path,
        runs: str | Path | None = None,
        results: str | Path | None = None,
        baselines: str | Sequence[str] = (),
        index_loss: bool = False,
        storage: VectorStorage = PLAIN_STORAGE,
        language_check: bool = True,
        **options: Any,
    ) -> "Evaluation":
        """Measure the model's variants, and baselines, on a benchmark through the store.

        Args:
            benchmark: ``talentclef``, ``melo``, ``esco``, ``trec`` or ``sample``; or benchmarks
                that were loaded before.
            paths: of the benchmark's files, as its loader in :mod:`eval.benchmarks` takes them.
            runs: folder for TREC run files; none are written if None.
            results: folder for results. Results that are there and still valid are not measured
                again.
            baselines: rankings without a model: ``random``, ``bm25``, ``tfidf``.
            index_loss: also measure the loss and the speed of the live index.
            storage: how the vectors of the corpora are stored.
            language_check: refuse queries or documents that are plainly in another language.
            options: of the loader, such as ``pairs`` or ``split``.

        Raises:
            BenchmarkError: the files do not fit together, or a collection lacks documents.
            SourceError, StoreError, ModelError: titles, store or model cannot be used.
            InvalidInput: the benchmark or a baseline is unknown.
        """
        from eval.benchmarks import LOADERS
        from eval.evaluation import evaluate_systems

        if isinstance(benchmark, str):
            if benchmark not in LOADERS:
                raise InvalidInput(
                    f"unknown benchmark {benchmark!r}: give one of {', '.join(LOADERS)}"
                )
            benchmark = LOADERS[benchmark](*paths, **options)
        return evaluate_systems(
            benchmark,
            self._systems(as_values(baselines, "baselines"), storage),
            runs=Path(runs) if runs else None,
            results=Path(results) if results else None,
            index_loss=index_loss,
            language_check=language_check,
            progress=self._progress,
            notify=self._notify,
        )

    def _systems(self, baselines: Sequence[str], storage: VectorStorage) -> "Iterator[System]":
        """The baselines, then the variants, each loaded when it is needed."""
        from eval.systems import BASELINES, VectorSearch

        if unknown := [name for name in baselines if name not in BASELINES]:
            raise InvalidInput(
                f"unknown baseline {unknown[0]!r}: give one of {', '.join(BASELINES)}"
            )
        yield from (BASELINES[name] for name in baselines)
        for variant in self.variants():
            self._notify(f"loading {self.settings.model} {variant}")
            yield VectorSearch(self.store, self.encoder(variant), storage)

    def train(
        self,
        path: str | Path,
        *,
        languages: str | Sequence[str] | None = None,
        recipe: str = "aligned",
        train: str | None = None,
        resume: bool = False,
        replace: bool = False,
        **changes: Any,
    ) -> "TrainingReport":
        """Fine-tune the model on the titles of a taxonomy, and publish it if it helps.

        Args:
            path: ESCO export or TalentCLEF training pairs, a folder or zip; or ``sample``.
            languages: languages to train on; all that the data has if None.
            recipe: ``aligned`` or ``paper``.
            train: ``head`` (builtin only, its default), ``all`` (the default elsewhere) or
                ``adapter``.
            resume: continue an interrupted training of the same recipe.
            replace: keep an earlier fine-tuned variant as ``finetuned.previous``.
            changes: fields of the recipe (:class:`jobsearch.models.training.pairs.Recipe`).

        Returns:
            The report. Its ``chosen`` is None if nothing was fit to be published.

        Raises:
            TrainingError, SourceError, ModelError: see
                :func:`jobsearch.models.training.train.train`.
        """
        if missing := [name for name in _TRAINING_PACKAGES if find_spec(name) is None]:
            raise TrainingError(
                f"training needs {' and '.join(missing)}: run `pip install 'jobsearch[train]'`"
            )
        from ingest.training_titles import SAMPLE, read_training_titles, training_source
        from jobsearch.models.catalog import BUILTIN
        from jobsearch.models.training.pairs import recipe as named_recipe
        from jobsearch.models.training.train import train as run

        settings = self.settings
        wanted = None if languages is None else as_values(languages, "languages")
        source = training_source(path, wanted)
        part: Any = train or ("head" if settings.model == BUILTIN else "all")
        chosen = named_recipe(recipe, part, **changes)
        for name, value in chosen.as_dict().items():
            self._notify(f"{name}: {value}")
        return run(
            settings.model,
            read_training_titles([source]),
            chosen,
            models_dir=settings.models_dir,
            watched=read_training_titles([training_source(SAMPLE)]),
            data=[
                {"source": source.name, "version": source.version, "language": code,
                 "sha256": source.sha256(code), "licence": source.licence}
                for code in source.languages
            ],
            resume=resume,
            replace=replace,
            progress=self._progress,
        )  # fmt: skip

    # Collections

    def collections(self) -> "list[CollectionInfo]":
        """All collections of the store, sorted by physical name."""
        return self.store.collections()

    def describe(self, name: str) -> "CollectionInfo":
        """Look up one collection by alias or physical name."""
        return self.store.describe(name)

    def verify(self, name: str) -> list[str]:
        """Check every point and file of a collection; returns the problems found."""
        return self.store.verify(name)

    def rollback(self, alias: str) -> str:
        """Point an alias back at the previous build; returns its name. Twice is an undo."""
        return self.store.rollback(alias)

    def remove_source(self, alias: str, source: str) -> "FinishedBuild":
        """Build a collection anew without one of its sources; :meth:`rollback` undoes it."""
        from ingest.build import remove_source

        return remove_source(self.store, alias, source, progress=self._progress)

    def drop(self, name: str) -> None:
        """Delete a collection by its physical name; one that an alias points at is refused."""
        self.store.drop(name)

    def prune(self, *, hours: float = 24.0, previous: bool = False) -> list[str]:
        """Delete builds that never went live, and what killed deletions left; returns their names.

        Args:
            hours: builds that began later than this many hours ago are kept: they may be running,
                or about to go live.
            previous: also delete the builds that are kept for :meth:`rollback`.
        """
        from jobsearch.store.lifecycle import unused_builds

        unused = unused_builds(self.store.collections(), older_than_h=hours, previous=previous)
        deleted = []
        for name in (*self.store.leftovers(), *unused):
            try:
                self.store.drop(name)
            except CollectionNotFound:
                # Another process has deleted it.
                continue
            except (CollectionInUse, StoreLocked) as error:
                self._notify(f"left alone: {error}")
            else:
                deleted.append(name)
        return deleted

    def snapshot(self, name: str, file: str | Path, *, native: bool = False) -> "Transferred":
        """Write a collection into a file.

        Args:
            name: alias or physical name.
            file: a Parquet file that can be restored into any store.
            native: a Qdrant server's own snapshot instead, with its index; only a server of the
                same version or the next can restore it.
        """
        from ingest.transfer import write_server_snapshot, write_snapshot

        if not native:
            return write_snapshot(self.store, name, Path(file))
        with closing(self._server_snapshots()) as snapshots:
            return write_server_snapshot(
                self.store, snapshots, name, Path(file), progress=self._progress
            )

    def restore(self, file: str | Path) -> "Transferred":
        """Make a collection from a snapshot; the previous build is kept for :meth:`rollback`."""
        from ingest.transfer import restore_server_snapshot, restore_snapshot
        from jobsearch.store.server.snapshots import is_server_snapshot

        if not is_server_snapshot(Path(file)):
            return restore_snapshot(Path(file), self.store, progress=self._progress)
        with closing(self._server_snapshots()) as snapshots:
            return restore_server_snapshot(
                Path(file), self.store, snapshots, progress=self._progress
            )

    def migrate(self, target: "Jobs", aliases: str | Sequence[str] = ()) -> "list[Transferred]":
        """Copy collections into another store; their counts and some answers are compared first.

        Args:
            target: opened on the other store.
            aliases: collections to copy; all that an alias points at if left out.
        """
        from ingest.transfer import migrate

        return [
            migrate(self.store, alias, target.store, progress=self._progress)
            for alias in as_values(aliases, "aliases") or self.store.aliases()
        ]


def _split(
    options: EmbedOptions,
) -> tuple[tuple[str, ...] | None, dict[str, Any], dict[str, Any]]:
    """The languages, the options of the encoders, and the other options."""
    rest: dict[str, Any] = dict(options)
    given = rest.pop("languages", None)
    names = ("cache_dir", "cache_mb", "workers")
    cache = {name: rest.pop(name) for name in names if name in rest}
    return (None if given is None else as_values(given, "languages")), cache, rest
