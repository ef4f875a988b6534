"""What a collection was made of, and the guard that compares it with what is asked."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from jobsearch.errors import CollectionMismatch
from jobsearch.text import slug
from jobsearch.types import EncoderInfo, SourceInfo, Variant, VectorStorage

SCHEMA_VERSION = 1
_NESTED = ("encoder", "sources", "storage")
# Qdrant takes no longer vectors.
_MAX_DIM = 65_536


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """Stored with every collection.

    Args:
        language: ISO 639-1 code of all its titles.
        encoder: what made its vectors.
        sources: what it holds, one entry a source and split.
        expected_points: number of points of the finished build.
        status: ``building`` until the build is complete.
        created_at: when the build began, ISO 8601, UTC.
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
            CollectionMismatch: keys are missing, a value cannot be one, or another version of the
                schema wrote it.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CollectionMismatch(
                f"the collection has metadata of version {version!r}, this jobsearch reads "
                f"{SCHEMA_VERSION}: ingest it again"
            )
        try:
            metadata = cls(
                encoder=EncoderInfo(**_typed(EncoderInfo, data)),
                sources=tuple(
                    SourceInfo(**_typed(SourceInfo, entry)) for entry in json.loads(data["sources"])
                ),
                # Collections that were made before it could be chosen have none of this.
                storage=VectorStorage(**_typed(VectorStorage, {**asdict(VectorStorage()), **data})),
                **_typed(cls, data),
            )
            metadata._check_values()
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise CollectionMismatch(
                f"the collection's metadata cannot be read ({error}): ingest it again"
            ) from error
        return metadata

    def _check_values(self) -> None:
        if not 0 < self.encoder.dim <= _MAX_DIM:
            raise ValueError(f"dim is {self.encoder.dim}")
        if min(self.expected_points, *(source.points for source in self.sources), 0) < 0:
            raise ValueError("a number of points is negative")
        if datetime.fromisoformat(self.created_at).tzinfo is None:
            raise ValueError(f"created_at is {self.created_at!r}, without an offset")


def _typed(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a dataclass's own fields, each of the type or among the words it announces."""
    values = {}
    for field in fields(kind):
        if field.name in _NESTED:
            continue
        value, words = data[field.name], get_args(field.type)
        if value not in words if words else type(value) is not field.type:
            raise TypeError(f"{field.name} is {_short(value)}")
        if isinstance(value, str):
            # JSON can hold half of a character, which no store can.
            value.encode()
        values[field.name] = value
    return values


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


#: What is searched.
JOBS = "jobs"
_EVAL = "eval-"

# Names become folders, so nothing else may stand in them.
_ALLOWED = re.compile(r"[a-z0-9_-]{1,200}")


def eval_namespace(benchmark: str, split: str) -> str:
    """Where the corpora of a benchmark are, apart from what is searched and from each other."""
    return f"{_EVAL}{slug(f'{benchmark} {split}')}"


def alias_name(namespace: str, language: str, model: str, variant: Variant) -> str:
    """The stable name of a collection."""
    return "__".join((namespace, language, slug(model), variant))


def build_name(alias: str, encoder: EncoderInfo, now: datetime | None = None) -> str:
    """The physical name of a build that begins now (UTC, microseconds)."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dt%H%M%S%f")
    return f"{alias}__{moment}_{encoder.fingerprint[:8]}"


def is_ours(name: str) -> bool:
    """Whether a collection's name follows the scheme."""
    parts = name.split("__")
    return len(parts) == 5 and bool(_ALLOWED.fullmatch(name)) and _is_namespace(parts[0])


def _is_namespace(text: str) -> bool:
    return text == JOBS or text.startswith(_EVAL)


def check_name(name: str) -> str:
    """Return the name of a collection or an alias, or raise ``ValueError`` for its characters."""
    if not _ALLOWED.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a collection or an alias: use [a-z0-9_-]")
    return name


def check_alias(alias: str, language: str, encoder: EncoderInfo) -> str:
    """Return an alias for titles in this language and an encoder, or raise ``ValueError``.

    What is built for it must have a name, too.
    """
    namespace, _, _ = alias.partition("__")
    expected = alias_name(namespace, language, encoder.model, encoder.variant)
    if alias != expected or not is_ours(build_name(alias, encoder)):
        raise ValueError(
            f"{alias!r} is no alias of titles in {language} by {encoder.model} {encoder.variant}, "
            f"as {alias_name(JOBS, language, encoder.model, encoder.variant)} is"
        )
    return alias


def alias_of(name: str) -> str:
    """The alias that a physical name was built for."""
    return name.rsplit("__", 1)[0]
