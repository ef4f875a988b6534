"""Splits slash forms such as "waiter/waitress" into the masculine and the feminine title.

ESCO's German and Spanish preferred labels join the two titles with a slash; some alternative labels
do so too, also in shortened forms. A slash also joins other things ("programmer/analyst", "dog/cat
kennel manager", "Import-/Exportmanager"), and a split there would make titles that do not exist. So
a label is split only if each pair of different words is the masculine and the feminine form of one
word, by the endings of that language (English, Spanish, German).

In other languages, a label of a concept is split if both titles are labels of the same concept
(:class:`LabelForms`): this needs no knowledge of the language. The labels split so also show which
endings the two forms have ("-eur", "-euse"), and other labels are split by these endings.

Of the preferred and alternative labels with a slash in ESCO 1.2.0 this splits 22 of 94 in English,
2,436 of 2,454 in Spanish and 2,971 of 3,171 in German. The other labels are no gendered pair, have
a spelling mistake in one half, or have a shared word that fits only one gender. In ESCO 1.0.8 it
splits 3,103 of 3,130 such labels in French, 2,454 of 2,474 in Czech, 2,873 of 3,032 in Croatian,
2,851 of 2,934 in Slovak, 2,559 of 2,602 in Slovenian, 2,176 of 2,205 in Portuguese, 1,450 of 1,465
in Italian, 1,869 of 2,007 in Greek, 1,298 of 1,311 in Romanian, and 1,302 of 1,338 in Maltese. Of
the labels whose two titles are both labels of the concept, in these languages, Bulgarian and
Polish, the endings alone split 17,810, all into the same two titles.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from jobsearch.text import MAX_TITLE_CHARS

#: Part of a source's digest; raise it whenever :func:`split_forms` changes its output.
RULES_VERSION = 2

#: How many labels must show a pair of endings, or a following word, before it is trusted.
_LEAST_PAIRS = 3
_MOST_SLASHES = 8

# Masculine and feminine endings, compared in lower case and, for Spanish, without accents.
_ENDINGS = {
    "en": [
        ("man", "woman"), ("master", "mistress"), ("waiter", "waitress"), ("actor", "actress"),
        ("host", "hostess"), ("steward", "stewardess"), ("masseur", "masseuse"), ("monk", "nun"),
    ],
    "es": [
        ("o", "a"), ("r", "ra"), ("n", "na"), ("l", "la"), ("s", "sa"), ("z", "za"), ("e", "a"),
        ("os", "as"), ("es", "as"), ("tor", "triz"), ("dor", "triz"), ("e", "esa"), ("o", "isa"),
        ("a", "isa"), ("e", "isa"),
    ],
    "de": [
        ("", "in"), ("e", "in"), ("er", "in"), ("er", "e"), ("mann", "frau"), ("er", "frau"),
        ("mann", "in"), ("man", "woman"), ("eur", "euse"), ("ier", "iere"), ("ier", "ière"),
        ("pfleger", "schwester"), ("steward", "stewardess"), ("host", "hostess"),
        ("mönch", "nonne"),
    ],
}  # fmt: skip
_WITHOUT_ACCENTS = str.maketrans("áéíóú", "aeiou")
_UMLAUTS = str.maketrans("äöü", "aou")

# Shortened forms of one word, such as "Lehrer/in": pattern, masculine and feminine title.
_SUFFIXES = {
    "es": [(r"(\w+)o/a", r"\1o", r"\1a"), (r"(\w+[rnl])/a", r"\1", r"\1a")],
    "de": [
        (
            r"(\S+(?:er|or|eur|ent|ant|ist|yst|eut|är|än|ar|ast|bat|chef|dat|ekt|etz|graf|graph|iv|"
            r"kon|lot|nom|path|schmied|urg|wart|wirt))/-?in",
            r"\1",
            r"\1in",
        ),
        (r"(\S+)e/-?in", r"\1e", r"\1in"),
        (r"(\S+e)/-?r", r"\1r", r"\1"),
    ],
}
# In a Spanish title, only the words before the first of these prepositions have its gender.
_SPANISH_PREPOSITIONS = frozenset({"de", "del", "en", "para", "con", "al", "a", "por"})
_SPANISH_COMMON_GENDER = re.compile(r".*(ta|nte|al)$")


def split_forms(label: str, language: str) -> tuple[str, ...]:
    """The two titles of a slash form, in the order of the label.

    Returns one title if both halves are the same, and none if the label is not certainly a slash
    form. Labels in other languages than English, Spanish and German are never split.

    Examples:
        >>> split_forms("director técnico/directora técnica", "es")
        ('director técnico', 'directora técnica')
        >>> split_forms("hotel doorman/doorwoman", "en")
        ('hotel doorman', 'hotel doorwoman')
        >>> split_forms("programmer/analyst", "en")
        ()
    """
    # Some ESCO labels begin or end with a slash by mistake.
    text = label.strip("/ \t")
    if "/" not in text or language not in _ENDINGS:
        return ()
    return _two_full_titles(text, language) or _shared_words(text, language)


def needs_labels(language: str) -> bool:
    """Whether the slash forms of a language are split by the labels of each concept."""
    return language not in _ENDINGS


class LabelForms:
    """Splits the slash forms among the labels of a language, by the labels of each concept.

    In English, Spanish and German this is :func:`split_forms`. In other languages a form is split
    if both titles are labels of the concept, or if it looks like such a form: its words differ by
    endings that such forms have, no word precedes the pair (an adjective could fit only one
    gender), and the word after it also follows such forms.

    Args:
        language: of the labels.
        concepts: the labels of each concept, from which endings and following words are learned.
    """

    def __init__(self, language: str, concepts: Iterable[Sequence[str]]) -> None:
        self._language = language
        endings: Counter[tuple[str, str]] = Counter()
        following: Counter[str] = Counter()
        for labels in concepts if needs_labels(language) else ():
            known = set(map(str.casefold, labels))
            for label in labels:
                if reading := _known_reading(label, known):
                    endings.update(reading.endings())
                    following.update(reading.after[:1])
        self._endings = {pair for pair, count in endings.items() if count >= _LEAST_PAIRS}
        self._following = {word for word, count in following.items() if count >= _LEAST_PAIRS}

    def split(self, label: str, labels: Iterable[str]) -> tuple[str, ...]:
        """The two titles of a slash form, as :func:`split_forms` returns them.

        Args:
            label: the label.
            labels: all labels of its concept.
        """
        if not _is_slash_form(label):
            return ()
        if not needs_labels(self._language):
            return split_forms(label, self._language)
        known = set(map(str.casefold, labels))
        reading = _known_reading(label, known) or next(filter(self._fits, _readings(label)), None)
        return tuple(dict.fromkeys(reading.titles)) if reading else ()

    def _fits(self, reading: "_Reading") -> bool:
        endings = reading.endings()
        return (
            not reading.before
            and self._following.issuperset(reading.after[:1])
            and bool(endings)
            and self._endings.issuperset(endings)
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of a slash form: words before and after, and the words that the slash joins."""

    before: list[str]
    first: list[str]
    second: list[str]
    after: list[str]

    @property
    def titles(self) -> tuple[str, str]:
        return (
            " ".join([*self.before, *self.first, *self.after]),
            " ".join([*self.before, *self.second, *self.after]),
        )

    def endings(self) -> set[tuple[str, str]]:
        """The endings by which the joined words differ; empty if a word is another word.

        Two words are forms of each other only if they begin with the same three letters, or are
        equal up to the end of the shorter one.
        """
        endings = set()
        if len(self.first) != len(self.second):
            return set()
        for words in zip(self.first, self.second, strict=True):
            one, other = map(str.casefold, words)
            if one != other:
                letters = enumerate(zip(one, other, strict=False))
                shorter = min(len(one), len(other))
                stem = next((place for place, (a, b) in letters if a != b), shorter)
                if stem < min(3, shorter) or "/" in one + other:
                    return set()
                endings.add((one[stem:], other[stem:]))
        return endings


def _is_slash_form(label: str) -> bool:
    # The time grows with the square of both numbers; no form has so many slashes.
    return 0 < label.count("/") <= _MOST_SLASHES and len(label) <= MAX_TITLE_CHARS


def _readings(label: str) -> Iterator[_Reading]:
    """All readings of a slash form: "technik/technička fúzií" may share the last word or not."""
    text = re.sub(r"\s*/\s*", "/", " ".join(label.split())).strip("/")
    for slash in re.finditer("/", text):
        left, right = text[: slash.start()].split(" "), text[slash.end() :].split(" ")
        for size in range(1, min(len(left), len(right)) + 1):
            yield _Reading(left[:-size], left[-size:], right[:size], right[size:])
        if len(left) != len(right):
            yield _Reading([], left, right, [])


def _known_reading(label: str, known: Set[str]) -> _Reading | None:
    """The reading whose titles are both known.

    Args:
        label: the label.
        known: the case-folded labels of its concept.
    """
    if not _is_slash_form(label):
        return None
    for reading in _readings(label):
        if all(title.casefold() in known for title in reading.titles):
            return reading
    return None


def find_form_pairs(titles: Iterable[str], language: str) -> list[tuple[str, str]]:
    """Pairs of titles that are the masculine and the feminine form of each other.

    Two titles are a pair if each word of the one equals the word of the other at the same place, or
    is its masculine form, by the rule of :func:`split_forms`; at least one word must differ. Both
    forms of a word must share their first two letters, apart from umlauts (so "Mönch" and "Nonne"
    are no pair). Case is ignored, and in Spanish also accents. No title is in two pairs.

    Returns:
        Pairs (masculine, feminine), sorted.
    """
    if language not in _ENDINGS:
        return []
    # Only titles whose words begin with the same letters are compared with each other.
    groups: dict[tuple[str, ...], list[str]] = {}
    for title in sorted(set(titles)):
        words = (_fold(word, language).translate(_UMLAUTS) for word in title.split())
        groups.setdefault(tuple(word[:2] for word in words), []).append(title)
    pairs: dict[str, str] = {}
    for group in groups.values():
        unpaired = list(group)
        for masculine in group:
            for feminine in unpaired:
                if masculine in unpaired and _is_masculine_of(masculine, feminine, language):
                    pairs[masculine] = feminine
                    unpaired.remove(masculine)
                    unpaired.remove(feminine)
                    break
    return sorted(pairs.items())


def _is_masculine_of(masculine: str, feminine: str, language: str) -> bool:
    masculine_words = [_fold(word, language) for word in masculine.split()]
    feminine_words = [_fold(word, language) for word in feminine.split()]
    return masculine_words != feminine_words and _are_forms(
        masculine_words, feminine_words, language
    )


def _two_full_titles(text: str, language: str) -> tuple[str, ...]:
    """A label with a full title on each side: "technischer Leiter/technische Leiterin"."""
    for slash in re.finditer("/", text):
        first, second = text[: slash.start()].split(), text[slash.end() :].split()
        if len(first) == len(second) and _are_pair(first, second, language):
            return tuple(dict.fromkeys((" ".join(first), " ".join(second))))
    return ()


def _shared_words(text: str, language: str) -> tuple[str, ...]:
    """A label whose titles share words: "hotel doorman/doorwoman", "Lehrer/in für Chemie"."""
    words = [_alternatives(word, language) for word in text.split()]
    if all(len(word) == 1 for word in words) or not _words_agree(words, language):
        return ()
    if sum(len(word) == 2 for word in words) > 1:
        words = [_masculine_first(word, language) for word in words]
    return " ".join(word[0] for word in words), " ".join(word[-1] for word in words)


def _masculine_first(forms: tuple[str, ...], language: str) -> tuple[str, ...]:
    """The masculine form first, for labels whose pairs differ: "Ambulante/r Schwester/Pfleger"."""
    first, second = _fold(forms[0], language), _fold(forms[-1], language)
    return forms[::-1] if _is_word_pair(second, first, language) else forms


def _alternatives(word: str, language: str) -> tuple[str, ...]:
    """The masculine and the feminine form of a word with a slash; any other word alone."""
    if word[0] == "(" or word[-1] == ")":
        before, after = "(" * (word[0] == "("), ")" * (word[-1] == ")")
        inner = word[len(before) : len(word) - len(after)]
        forms = _alternatives(inner, language) if inner.strip("()") else (inner,)
        return tuple(before + form + after for form in forms)
    first, _, second = word.partition("/")
    if first and second and _are_pair([first], [second], language):
        return first, second
    for pattern, masculine, feminine in _SUFFIXES.get(language, []):
        if match := re.fullmatch(pattern, word):
            return match.expand(masculine), match.expand(feminine)
    return _completed(first, second, language) or (word,)


def _completed(first: str, second: str, language: str) -> tuple[str, ...]:
    """A German compound whose other form is given without its beginning: "Bürokaufmann/-frau"."""
    if language != "de" or not re.fullmatch(r"-\w{3,}", second):
        return ()
    ending = second[1:]
    for start in range(len(first) - 2):
        if _are_pair([first[start:]], [ending], language):
            return first, first[:start] + ending
    return ()


def _words_agree(words: list[tuple[str, ...]], language: str) -> bool:
    """Whether the shared words fit both genders.

    English words always do. A German adjective before the noun has its gender (in "technischer
    Leiter/in" the feminine title is "technische Leiterin"), so no word may precede the pair. A
    Spanish adjective before or after the noun has its gender, so shared words before the first
    preposition must be of common gender ("terapeuta").
    """
    if language == "de":
        return len(words[0]) == 2
    if language == "es":
        shared = [word[0] for word in _until_preposition(words) if len(word) == 1]
        return all(map(_SPANISH_COMMON_GENDER.match, shared))
    return True


def _until_preposition(words: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for word in words:
        if word[0] in _SPANISH_PREPOSITIONS:
            return
        yield word


def _are_pair(first: list[str], second: list[str], language: str) -> bool:
    """Whether two lists of words are equal, or the two gendered forms in either order."""
    one = [_fold(word, language) for word in first]
    other = [_fold(word, language) for word in second]
    return one == other or _are_forms(one, other, language) or _are_forms(other, one, language)


def _are_forms(masculine: list[str], feminine: list[str], language: str) -> bool:
    """Whether each word equals the other one at its place, or is its masculine form."""
    pairs = zip(masculine, feminine, strict=True)
    return all(one == other or _is_word_pair(one, other, language) for one, other in pairs)


def _is_word_pair(masculine: str, feminine: str, language: str) -> bool:
    return any(
        masculine.endswith(masculine_ending)
        and feminine.endswith(feminine_ending)
        and _stem(masculine, masculine_ending, language)
        == _stem(feminine, feminine_ending, language)
        for masculine_ending, feminine_ending in _ENDINGS[language]
    )


def _stem(word: str, ending: str, language: str) -> str:
    stem = word.removesuffix(ending)
    # A feminine German noun may have an umlaut: Arzt, Ärztin.
    return stem.translate(_UMLAUTS) if language == "de" else stem


def _fold(word: str, language: str) -> str:
    # A label may have a hyphen in one half and a dash in the other.
    word = word.lower().replace("–", "-")
    return word.translate(_WITHOUT_ACCENTS) if language == "es" else word
