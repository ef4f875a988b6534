"""The metadata of a collection, its names, and the check that a collection fits an encoder."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jobsearch.errors import CollectionMismatch
from jobsearch.text import slug
from jobsearch.types import PLAIN_STORAGE, EncoderInfo, SourceInfo, Variant, VectorStorage

SCHEMA_VERSION = 1
_NESTED = ("encoder", "sources", "storage")
# Qdrant's maximum.
_MAX_DIM = 65_536


@dataclass(frozen=True, slots=True)
class CollectionMetadata:
    """The description that is stored with every collection.

    Args:
        language: ISO 639-1 code of all its titles.
        encoder: the encoder of its vectors.
        sources: the sources of its titles, one entry per source and split.
        expected_points: number of points of the finished build.
        status: ``building`` until the build is complete.
        created_at: start of the build, ISO 8601, UTC.
        created_by: program and version.
        previous: physical name of the build that this one replaced; empty if none.
        directory: absolute path of the model, if it is a directory.
        storage: storage format of its vectors. Only point files leave values out, for the
            collection into which they are loaded.
    """

    language: str
    encoder: EncoderInfo
    sources: tuple[SourceInfo, ...]
    expected_points: int
    status: Literal["building", "ready"]
    created_at: str
    created_by: str
    previous: str = ""
    directory: str | None = None
    storage: VectorStorage = PLAIN_STORAGE

    def as_dict(self) -> dict[str, Any]:
        """Return flat keys, as Qdrant merges metadata one level deep; ``sources`` is JSON text."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NESTED}
        if self.directory is None:
            del own["directory"]
        own["schema_version"] = SCHEMA_VERSION
        own["sources"] = json.dumps([asdict(s) for s in self.sources], ensure_ascii=False)
        storage = {name: value for name, value in asdict(self.storage).items() if value is not None}
        return {**own, **self.encoder.as_dict(), **storage}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "CollectionMetadata":
        """Read the output of :meth:`as_dict`.

        Raises:
            CollectionMismatch: a key is missing, a value is invalid, or the schema version differs.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CollectionMismatch(
                f"the collection has metadata of version {version!r}, and this jobsearch reads "
                f"version {SCHEMA_VERSION}: ingest it again"
            )
        try:
            metadata = cls(
                encoder=EncoderInfo.from_dict({**data, **_typed(EncoderInfo, data)}),
                sources=tuple(
                    # Older collections lack the origin.
                    SourceInfo(**_typed(SourceInfo, {"origin": None, **entry}))
                    for entry in json.loads(data["sources"])
                ),
                # Older collections lack these keys: their storage is plain.
                storage=VectorStorage(**_typed(VectorStorage, {**asdict(VectorStorage()), **data})),
                # Older collections lack the directory.
                **_typed(cls, {"directory": None, **data}),
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
    """Return the values of a dataclass's own fields; raise if one does not match its annotation."""
    values = {}
    for field in fields(kind):
        if field.name in _NESTED:
            continue
        value = data[field.name]
        if not _fits(value, field.type):
            raise TypeError(f"{field.name} is {_short(value)}")
        if isinstance(value, str):
            # JSON allows lone surrogates, which no store accepts: encoding raises for them.
            value.encode()
        values[field.name] = value
    return values


def _fits(value: object, kind: Any) -> bool:
    """Whether a value has exactly the type of an annotation: a class, a literal or a union."""
    choices = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, choice) for choice in choices)
    if kind is NoneType:
        return value is None
    return value in choices if choices else type(value) is kind


def check_collection(
    name: str, metadata: CollectionMetadata, *, language: str, encoder: EncoderInfo
) -> None:
    """Check that a collection is complete, in this language, and made by this encoder.

    A pretrained model and its fine-tuned variant have the same dimension, so every field that
    influences a vector is compared.

    Raises:
        CollectionMismatch: the build is not complete, or fields differ; the message names them all.
    """
    problems = []
    if metadata.language != language:
        problems.append(f"its language is {metadata.language}, not {language}")
    if metadata.status != "ready":
        problems.append("its build is not complete")
    stored, current = metadata.encoder.as_dict(), encoder.as_dict()
    problems += [
        f"{key} is {_short(stored[key])}, the encoder has {_short(current[key])}"
        for key in stored
        if stored[key] != current[key]
    ]
    if problems:
        raise CollectionMismatch(
            f"collection {name} does not fit the encoder: {'; '.join(problems)}. "
            "Ingest the titles again with this model"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 20 else f"{text[:12]}…"


#: Namespace of the collections that are searched.
JOBS = "jobs"
_EVAL = "eval-"

# Names become folder names, so only these characters are allowed.
_ALLOWED = re.compile(r"[a-z0-9_-]{1,200}")


def eval_namespace(benchmark: str, split: str) -> str:
    """Return the namespace for the corpora of one split of a benchmark."""
    return f"{_EVAL}{slug(f'{benchmark} {split}')}"


def alias_name(namespace: str, language: str, model: str, variant: Variant) -> str:
    """Return the alias for titles in a language, embedded by a variant of a model."""
    return "__".join((namespace, language, slug(model), variant))


def build_name(alias: str, encoder: EncoderInfo, now: datetime | None = None) -> str:
    """Return the physical name of a build that starts now (UTC, to the microsecond)."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dt%H%M%S%f")
    return f"{alias}__{moment}_{encoder.fingerprint[:8]}"


def is_build_name(name: str) -> bool:
    """Whether a name follows the naming scheme of builds, see :func:`build_name`."""
    parts = name.split("__")
    return len(parts) == 5 and bool(_ALLOWED.fullmatch(name)) and _is_namespace(parts[0])


def _is_namespace(text: str) -> bool:
    return text == JOBS or text.startswith(_EVAL)


def check_name(name: str) -> str:
    """Return the name of a collection or alias; raise ``ValueError`` for other characters."""
    if not _ALLOWED.fullmatch(name):
        raise ValueError(f"{name!r} is not a valid collection or alias name: use [a-z0-9_-]")
    return name


def check_alias(alias: str, language: str, encoder: EncoderInfo) -> str:
    """Return the alias if it fits the language and the encoder; else raise ``ValueError``.

    The names of builds derived from the alias must be valid, too.
    """
    namespace, _, _ = alias.partition("__")
    expected = alias_name(namespace, language, encoder.model, encoder.variant)
    if alias != expected or not is_build_name(build_name(alias, encoder)):
        raise ValueError(
            f"{alias!r} is not an alias for titles in {language} embedded by {encoder.model} "
            f"{encoder.variant}; an example is "
            f"{alias_name(JOBS, language, encoder.model, encoder.variant)}"
        )
    return alias


def alias_of(name: str) -> str:
    """Return the alias that a build belongs to, from its physical name."""
    return name.rsplit("__", 1)[0]
