"""Embeds a share of a source's titles into a file, for :mod:`ingest.load` to store."""

import time
import zlib
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ingest.build import planned
from ingest.encoding import encoded_points
from ingest.language_guard import check_titles
from ingest.live import source_label
from ingest.parts import Header, write_part
from ingest.reading import Reading, read_source
from ingest.sources.base import Source
from jobsearch.errors import InvalidInput
from jobsearch.languages import check_language
from jobsearch.models.encoder import TitleEncoder
from jobsearch.store.names import JOBS, alias_name
from jobsearch.types import SourceInfo, VectorStorage


@dataclass(frozen=True, slots=True)
class EmbedSummary:
    """What was embedded.

    Args:
        alias: of the collection that it is part of.
        file: where it is.
        part, parts: which of how many, from 1.
        points: in the file.
        total_points: in all parts.
        seconds: of it all.
    """

    alias: str
    file: str
    part: int
    parts: int
    points: int
    total_points: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def embed_part(
    source: Source,
    language: str,
    encoder: TitleEncoder,
    folder: Path,
    *,
    part: int = 1,
    parts: int = 1,
    language_check: bool = True,
    storage: VectorStorage = VectorStorage(),
    max_rejects: float = 0.01,
    rejects_path: Path | None = None,
    progress: bool = False,
) -> EmbedSummary:
    """Embed every ``parts``-th text of a source into a file in ``folder``.

    Each process reads the whole source, which is quick, and embeds its own share of the texts. So
    processes need nothing but the source and the model, and no text is embedded by two.

    Args:
        source: where the titles come from.
        language: one of its languages.
        encoder: makes the vectors.
        folder: of the files; made if need be.
        part: which one, from 1.
        parts: how many there are.
        language_check: refuse titles that are plainly in another language.
        storage: how the vectors shall be kept in the store.
        max_rejects: share of bad rows, from 0 to 1, above which nothing is written.
        rejects_path: JSON lines file for the bad rows.
        progress: draw a bar on the standard error, if that is a terminal.

    Raises:
        SourceError: the source cannot be read, has too many bad rows, or is in another language;
            or the file cannot be written.
        InvalidInput: the source has no such language, or there is no such part.
    """
    started = time.perf_counter()
    language = check_language(language)
    if language not in source.languages:
        raise InvalidInput(f"{source.name} has no titles in {language}")
    if not 1 <= part <= parts:
        raise InvalidInput(f"there is no part {part} of {parts}: parts are numbered from 1")
    reading = read_source(source, language, max_rejects=max_rejects, rejects_path=rejects_path)
    total = len(reading.records)
    entry = SourceInfo(source.name, source.split, source.version, source.sha256(language), total)
    if language_check:
        check_titles(reading.texts, language, where=source_label(entry))
    alias = alias_name(JOBS, language, encoder.info.model, encoder.info.variant)
    plan = planned(language, encoder.info, (entry,), storage)
    header = Header(alias, plan, part, parts)
    share = _share(reading, part, parts)
    path = folder / header.file_name
    with (
        tqdm(total=len(share.records), desc=path.name, disable=None if progress else True) as bar,
        closing(encoded_points(share, encoder, run_id="")) as encoded,
    ):
        batches = (batch for batch in encoded if bar.update(len(batch)) or True)
        points = write_part(path, header, batches)
    seconds = time.perf_counter() - started
    return EmbedSummary(alias, str(path), part, parts, points, total, seconds)


def _share(reading: Reading, part: int, parts: int) -> Reading:
    """What one process embeds: all records of a text together."""
    mine = [
        i for i, text in enumerate(reading.texts) if zlib.crc32(text.encode()) % parts == part - 1
    ]
    return replace(
        reading,
        records=[reading.records[i] for i in mine],
        texts=[reading.texts[i] for i in mine],
    )
