"""From parts that other processes embedded to a collection that can be searched."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ingest.build import Builder
from ingest.language_guard import check_titles
from ingest.live import find_live
from ingest.parts import Header, Part
from jobsearch.errors import CollectionMismatch, SourceFormatError
from jobsearch.models.encoder import TitleEncoder
from jobsearch.store import PointBatch, Store

# Titles of each part whose language and vectors are compared with what is announced.
_CHECKED_TITLES = 200
_SAME = 0.999
_NAMED_PARTS = 8


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What a load did.

    Args:
        alias, collection: stable name, and the physical one that it points at.
        parts: files.
        points: stored from them.
        total_points: in the collection, those of other sources included.
        seconds: of the whole load.
    """

    alias: str
    collection: str
    parts: int
    points: int
    total_points: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def load_parts(
    parts: Sequence[Part],
    store: Store,
    encoder: TitleEncoder,
    *,
    language_check: bool = True,
    force: bool = False,
    progress: bool = False,
) -> LoadSummary:
    """Store all parts of one collection, and those points of other sources that it holds.

    Nothing that a file says is believed: the encoder must be the one that it names, some titles of
    each part are embedded again and must give the vector that is there, and their language is
    checked as an ingest does.

    Args:
        parts: all of one alias.
        store: where they go.
        encoder: the one that made the vectors.
        language_check: refuse titles that are plainly in another language.
        force: rather lose other sources than fail.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceFormatError: a part is missing or there twice, or the parts do not belong together.
        LanguageMismatch: the titles are in another language.
        CollectionMismatch: another encoder made the vectors, or other sources would be lost.
        StoreError: the store failed.
    """
    started = time.perf_counter()
    header = _whole(parts)
    plan = header.metadata
    if plan.encoder != encoder.info:
        raise CollectionMismatch(
            f"{parts[0].path} was embedded by another {plan.encoder.model} "
            f"{plan.encoder.variant} than the one at hand: load it where that model is, or embed "
            "the titles again"
        )
    for part in parts:
        _check_sample(part, encoder, language_check=language_check)
    [source] = plan.sources
    with store.build_lock(header.alias):
        live = find_live(
            store,
            header.alias,
            (source.source, source.split),
            language=plan.language,
            encoder=plan.encoder,
            force=force,
        )
        builder = Builder(store, header.alias, live, plan)
        points = _points(parts, builder.run_id)
        built = builder.build(points, source.points, progress=progress)
    seconds = time.perf_counter() - started
    return LoadSummary(header.alias, built.name, len(parts), source.points, built.points, seconds)


def _whole(parts: Sequence[Part]) -> Header:
    """The header that all parts share, if they are all there."""
    first = parts[0].header
    numbers = [part.header.part for part in parts]
    for part in parts:
        if _plan(part.header) != _plan(first):
            raise SourceFormatError(
                f"{part.path} and {parts[0].path} are not parts of one whole: embed both from the "
                "same source with the same model, or load them from folders of their own"
            )
    if first.parts != len(parts) or len(set(numbers)) != len(parts):
        # A file may announce any number of parts: only the first that are missing are looked for.
        wanted = range(1, min(first.parts, len(parts) + _NAMED_PARTS) + 1)
        missing = sorted(set(wanted) - set(numbers))[:_NAMED_PARTS]
        problem = f"lacks part {', '.join(map(str, missing))}" if missing else "has a part twice"
        raise SourceFormatError(
            f"{parts[0].path.parent} {problem} of {first.parts} of {first.alias}: nothing was "
            "stored, embed what is missing"
        )
    if len(first.metadata.sources) != 1:
        raise SourceFormatError(
            f"{parts[0].path} is a snapshot of {len(first.metadata.sources)} sources: "
            "`jobsearch collections restore` takes it"
        )
    [source] = first.metadata.sources
    points = sum(part.points for part in parts)
    if points != source.points:
        raise SourceFormatError(
            f"the {len(parts)} parts of {first.alias} have {points:,} points, {source.points:,} "
            "announced: embed the titles again"
        )
    return first


def _plan(header: Header) -> tuple[object, ...]:
    made_of = header.metadata
    return (
        header.alias,
        header.parts,
        made_of.language,
        made_of.encoder,
        made_of.sources,
        made_of.storage,
    )


def _check_sample(part: Part, encoder: TitleEncoder, *, language_check: bool) -> None:
    sample = next(part.batches(), None)
    if sample is None:
        return
    titles = [payload["title"] for payload in sample.payloads[:_CHECKED_TITLES]]
    if language_check:
        check_titles(titles, part.header.metadata.language, where=str(part.path))
    cosines = np.sum(encoder.encode_documents(titles) * sample.vectors[: len(titles)], axis=1)
    if not (cosines > _SAME).all():
        wrong = titles[int(np.argmin(cosines))]
        raise CollectionMismatch(
            f"{part.path} has another vector for {wrong!r} than the model gives: it mixes up "
            "titles, or another model made it. Embed the titles again"
        )


def _points(parts: Sequence[Part], run_id: str) -> Iterator[PointBatch]:
    for part in parts:
        for batch in part.batches():
            payloads = [{**payload, "run_id": run_id} for payload in batch.payloads]
            yield PointBatch(batch.ids, batch.vectors, payloads)
