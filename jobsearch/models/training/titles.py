"""Training titles, by concept and language."""

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
    """Titles of concepts, sorted by concept and language.

    A text that is a title of two concepts counts as two titles with the same ``text_of``.

    Args:
        texts: (t,) distinct normalised texts.
        text_of: (n,) int64, row in ``texts`` of each title.
        concept_of: (n,) int64, row in ``concepts`` of each title.
        language_of: (n,) int64, row in ``languages`` of each title.
        concepts: (c,) ids of the concepts.
        groups: (c,) ISCO-08 unit group of each concept, empty if unknown.
        languages: (l,) ISO 639-1 codes.
        gendered: (g, 2) int64, the two titles of each slash form in its order, as rows of the n
            titles.
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
        """Make training titles from records; records without a concept are left out.

        Args:
            records: in any languages; duplicates in a concept and language count once.
            gendered: (language, title, title), the two normalised titles of a slash form.

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
                f"the {len(ordered):,} titles make no pair: give concepts with two or more titles, "
                "in one or several languages"
            )
        return cls(
            texts=tuple(texts),
            text_of=np.array([texts[text] for _, _, text in ordered]),
            concept_of=np.array([concepts[concept] for concept, _, _ in ordered]),
            language_of=np.array([languages[language] for _, language, _ in ordered]),
            concepts=tuple(concepts),
            groups=tuple(code if (code := isco[c]) in UNIT_GROUPS else "" for c in concepts),
            languages=tuple(languages),
            gendered=_gendered_rows(ordered, gendered),
        )

    def without(self, concepts: Set[str]) -> "TrainingTitles":
        """The titles of all other concepts."""
        is_kept = np.array([c not in concepts for c in self.concepts])
        rows = np.flatnonzero(is_kept[self.concept_of])
        kept_texts, text_of = np.unique(self.text_of[rows], return_inverse=True)
        kept_concepts, concept_of = np.unique(self.concept_of[rows], return_inverse=True)
        new_row = np.full(len(self), -1)
        new_row[rows] = np.arange(len(rows))
        gendered = new_row[self.gendered]
        return TrainingTitles(
            texts=tuple(self.texts[t] for t in kept_texts),
            text_of=text_of,
            concept_of=concept_of,
            language_of=self.language_of[rows],
            concepts=tuple(self.concepts[c] for c in kept_concepts),
            groups=tuple(self.groups[c] for c in kept_concepts),
            languages=self.languages,
            gendered=gendered[(gendered >= 0).all(axis=1)],
        )

    @cached_property
    def concepts_of_text(self) -> sparse.csr_matrix:
        """(t, c) float32: 1 if a text is a title of a concept, else 0."""
        return self._incidence(self.concept_of, len(self.concepts))

    @cached_property
    def groups_of_text(self) -> sparse.csr_matrix:
        """(t, g) float32: 1 if a text is a title of a concept in a unit group, else 0."""
        codes = _index(group for group in self.groups if group)
        groups = np.array([codes.get(group, -1) for group in self.groups])[self.concept_of]
        return self._incidence(groups, max(1, len(codes)))

    def _incidence(self, columns: Indices, width: int) -> sparse.csr_matrix:
        known = columns >= 0
        ones = np.ones(int(known.sum()), np.float32)
        cells = (self.text_of[known], columns[known])
        matrix = sparse.csr_matrix((ones, cells), shape=(len(self.texts), width))
        # A cell that occurs several times was summed.
        matrix.data[:] = 1.0
        return matrix


def held_out_concepts(titles: TrainingTitles, share: float, seed: int) -> frozenset[str]:
    """Draw concepts to test on: whole ISCO unit groups, until they make up the share.

    Concepts of one unit group are similar: if single concepts were drawn, training would see close
    neighbours of the test concepts. A concept without a unit group counts as a group of its own.
    """
    members: dict[str, list[str]] = {}
    for concept, group in zip(titles.concepts, titles.groups, strict=True):
        members.setdefault(group or concept, []).append(concept)
    drawn: list[str] = []
    ordered = [members[group] for group in sorted(members)]
    for row in np.random.default_rng(seed).permutation(len(ordered)):
        if len(drawn) >= share * len(titles.concepts):
            break
        drawn += ordered[row]
    return frozenset(drawn)


def _index(values: Iterable[str]) -> dict[str, int]:
    """Number the distinct values in order of appearance, from 0."""
    distinct: dict[str, int] = {}
    for value in values:
        distinct.setdefault(value, len(distinct))
    return distinct


def _gendered_rows(
    ordered: list[tuple[str, str, str]], gendered: Set[tuple[str, str, str]]
) -> Indices:
    """(g, 2) rows of the two titles of each slash form whose titles belong to one concept."""
    rows = {key: row for row, key in enumerate(ordered)}
    partner = {(language, first): second for language, first, second in gendered}
    pairs = []
    for (concept, language, text), row in rows.items():
        second = rows.get((concept, language, partner.get((language, text), "")))
        if second is not None:
            pairs.append((row, second))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
