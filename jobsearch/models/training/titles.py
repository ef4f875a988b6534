"""The titles that a model learns from, by concept and language."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from jobsearch.errors import TrainingError
from jobsearch.isco import UNIT_GROUPS
from jobsearch.text import normalize_title
from jobsearch.types import TitleRecord

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainingTitles:
    """Titles with the concepts they denote, sorted by concept and language.

    A title that two concepts share stands here once for each; ``text_of`` says that they are one.

    Args:
        texts: (t,) distinct normalised texts.
        text_of: (n,) int64, row of each title's text.
        concept_of: (n,) int64, row of each title's concept.
        language_of: (n,) int64, row of each title's language.
        concepts: (c,) ids of the concepts.
        groups: (c,) ISCO-08 unit group of each concept, empty if unknown.
        languages: (l,) ISO 639-1 codes.
        gendered: (g, 2) int64, rows of the two titles in one slash form, in its order.
    """

    texts: tuple[str, ...]
    text_of: Indices
    concept_of: Indices
    language_of: Indices
    concepts: tuple[str, ...]
    groups: tuple[str, ...]
    languages: tuple[str, ...]
    gendered: Indices

    def __len__(self) -> int:
        return len(self.text_of)

    @classmethod
    def of(
        cls, records: Sequence[TitleRecord], gendered: Set[tuple[str, str, str]] = frozenset()
    ) -> "TrainingTitles":
        """Sort records into titles; those without a concept are left out.

        Args:
            records: of any languages; a title that its concept has twice in a language counts once.
            gendered: (language, title, title), the two titles in one slash form, normalised.

        Raises:
            TrainingError: no concept has two titles.
        """
        titles: set[tuple[str, str, str]] = set()
        isco: dict[str, str] = {}
        for record in records:
            if record.concept_id:
                titles.add((record.concept_id, record.language, normalize_title(record.title)))
                isco.setdefault(record.concept_id, record.isco or "")
        ordered = sorted(titles)
        concepts, languages = _index(k[0] for k in ordered), _index(k[1] for k in ordered)
        texts = _index(k[2] for k in ordered)
        if len(ordered) == len(concepts):
            raise TrainingError(
                f"the {len(ordered):,} titles make no pair: training needs concepts with two "
                "titles or more, in one language or in several"
            )
        return cls(
            texts=tuple(texts),
            text_of=np.array([texts[text] for _, _, text in ordered]),
            concept_of=np.array([concepts[concept] for concept, _, _ in ordered]),
            language_of=np.array([languages[language] for _, language, _ in ordered]),
            concepts=tuple(concepts),
            groups=tuple(code if (code := isco[c]) in UNIT_GROUPS else "" for c in concepts),
            languages=tuple(languages),
            gendered=_forms(ordered, gendered),
        )

    def without(self, concepts: Set[str]) -> "TrainingTitles":
        """Those of other concepts."""
        kept = np.array([c not in concepts for c in self.concepts])
        rows = np.flatnonzero(kept[self.concept_of])
        texts, text_of = np.unique(self.text_of[rows], return_inverse=True)
        concepts, concept_of = np.unique(self.concept_of[rows], return_inverse=True)
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))
        forms = place[self.gendered]
        return TrainingTitles(
            texts=tuple(self.texts[t] for t in texts),
            text_of=text_of,
            concept_of=concept_of,
            language_of=self.language_of[rows],
            concepts=tuple(self.concepts[c] for c in concepts),
            groups=tuple(self.groups[c] for c in concepts),
            languages=self.languages,
            gendered=forms[(forms >= 0).all(axis=1)],
        )

    @cached_property
    def concepts_of_text(self) -> sparse.csr_matrix:
        """(t, c) float32, 1 where a text is a title of a concept."""
        return self._incidence(self.concept_of, len(self.concepts))

    @cached_property
    def groups_of_text(self) -> sparse.csr_matrix:
        """(t, g) float32, 1 where a text is a title of a concept in a unit group."""
        codes = _index(group for group in self.groups if group)
        groups = np.array([codes.get(group, -1) for group in self.groups])[self.concept_of]
        return self._incidence(groups, max(1, len(codes)))

    def _incidence(self, columns: Indices, width: int) -> sparse.csr_matrix:
        known = columns >= 0
        ones = np.ones(int(known.sum()), np.float32)
        places = (self.text_of[known], columns[known])
        matrix = sparse.csr_matrix((ones, places), shape=(len(self.texts), width))
        matrix.data[:] = 1.0
        return matrix


def held_out_concepts(titles: TrainingTitles, share: float, seed: int) -> frozenset[str]:
    """Concepts to test on: whole ISCO unit groups, drawn until they make up the share.

    Concepts of one unit group are alike; drawn one by one, they would be known from their
    neighbours. Concepts without a group are drawn like a group of their own.
    """
    members: dict[str, list[str]] = {}
    for concept, group in zip(titles.concepts, titles.groups, strict=True):
        members.setdefault(group or concept, []).append(concept)
    drawn: list[str] = []
    ordered = [members[group] for group in sorted(members)]
    for place in np.random.default_rng(seed).permutation(len(ordered)):
        if len(drawn) >= share * len(titles.concepts):
            break
        drawn += ordered[place]
    return frozenset(drawn)


def _index(values: Iterable[str]) -> dict[str, int]:
    distinct: dict[str, int] = {}
    for value in values:
        distinct.setdefault(value, len(distinct))
    return distinct


def _forms(ordered: list[tuple[str, str, str]], gendered: Set[tuple[str, str, str]]) -> Indices:
    rows = {key: row for row, key in enumerate(ordered)}
    partner = {(language, first): second for language, first, second in gendered}
    pairs = []
    for (concept, language, text), row in rows.items():
        second = rows.get((concept, language, partner.get((language, text), "")))
        if second is not None:
            pairs.append((row, second))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
