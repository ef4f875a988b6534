"""The data types that all packages share."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from jobsearch.errors import InvalidInput
from jobsearch.isco import check_code, codes_below
from jobsearch.languages import check_language
from jobsearch.text import NORMALIZATION_VERSION, normalize_title

Variant = Literal["pretrained", "finetuned"]
VARIANTS: tuple[Variant, ...] = ("pretrained", "finetuned")

Kind = Literal["preferred", "alternative", "hidden", "corpus"]
KINDS: tuple[Kind, ...] = ("preferred", "alternative", "hidden", "corpus")

#: Namespace of the ids of points: uuid5(NAMESPACE_URL, "urn:jobsearch:title").
_TITLE_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:jobsearch:title")

# json.dumps with options creates an encoder at every call, which takes longer than the encoding.
_as_json = json.JSONEncoder(ensure_ascii=False).encode

#: Payload fields of filters. Every collection has an index for each of them and no other index.
FILTER_FIELDS = ("language", "source", "split", "concept_id", "isco", "kind", "doc_id")

#: Payload fields that every point has.
REQUIRED_FIELDS = ("title", "language", "source", "kind")


@dataclass(frozen=True, slots=True)
class TitleRecord:
    """One title of one concept or document, in one language.

    Args:
        title: the text to show; its normalised form is embedded.
        language: ISO 639-1 code.
        source: name of the data set, e.g. ``esco``.
        kind: preferred, alternative or hidden label of a concept, or document of a corpus.
        split: part of the source, e.g. ``validation``; empty if the source has no parts.
        concept_id: id of the concept that the title denotes (an ESCO URI), if known.
        isco: ISCO-08 code of one to four digits, if known.
        doc_id: id of the document in a corpus; None for titles of a taxonomy.
    """

    title: str
    language: str
    source: str
    kind: Kind
    split: str = ""
    concept_id: str | None = None
    isco: str | None = None
    doc_id: str | None = None

    @property
    def point_id(self) -> str:
        """The id of the stored point; see :meth:`point_id_of`."""
        return self.point_id_of(normalize_title(self.title))

    @property
    def owner(self) -> str:
        """What the title belongs to: its document, else its concept, else its ISCO-08 code.

        Two titles of one owner that read the same are one title (:attr:`identity`).
        """
        if self.doc_id is not None:
            return self.doc_id
        if self.concept_id is not None or self.isco is None:
            return self.concept_id or ""
        return f"ISCO-08 {self.isco}"

    def identity(self, normalized: str) -> tuple[str, str]:
        """The owner, and the title without regard to case; documents keep the case.

        Titles of one source, split and language with the same identity are stored once.

        Args:
            normalized: the normalised title.
        """
        return self.owner, normalized if self.doc_id is not None else normalized.casefold()

    def point_id_of(self, normalized: str) -> str:
        """UUIDv5 over source, split, language, owner, kind and normalised title.

        The id does not depend on the model or its variant, so results of variants compare by id.

        Args:
            normalized: the normalised title, which an ingest has computed already.
        """
        parts = (self.source, self.split, self.language, self.owner, self.kind)
        key = _as_json([*parts, normalized])
        return str(uuid.uuid5(_TITLE_NAMESPACE, key))

    def payload(self, run_id: str) -> dict[str, str]:
        """The fields that are stored with the vector; empty ones are left out."""
        payload = {
            "title": self.title,
            "language": self.language,
            "source": self.source,
            "split": self.split,
            "concept_id": self.concept_id,
            "isco": self.isco,
            "kind": self.kind,
            "doc_id": self.doc_id,
            "run_id": run_id,
        }
        return {name: value for name, value in payload.items() if value}


def as_values(given: str | Iterable[str], argument: str) -> tuple[str, ...]:
    """Several strings, each once; a single string counts as one value, not as its letters.

    Raises:
        InvalidInput: a value is no string or is empty; the message names the argument.
    """
    values = (given,) if isinstance(given, str) else tuple(given)
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"`{argument}` has the value {value!r}: give non-empty strings")
    return tuple(dict.fromkeys(values))


#: "This field has one of these values."
Clause = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on stored titles. Fields are joined by AND, the values of one field by OR.

    Each field takes one string or several strings, and keeps them as a tuple.

    Args:
        isco: ISCO-08 codes of any depth: "22" matches every title in sub-major group 22.
        concept_ids: ids of concepts.
        kinds: of :data:`KINDS`.
        sources: names of data sets.
        splits: parts of data sets.
        languages: ISO 639-1 codes, in upper or lower case.
        without_concepts: ids of concepts to leave out.

    Raises:
        InvalidInput: a code, kind or language is unknown, or a value is no string.
    """

    isco: str | Iterable[str] = ()
    concept_ids: str | Iterable[str] = ()
    kinds: str | Iterable[str] = ()
    sources: str | Iterable[str] = ()
    splits: str | Iterable[str] = ()
    languages: str | Iterable[str] = ()
    without_concepts: str | Iterable[str] = ()

    def __post_init__(self) -> None:
        checks = {"isco": check_code, "kinds": _check_kind, "languages": check_language}
        for each in fields(self):
            values = as_values(getattr(self, each.name), each.name)
            check = checks.get(each.name, str)
            object.__setattr__(self, each.name, tuple(dict.fromkeys(map(check, values))))

    def clauses(self) -> tuple[Clause, ...]:
        """The conditions, all of which must hold.

        A group of ISCO-08 becomes the list of all codes in it: matching one keyword among a hundred
        is fast, and titles need not store each prefix of their code.
        """
        # Tuples by now, whatever the caller gave.
        conditions: dict[str, Any] = {
            "isco": codes_below(self.isco),
            "concept_id": self.concept_ids,
            "kind": self.kinds,
            "source": self.sources,
            "split": self.splits,
            "language": self.languages,
        }
        return tuple((name, values) for name, values in conditions.items() if values)

    def exclusions(self) -> tuple[Clause, ...]:
        """The conditions, none of which may hold."""
        excluded: Any = self.without_concepts
        return (("concept_id", excluded),) if excluded else ()


def _check_kind(kind: str) -> str:
    folded = kind.strip().lower()
    if folded not in KINDS:
        raise InvalidInput(f"unknown kind {kind!r}: give one of {', '.join(KINDS)}")
    return folded


# All vectors have unit length and are compared by their cosine.
_EVERY_ENCODER = {"distance": "cosine", "normalized": True}


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """Identifies an encoder: two encoders give the same vectors only if all fields are equal.

    Args:
        model: short name, e.g. ``builtin``.
        variant: pretrained or finetuned.
        model_id: origin: a Hugging Face id, a directory's name, or a package and its version.
        model_revision: commit of a Hugging Face model, else empty.
        weights_sha256: over all tensors and the modules' settings, hexadecimal.
        tokenizer_sha256: over the tokenizer's definition, hexadecimal.
        dim: length of the vectors.
        pooling: how tokens become one vector, e.g. ``mean``.
        query_prompt, document_prompt: text before each query and each title; usually empty.
        normalization_version: of :func:`jobsearch.text.normalize_title`.
    """

    model: str
    variant: Variant
    model_id: str
    model_revision: str
    weights_sha256: str
    tokenizer_sha256: str
    dim: int
    pooling: str
    query_prompt: str = ""
    document_prompt: str = ""
    normalization_version: int = NORMALIZATION_VERSION

    def as_dict(self) -> dict[str, Any]:
        """Plain data: all fields, and the facts that hold for every encoder."""
        return {**asdict(self), **_EVERY_ENCODER}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EncoderInfo":
        """Read the output of :meth:`as_dict`; other keys are ignored.

        Raises:
            KeyError: a field is missing.
            ValueError: a fact that holds for every encoder has another value.
        """
        for name, value in _EVERY_ENCODER.items():
            if data[name] != value:
                raise ValueError(f"{name} is {data[name]!r}")
        return cls(**{field.name: data[field.name] for field in fields(cls)})

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all fields, hexadecimal; collection names hold the first 8 digits."""
        canonical = json.dumps(self.as_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


_Layout = TypeVar("_Layout", "VectorStorage", "Topology")


def _or_else(layout: _Layout, other: _Layout) -> _Layout:
    """A layout, with None replaced by the value of another one."""
    left_out = {
        f.name: getattr(other, f.name) for f in fields(layout) if getattr(layout, f.name) is None
    }
    return replace(layout, **left_out)


Quantization = Literal["none", "int8", "binary"]
QUANTIZATIONS: tuple[Quantization, ...] = ("none", "int8", "binary")


@dataclass(frozen=True, slots=True)
class VectorStorage:
    """How the vectors of a collection are stored: decides memory and speed, not exact scores.

    None stands for a value that was left out: a build takes it from the collection that it
    replaces, else from :data:`PLAIN_STORAGE`.

    Args:
        quantization: the form that the index compares first: full vectors, one byte or one bit per
            dimension. The best candidates are compared again by their full vectors.
        on_disk: a server keeps full vectors on disk, and in memory only the data of the index.
    """

    quantization: Quantization | None = None
    on_disk: bool | None = None

    def or_else(self, other: "VectorStorage") -> "VectorStorage":
        """This storage, with values that were left out taken from another one."""
        return _or_else(self, other)


#: Full vectors, in memory.
PLAIN_STORAGE = VectorStorage("none", on_disk=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """How new collections are spread over a cluster.

    None stands for a value that was left out: a build takes it from the collection that it
    replaces, else the server decides.

    Args:
        shards: parts of a collection, spread over the nodes.
        replicas: copies of each part.
        write_consistency: copies that must confirm a write before it counts as done.
    """

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None

    def or_else(self, other: "Topology") -> "Topology":
        """This topology, with values that were left out taken from another one."""
        return _or_else(self, other)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One source (and split) in a collection, with its number of points.

    Args:
        source, split, version: as in :class:`ingest.sources.base.Source`.
        sha256: digest of everything that decides the titles.
        points: number of points.
        origin: as in :class:`ingest.sources.base.Source`; does not count in comparisons, because
            the same file may have another path on another machine.
    """

    source: str
    split: str
    version: str
    sha256: str
    points: int
    origin: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Hit:
    """A title that a search found. ``score`` is the cosine in [-1, 1]; higher is better."""

    title: str
    score: float
    language: str
    concept_id: str | None
    isco: str | None
    kind: str
    source: str
    collection: str
    variant: Variant
    point_id: str
    doc_id: str | None = None
    #: If hits are grouped: language -> further titles of the same concept, nearest first. All
    #: titles that pass the filters, up to 100 per language; languages without one are left out.
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **asdict(self),
            "others": {language: list(titles) for language, titles in self.others.items()},
        }
