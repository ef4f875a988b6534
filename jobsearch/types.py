"""The vocabulary that all parts share."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from jobsearch.isco import codes_below
from jobsearch.text import NORMALIZATION_VERSION, normalize_title

Variant = Literal["pretrained", "finetuned"]
VARIANTS: tuple[Variant, ...] = ("pretrained", "finetuned")

Kind = Literal["preferred", "alternative", "hidden", "corpus"]
KINDS: tuple[Kind, ...] = ("preferred", "alternative", "hidden", "corpus")

#: Namespace of the ids of points: uuid5(NAMESPACE_URL, "urn:jobsearch:title").
_TITLE_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:jobsearch:title")

# json.dumps makes a new encoder at every call with options, which takes longer than the encoding.
_as_json = json.JSONEncoder(ensure_ascii=False).encode

#: Payload fields that may be filtered on; exactly these are indexed in every collection.
FILTER_FIELDS = ("language", "source", "split", "concept_id", "isco", "kind", "doc_id")


@dataclass(frozen=True, slots=True)
class TitleRecord:
    """One title of one concept or document, in one language.

    Args:
        title: as it is shown; its normalised form is what is embedded.
        language: ISO 639-1 code.
        source: name of the data set, e.g. ``esco``.
        kind: preferred, alternative or hidden label of a concept, or element of a corpus.
        split: part of the source, e.g. ``validation``; empty where there are no parts.
        concept_id: what the title denotes (an ESCO URI), if known.
        isco: ISCO-08 code of one to four digits, if known.
        doc_id: id of the document in a corpus; titles of a taxonomy have none.
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
        """UUIDv5 over source, split, language, concept or document, kind and normalised title.

        It does not depend on the model or its variant, so results of variants compare by id.
        """
        owner = self.doc_id if self.doc_id is not None else self.concept_id or ""
        parts = (self.source, self.split, self.language, owner, self.kind)
        key = _as_json([*parts, normalize_title(self.title)])
        return str(uuid.uuid5(_TITLE_NAMESPACE, key))

    def payload(self, run_id: str) -> dict[str, str]:
        """What is stored with the vector; fields without a value are left out."""
        fields = {
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
        return {name: value for name, value in fields.items() if value}


#: "This field is one of these values."
Clause = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on stored titles. Fields are joined by AND, the values of one field by OR.

    ``isco`` takes codes of any depth: "22" matches every title below sub-major group 22.
    """

    isco: tuple[str, ...] = ()
    concept_ids: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def clauses(self) -> tuple[Clause, ...]:
        """The conditions, all of which must hold.

        A group of ISCO-08 is asked for by every code in it: matching one keyword among a hundred
        is fast, and titles need not carry each prefix of their code.
        """
        fields = {
            "isco": codes_below(self.isco),
            "concept_id": self.concept_ids,
            "kind": self.kinds,
            "source": self.sources,
            "split": self.splits,
            "language": self.languages,
        }
        return tuple((name, values) for name, values in fields.items() if values)


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What decides the vectors of an encoder: two encoders agree only if all of this is equal.

    Args:
        model: short name, e.g. ``builtin``.
        variant: pretrained or finetuned.
        model_id: where it came from: a Hugging Face id, a directory's name, a package and version.
        model_revision: commit of a Hugging Face model, else empty.
        weights_sha256, tokenizer_sha256: over all tensors and the modules' settings, and over
            the tokenizer's definition; hexadecimal.
        dim: length of the vectors.
        pooling: how tokens become one vector, e.g. ``mean``.
        query_prompt, document_prompt: text put before each query and title; usually empty.
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
    distance: str = "cosine"
    normalized: bool = True

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all fields, hexadecimal; the first 8 digits stand in collection names."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


Quantization = Literal["none", "int8", "binary"]
QUANTIZATIONS: tuple[Quantization, ...] = ("none", "int8", "binary")


@dataclass(frozen=True, slots=True)
class VectorStorage:
    """How the vectors of a collection are kept: decides memory and speed, and no exact score.

    Args:
        quantization: what the index compares at first: the vectors themselves, one byte or one bit
            a number. The best of it are compared again by the vectors themselves.
        on_disk: a server keeps the vectors themselves on disk, and only what the index needs in
            memory.
    """

    quantization: Quantization = "none"
    on_disk: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """How new collections are spread over a cluster; what is None is for the server to decide.

    Args:
        shards: parts of a collection, spread over the nodes.
        replicas: copies of each part.
        write_consistency: copies that must have taken a write before it counts as done.
    """

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One source (and split) whose titles a collection holds."""

    source: str
    split: str
    version: str
    sha256: str
    points: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One title found. ``score`` is the cosine to the query in [-1, 1]; higher is better."""

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
    #: Further titles of the same concept, best first, when hits are grouped.
    others: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "others": list(self.others)}
