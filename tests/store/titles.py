"""Small builds of invented titles for the tests of all engines."""

import uuid
from contextlib import closing
from dataclasses import replace

import numpy as np

from jobsearch.store import CollectionMetadata, PointBatch, Store
from jobsearch.store.metadata import alias_name, build_name
from jobsearch.types import PLAIN_STORAGE, EncoderInfo, SourceInfo, TitleRecord, VectorStorage
from jobsearch.vectors import Vectors

DIM = 16
COUNT = 60

#: A model name of this test run only, so that tests can clean up a shared server.
MODEL = f"tiny-{uuid.uuid4().hex[:8]}"


def encoder_info(model: str = MODEL, dim: int = DIM) -> EncoderInfo:
    return EncoderInfo(model, "pretrained", f"{model} 1.0", "", "a" * 64, "b" * 64, dim, "mean")


def metadata(points: int, model: str = MODEL, dim: int = DIM) -> CollectionMetadata:
    return CollectionMetadata(
        language="en",
        encoder=encoder_info(model, dim),
        sources=(SourceInfo("esco", "", "1.2.0", "c" * 64, points),),
        expected_points=points,
        status="building",
        created_at="2026-11-23T10:15:00+00:00",
        created_by="jobsearch tests",
    )


def records(count: int) -> list[TitleRecord]:
    """Title i has concept i // 3, ISCO unit group 2211 to 2215 by i mod 5, every tenth hidden."""
    return [
        TitleRecord(
            title=f"title {i}",
            language="en",
            source="esco" if i % 2 else "customer",
            kind="hidden" if i % 10 == 0 else "preferred",
            split="validation" if i % 4 == 0 else "",
            concept_id=f"http://data.europa.eu/esco/occupation/{i // 3}",
            isco=f"226{i % 5 + 1}",
        )
        for i in range(count)
    ]


def unit_vectors(count: int, dim: int = DIM, seed: int = 7) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def batch(titles: list[TitleRecord], vectors: Vectors) -> PointBatch:
    return PointBatch(
        [title.point_id for title in titles], vectors, [title.payload("run") for title in titles]
    )


def alias_for(model: str = MODEL) -> str:
    return alias_name("jobs", "en", model, "pretrained")


def build(
    store: Store,
    points: PointBatch,
    model: str = MODEL,
    *,
    live: bool = True,
    storage: VectorStorage = PLAIN_STORAGE,
) -> str:
    """Build a collection of these points, move the alias to it, and return its name."""
    dim = points.vectors.shape[1]
    name = build_name(alias_for(model), encoder_info(model, dim))
    described = replace(metadata(len(points), model, dim), storage=storage)
    store.create(name, described)
    store.upsert(name, points)
    store.finish(name, described)
    if live:
        current = store.aliases().get(alias_for(model))
        store.swap_alias(alias_for(model), name, expected=current)
    return name


TITLES = records(COUNT)
VECTORS = unit_vectors(COUNT)
POINTS = batch(TITLES, VECTORS)
ALIAS = alias_for()


def clear(url: str, model: str) -> None:
    from qdrant_client import QdrantClient

    with closing(QdrantClient(url=url, check_compatibility=False)) as client:
        for each in client.get_collections().collections:
            if f"__{model}__" in each.name:
                client.delete_collection(each.name)
