"""Splits slash forms such as "waiter/waitress" into the masculine and the feminine title.

ESCO's German and Spanish preferred labels join the two titles with a slash; some alternative labels
do so too, also in shortened forms. A slash also joins other things ("programmer/analyst", "dog/cat
kennel manager", "Import-/Exportmanager"), and a split there would make titles that do not exist. So
a label is split only if each pair of different words is the masculine and the feminine form of one
word, by the endings of that language.

Of the preferred and alternative labels with a slash in ESCO 1.2.0 this splits 22 of 94 in English,
2,436 of 2,454 in Spanish and 2,971 of 3,171 in German. The other labels are no gendered pair, have
a spelling mistake in one half, or have a shared word that fits only one gender.
"""

import re
from collections.abc import Iterable, Iterator

#: Part of a source's digest; raise it whenever :func:`split_forms` changes its output.
RULES_VERSION = 1

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
        (r"(\S+(?:er|or|eur|ent|ant|ist|yst|eut|är))/-?in", r"\1", r"\1in"),
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
    return " ".join(word[0] for word in words), " ".join(word[-1] for word in words)


def _alternatives(word: str, language: str) -> tuple[str, ...]:
    """The masculine and the feminine form of a word with a slash; any other word alone."""
    first, _, second = word.partition("/")
    if second and _are_pair([first], [second], language):
        return first, second
    for pattern, masculine, feminine in _SUFFIXES.get(language, []):
        if match := re.fullmatch(pattern, word):
            return match.expand(masculine), match.expand(feminine)
    return (word,)


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
