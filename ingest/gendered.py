"""The two titles in a slash form such as "waiter/waitress".

ESCO's German and Spanish preferred labels join the masculine and the feminine title with a slash;
its alternative labels do so now and then, in shortened forms too. A slash also joins what is no
such pair ("programmer/analyst", "dog/cat kennel manager", "Import-/Exportmanager"), and cutting
there makes titles that nobody bears. So a form is split only where every word that differs is, in
that language, the masculine and the feminine of one another.

Of the preferred and alternative labels with a slash in ESCO 1.2.0 this splits 22 of 94 in English,
2,436 of 2,454 in Spanish and 2,971 of 3,171 in German. What is left whole is no pair, has a
spelling mistake in one half, or agrees with a word that stands once.
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

# Shortened forms: what may stand after the slash, the stems that take it and the full ending.
_SUFFIXES = {
    "es": [(r"(\w+)o/a", r"\1o", r"\1a"), (r"(\w+[rnl])/a", r"\1", r"\1a")],
    "de": [
        (r"(\S+(?:er|or|eur|ent|ant|ist|yst|eut|är))/-?in", r"\1", r"\1in"),
        (r"(\S+e)/-?r", r"\1r", r"\1"),
    ],
}
# A Spanish title has its gender up to the first of these words.
_SPANISH_PREPOSITIONS = frozenset({"de", "del", "en", "para", "con", "al", "a", "por"})
_SPANISH_COMMON_GENDER = re.compile(r".*(ta|nte|al)$")


def split_forms(label: str, language: str) -> tuple[str, ...]:
    """The two titles that a slash form joins, in its order, or none if it is not surely one.

    If both halves are the same title, that one is returned. Languages other than English, Spanish
    and German are never split.

    Examples:
        >>> split_forms("director técnico/directora técnica", "es")
        ('director técnico', 'directora técnica')
        >>> split_forms("hotel doorman/doorwoman", "en")
        ('hotel doorman', 'hotel doorwoman')
        >>> split_forms("programmer/analyst", "en")
        ()
    """
    # Some labels of ESCO begin or end with a slash by mistake.
    text = label.strip("/ \t")
    if "/" not in text or language not in _ENDINGS:
        return ()
    return _two_full_titles(text, language) or _shared_words(text, language)


def find_form_pairs(titles: Iterable[str], language: str) -> list[tuple[str, str]]:
    """The titles that stand in both genders, as (masculine, feminine), sorted.

    Two titles pair up by the rule that slash forms are split by: word for word they are equal or
    the masculine and the feminine of one another, all in the same order, and one word at least
    differs; and the forms of each word share their first two letters, umlauts aside (so no
    "Mönch", "Nonne"). Case and, in Spanish, accents are not looked at. No title is in two pairs.
    """
    if language not in _ENDINGS:
        return []
    alike: dict[tuple[str, ...], list[str]] = {}
    for title in sorted(set(titles)):
        # Both forms of a word begin alike; so few titles have to be compared with one another.
        words = (_fold(word, language).translate(_UMLAUTS) for word in title.split())
        alike.setdefault(tuple(word[:2] for word in words), []).append(title)
    paired: dict[str, str] = {}
    for group in alike.values():
        free = list(group)
        for masculine in group:
            for feminine in free:
                if masculine in free and _is_masculine_of(masculine, feminine, language):
                    paired[masculine] = feminine
                    free.remove(masculine)
                    free.remove(feminine)
                    break
    return sorted(paired.items())


def _is_masculine_of(masculine: str, feminine: str, language: str) -> bool:
    first = [_fold(word, language) for word in masculine.split()]
    second = [_fold(word, language) for word in feminine.split()]
    return first != second and _in_order(first, second, language)


def _two_full_titles(text: str, language: str) -> tuple[str, ...]:
    """A whole title on either side: "technischer Leiter/technische Leiterin"."""
    for found in re.finditer("/", text):
        first, second = text[: found.start()].split(), text[found.end() :].split()
        if len(first) == len(second) and _are_pair(first, second, language):
            return tuple(dict.fromkeys((" ".join(first), " ".join(second))))
    return ()


def _shared_words(text: str, language: str) -> tuple[str, ...]:
    """Words outside the pair stand once: "hotel doorman/doorwoman", "Lehrer/in für Chemie"."""
    words = [_alternatives(word, language) for word in text.split()]
    if all(len(word) == 1 for word in words) or not _words_agree(words, language):
        return ()
    return " ".join(word[0] for word in words), " ".join(word[-1] for word in words)


def _alternatives(word: str, language: str) -> tuple[str, ...]:
    """Masculine and feminine of a word with a slash, or the word alone."""
    first, _, second = word.partition("/")
    if second and _are_pair([first], [second], language):
        return first, second
    for pattern, masculine, feminine in _SUFFIXES.get(language, []):
        if found := re.fullmatch(pattern, word):
            return found.expand(masculine), found.expand(feminine)
    return (word,)


def _words_agree(words: list[tuple[str, ...]], language: str) -> bool:
    """Whether the words that stand once fit both genders.

    English words always do. German nouns agree with adjectives before them ("technischer
    Leiter/in" is short for "technische Leiterin"), so nothing may precede the pair. Spanish ones
    agree with adjectives on either side, so only nouns of common gender ("terapeuta") may.
    """
    if language == "de":
        return len(words[0]) == 2
    if language == "es":
        head = [w for w in _until_preposition(words) if len(w) == 1]
        return all(_SPANISH_COMMON_GENDER.match(w[0]) for w in head)
    return True


def _until_preposition(words: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    for word in words:
        if word[0] in _SPANISH_PREPOSITIONS:
            return
        yield word


def _are_pair(first: list[str], second: list[str], language: str) -> bool:
    """Whether the words are equal or pairs, all in the same order of genders."""
    one = [_fold(word, language) for word in first]
    other = [_fold(word, language) for word in second]
    return one == other or _in_order(one, other, language) or _in_order(other, one, language)


def _in_order(masculine: list[str], feminine: list[str], language: str) -> bool:
    return all(m == f or _is_pair(m, f, language) for m, f in zip(masculine, feminine, strict=True))


def _is_pair(masculine: str, feminine: str, language: str) -> bool:
    return any(
        masculine.endswith(one)
        and feminine.endswith(other)
        and _stem(masculine, one, language) == _stem(feminine, other, language)
        for one, other in _ENDINGS[language]
    )


def _stem(word: str, ending: str, language: str) -> str:
    stem = word.removesuffix(ending)
    # Feminine German nouns may take an umlaut: Arzt, Ärztin.
    return stem.translate(_UMLAUTS) if language == "de" else stem


def _fold(word: str, language: str) -> str:
    # Dashes of different lengths around the same words are the same title.
    word = word.lower().replace("–", "-")
    return word.translate(_WITHOUT_ACCENTS) if language == "es" else word
