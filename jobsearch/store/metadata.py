"""What a collection was made of, and the guard that compares it with what is asked."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

from jobsearch.errors import CollectionMismatch
from jobsearch.types import EncoderInfo, SourceInfo, VectorStorage

SCHEMA_VERSION = 1
_NESTED = ("encoder", "sources", "storage")


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """Stored with every collection.

    Args:
        language: ISO 639-1 code of all its titles.
        encoder: what made its vectors.
        sources: what it holds, one entry a source and split.
        expected_points: number of points of the finished build.
        status: ``building`` until the build is complete.
        created_at: ISO 8601, UTC.
        created_by: program and version.
        previous: physical name of the build that this one replaced, empty if none.
        storage: how its vectors are kept.
    """

    language: str
    encoder: EncoderInfo
    sources: tuple[SourceInfo, ...]
    expected_points: int
    status: Literal["building", "ready"]
    created_at: str
    created_by: str
    previous: str = ""
    storage: VectorStorage = VectorStorage()
    schema_version: int = SCHEMA_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Flat keys (Qdrant merges metadata one level deep); ``sources`` is a JSON string."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NESTED}
        own["sources"] = json.dumps([asdict(s) for s in self.sources], ensure_ascii=False)
        return {**own, **asdict(self.encoder), **asdict(self.storage)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CollectionMetadata":
        """Read what :meth:`as_dict` wrote.

        Raises:
            CollectionMismatch: keys are missing, or another version of the schema wrote it.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CollectionMismatch(
                f"the collection has metadata of version {version!r}, this jobsearch reads "
                f"{SCHEMA_VERSION}: ingest it again"
            )
        try:
            encoder = EncoderInfo(**{f.name: data[f.name] for f in fields(EncoderInfo)})
            own = {f.name: data[f.name] for f in fields(cls) if f.name not in _NESTED}
            sources = tuple(SourceInfo(**entry) for entry in json.loads(data["sources"]))
            # Collections that were made before it could be chosen have none of this.
            known = {f.name: data[f.name] for f in fields(VectorStorage) if f.name in data}
            storage = VectorStorage(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise CollectionMismatch(
                f"the collection's metadata cannot be read ({error}): ingest it again"
            ) from error
        return cls(encoder=encoder, sources=sources, storage=storage, **cast(Any, own))


def check_collection(
    name: str, metadata: CollectionMetadata, *, language: str, encoder: EncoderInfo
) -> None:
    """The guard: is this collection in this language and made by this very encoder?

    A dimension alone cannot tell a pretrained model from its fine-tuned twin, so every field that
    decides a vector is compared, and the build must be complete.

    Raises:
        CollectionMismatch: naming every field that differs.
    """
    problems = []
    if metadata.language != language:
        problems.append(f"language is {metadata.language}, asked for {language}")
    if metadata.status != "ready":
        problems.append("its build is not complete")
    stored, asked = asdict(metadata.encoder), asdict(encoder)
    problems += [
        f"{key} is {_short(stored[key])}, the encoder has {_short(asked[key])}"
        for key in stored
        if stored[key] != asked[key]
    ]
    if problems:
        raise CollectionMismatch(
            f"collection {name} does not fit: {'; '.join(problems)}. "
            "Ingest the titles again with this model"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 20 else f"{text[:12]}…"
