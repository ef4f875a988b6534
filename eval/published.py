"""Figures that others have published, each with its source and the set it was measured on."""

from collections.abc import Mapping
from dataclasses import dataclass

#: The means that TalentCLEF ranks by: over these pairs within and across languages.
MONOLINGUAL = ("en-en", "es-es", "de-de")
CROSS_LINGUAL = ("en-es", "en-de")

_DSGT = (
    "Brikman, Sana and Ruegger 2025, Multilingual Job Title Matching with MPNet-Based Sentence "
    "Transformers, CEUR-WS Vol-4038 (DS@GT)"
)
_NITK = (
    "Bhangale, Gabhane and Anand Kumar 2025, Fine-Tuned Sentence Transformer for Multilingual Job "
    "Title Matching, CEUR-WS Vol-4038"
)
_NLPNORTH = "NLPnorth @ TalentCLEF 2025, arXiv:2506.19058"
_PARTICIPANT = "reported by a participant of TalentCLEF 2025; not checked against a publication"
_MELO = (
    "Retyk et al. 2024, arXiv:2410.08319 (OpenAI, mE5), and others; not checked against the "
    "publication"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A row of somebody else's.

    Args:
        system: what was measured.
        benchmark: name of the benchmark.
        measured_on: the set: its split, with a word of caution where due.
        metric: as in :data:`eval.metrics.MEASURES`.
        pairs: value by pair of languages.
        means: the pairs that ``mean`` is over.
        mean: as published; None if only pairs were.
        source: where it is published.
    """

    system: str
    benchmark: str
    measured_on: str
    metric: str
    pairs: Mapping[str, float]
    source: str
    means: tuple[str, ...] = ()
    mean: float | None = None


def _mean(system: str, over: tuple[str, ...], value: float, split: str, source: str) -> Published:
    return Published(
        system, "talentclef-2025", split, "MAP", {}, source=source, means=over, mean=value
    )


def _melo(system: str, value: float) -> Published:
    return Published(system, "melo", "deu_q_de_c_en", "MRR", {"de-en": value}, source=_MELO)


PUBLISHED = (
    _mean("NLPnorth, prompting (5th)", MONOLINGUAL, 0.492, "test", _NLPNORTH),
    _mean("MPNet fine-tuned, NITK", MONOLINGUAL, 0.45, "test", _NITK),
    _mean("MPNet fine-tuned, NITK", MONOLINGUAL, 0.49, "validation", _NITK),
    _mean("MPNet zero-shot, DS@GT", MONOLINGUAL, 0.399, "test", _DSGT),
    _mean("MPNet fine-tuned, DS@GT (32nd)", MONOLINGUAL, 0.360, "test", _DSGT),
    Published(
        "MPNet fine-tuned, a participant",
        "talentclef-2025",
        "validation",
        "MAP",
        {"en-en": 0.582, "es-es": 0.474, "de-de": 0.418},
        source=_PARTICIPANT,
    ),
    Published(
        "MPNet zero-shot",
        "talentclef-2025",
        "validation",
        "MAP",
        {"es-es": 0.417},
        source=_PARTICIPANT,
    ),
    _mean("MPNet, DS@GT", CROSS_LINGUAL, 0.02, "test", _DSGT),
    _melo("OpenAI text-embedding-3-large", 0.552),
    _melo("mE5-large", 0.386),
    _melo("BGE-M3", 0.334),
    _melo("MPNet", 0.092),
)
