"""Makes a collection beside the live one, and puts it in its place when it is complete."""

from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from ingest.live import Live
from ingest.reading import Reading
from ingest.unfinished import find_unfinished
from jobsearch import __version__
from jobsearch.errors import JobSearchError, StoreDamaged
from jobsearch.models.encoder import CHUNK_SIZE, TitleEncoder
from jobsearch.store import CollectionMetadata, PointBatch, Store, Vectors
from jobsearch.store.names import build_name
from jobsearch.text import normalize_title
from jobsearch.types import SourceInfo, VectorStorage

_CHECKED_TITLES = 64
_CHECKED_DEPTH = 10
# Cosine of a vector with itself, after a round trip through the store.
_SAME = 0.999


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: its name, all its sources and its number of points."""

    name: str
    sources: tuple[SourceInfo, ...]
    points: int


class Builder:
    """One build of one collection.

    Args:
        store: where to build; its build lock is held.
        alias: what shall point at the collection.
        live: what the alias points at now.
        language: of all titles.
        encoder: makes the vectors.
        storage: how they are kept.
        source: what is being stored.
        resume: go on with a build that was not finished, if there is one for all of this.
        progress: draw a bar on the standard error, if that is a terminal.
    """

    def __init__(
        self,
        store: Store,
        alias: str,
        live: Live,
        *,
        language: str,
        encoder: TitleEncoder,
        storage: VectorStorage,
        source: SourceInfo,
        resume: bool,
        progress: bool,
    ) -> None:
        self._store, self._alias, self._live = store, alias, live
        self._encoder, self._source, self._progress = encoder, source, progress
        self._empty = CollectionMetadata(
            language=language,
            encoder=encoder.info,
            sources=(source,),
            expected_points=0,
            status="building",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            created_by=f"jobsearch {__version__}",
            storage=storage,
        )
        self._begun = find_unfinished(store, alias, self._empty) if resume else None
        self._name = self._begun.name if self._begun else build_name(alias, encoder.info)

    def build(self, reading: Reading) -> Built:
        """Store the titles read and those of other sources, check, and move the alias.

        Whatever goes wrong, the alias stays where it is and the build is dropped.

        Raises:
            StoreError: the store failed, lost points, or another ingest was faster.
        """
        try:
            with ThreadPoolExecutor(self._store.upload_streams) as uploaders:
                kept = uploaders.submit(self._begin)
                texts_and_vectors = self._encode_and_upload(reading, uploaders, kept)
            sources = (*kept.result(), self._source)
            points = sum(s.points for s in sources)
            ready = replace(self._empty, sources=sources, expected_points=points, status="ready")
            self._store.finish(self._name, ready)
            self._check(*texts_and_vectors)
            self._store.swap_alias(self._alias, self._name, expected=self._live.name)
        except BaseException:
            with suppress(JobSearchError):
                self._store.drop(self._name)
            raise
        return Built(self._name, sources, points)

    def _begin(self) -> tuple[SourceInfo, ...]:
        """Make the collection and copy what it keeps, while the first batch is encoded."""
        if self._begun is None:
            self._store.create(self._name, self._empty)
        return self._copy_kept()

    def _copy_kept(self) -> tuple[SourceInfo, ...]:
        """Copy the points of other sources; their numbers are counted anew."""
        if self._live.name is None or not self._live.kept:
            return ()
        wanted = {(s.source, s.split) for s in self._live.kept}
        counts: Counter[tuple[str, str]] = Counter()
        for batch in self._store.scroll(self._live.name):
            owners = [(p["source"], p.get("split", "")) for p in batch.payloads]
            rows = [row for row, owner in enumerate(owners) if owner in wanted]
            if rows:
                counts.update(owners[row] for row in rows)
                self._store.upsert(self._name, _pick(batch, rows))
        counted = (replace(s, points=counts[s.source, s.split]) for s in self._live.kept)
        return tuple(s for s in counted if s.points)

    def _encode_and_upload(
        self, reading: Reading, uploaders: ThreadPoolExecutor, begun: Future[Any]
    ) -> tuple[list[str], Vectors]:
        """Encode every distinct text once, uploading batches while the next are encoded.

        Args:
            reading: what was read.
            uploaders: their threads upload, a batch each at a time; no more batches wait.
            begun: what must be done before.

        Returns:
            Some texts, spread over the whole, and their vectors.
        """
        places = self._missing(reading)
        # Texts of similar length share a batch, so little is padded; the longest come first, so
        # that memory runs out at once if it does.
        texts = sorted(places, key=lambda text: (-len(text), text))
        step = _step(len(texts))
        pending: deque[Future[None]] = deque()
        stored = list(set(reading.texts) - places.keys())
        checked = stored[:: _step(len(stored))]
        vectors_of_checked = [self._encoder.encode_documents(checked)]
        starts = range(0, len(texts), CHUNK_SIZE)
        batches = [texts[start : start + CHUNK_SIZE] for start in starts]
        with (
            closing(self._encoder.encode_document_batches(batches)) as encoded,
            self._bar(len(texts)) as bar,
        ):
            for start, batch, vectors in zip(starts, batches, encoded, strict=True):
                begun.result()
                if len(pending) == self._store.upload_streams:
                    pending.popleft().result()
                owners = [places[text] for text in batch]
                pending.append(uploaders.submit(self._upload, reading, owners, vectors))
                sample = range(-start % step, len(batch), step)
                checked += [batch[row] for row in sample]
                vectors_of_checked.append(vectors[sample])
                bar.update(len(batch))
            for upload in pending:
                upload.result()
        return checked, np.concatenate(vectors_of_checked)

    def _missing(self, reading: Reading) -> dict[str, list[int]]:
        """Text -> places of its records, of those that a build gone on with does not have yet."""
        stored = self._begun.stored if self._begun else frozenset()
        places: dict[str, list[int]] = {}
        for place, text in enumerate(reading.texts):
            if not stored or reading.records[place].point_id not in stored:
                places.setdefault(text, []).append(place)
        return places

    def _upload(self, reading: Reading, places: list[list[int]], vectors: Vectors) -> None:
        rows = [row for row, owners in enumerate(places) for _ in owners]
        records = [reading.records[place] for owners in places for place in owners]
        run_id = self._name.rsplit("__", 1)[1]
        points = PointBatch(
            ids=[record.point_id for record in records],
            vectors=vectors[rows],
            payloads=[record.payload(run_id) for record in records],
        )
        self._store.upsert(self._name, points)

    def _check(self, texts: list[str], vectors: Vectors) -> None:
        """Ask the finished build for some of its titles by their own vectors.

        Raises:
            StoreDamaged: one is not found.
        """
        answers = self._store.query(self._name, vectors, limit=_CHECKED_DEPTH, exact=True)
        for text, hits in zip(texts, answers, strict=True):
            same = [hit.payload["title"] for hit in hits if hit.score > _SAME]
            # Titles that no encoder can tell apart may crowd one another out.
            if text not in map(normalize_title, same) and len(same) < _CHECKED_DEPTH:
                raise StoreDamaged(
                    f"{self._name} does not find its own title {text!r}: the store or the encoder "
                    "mixes up vectors. Nothing was replaced: check the store, then ingest again"
                )

    def _bar(self, total: int) -> "tqdm[NoReturn]":
        # None: only on a terminal.
        disable = None if self._progress else True
        return tqdm(total=total, desc=self._alias, unit=" titles", disable=disable)


def _step(texts: int) -> int:
    """Distance of the texts that are checked, so that enough of them are spread over the whole."""
    return max(1, -(-texts // _CHECKED_TITLES))


def _pick(batch: PointBatch, rows: list[int]) -> PointBatch:
    return PointBatch(
        ids=[batch.ids[row] for row in rows],
        vectors=batch.vectors[rows],
        payloads=[batch.payloads[row] for row in rows],
    )
