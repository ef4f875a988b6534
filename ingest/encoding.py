"""From the titles that were read to points with vectors."""

from collections.abc import Generator, Set
from contextlib import closing

from ingest.reading import Reading
from jobsearch.models.encoder import CHUNK_SIZE, TitleEncoder
from jobsearch.store import PointBatch


def encoded_points(
    reading: Reading, encoder: TitleEncoder, run_id: str, without: Set[str] = frozenset()
) -> Generator[PointBatch, None, None]:
    """The points of what was read; every distinct text is encoded once, a little ahead.

    Close it if you do not take them all.

    Args:
        reading: what was read.
        encoder: makes the vectors.
        run_id: stored with every point.
        without: ids of points that are there already.
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(reading.texts):
        if not without or reading.records[place].point_id not in without:
            places.setdefault(text, []).append(place)
    # Texts of similar length share a batch, so little is padded; the longest come first, so that
    # memory runs out at once if it does.
    texts = sorted(places, key=lambda text: (-len(text), text))
    batches = [texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE)]
    with closing(encoder.encode_document_batches(batches)) as encoded:
        for batch, vectors in zip(batches, encoded, strict=True):
            rows = [row for row, text in enumerate(batch) for _ in places[text]]
            records = [reading.records[place] for text in batch for place in places[text]]
            yield PointBatch(
                ids=[record.point_id for record in records],
                vectors=vectors[rows],
                payloads=[record.payload(run_id) for record in records],
            )
