"""Refuses titles that are plainly in another language than they are said to be.

A language identifier trained on running text errs on single job titles: of those of ESCO 1.2.0 it
gets 80% (en), 86% (es) and 79% (de) right, of TalentCLEF's lower-case validation queries 51%, 59%
and 47%, the next best language having at most 16%. A batch tells far more. For every language the
guard takes the mean, over a sample of titles, of the logarithm of its probability, and compares the
best other language with the one that was announced. Measured over some 500 random batches a size
from each of 64 sets of titles in en, es, de and zh (ESCO, TalentCLEF, MELO and the sample; capitals
as they are, all lower, all upper), each announced as each of the four, this gap was

    titles in a batch      20      30      50     100     200
    right: at most      -0.24   -0.35   -0.49   -0.70   -0.84
    wrong: at least      0.24    0.62    1.14    1.37    1.68

so nothing right was refused and nothing wrong let through; nor of batches of 50 titles in 19
languages (those of Faker), among them Czech and Slovak, Portuguese and Spanish. Below 20 titles no
right batch was refused; of the wrong ones 1 in 150 passed with 10 titles, and 1 in 11 with 5.
Titles of which half are English loans have a gap of about 0; from two thirds on they are refused.
"""

import math
import random
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any

from jobsearch.errors import LanguageMismatch, SourceError
from jobsearch.languages import NAMES
from jobsearch.text import normalize_title

SAMPLE_TITLES = 200

# No single title may decide: a language is never less probable than this.
_MIN_PROBABILITY = 0.01


def check_titles(titles: Iterable[str], language: str, *, where: str) -> bool:
    """Compare the language of a fixed sample of the distinct titles with the one announced.

    Args:
        titles: as they are read; capitals do not matter.
        language: ISO 639-1 code.
        where: what they are, for the message, e.g. ``esco``.

    Returns:
        Whether a check was possible: the identifier may not know the language.

    Raises:
        LanguageMismatch: with the figures.
        SourceError: there is no room for the identifier's model in the temporary folder.
    """
    identifier = _identifier()
    if language not in identifier.labels:
        return False
    distinct = sorted(set(titles))
    drawn = random.Random(0).sample(distinct, min(SAMPLE_TITLES, len(distinct)))  # noqa: S311
    sample = sorted(set(map(normalize_title, drawn)))
    if not sample:
        return True
    votes: Counter[str] = Counter()
    evidence: dict[str, float] = {}
    for title in sample:
        ranking = identifier.rank(title)
        votes[ranking[0][0]] += 1
        for code, probability in ranking:
            log = math.log(max(probability, _MIN_PROBABILITY))
            evidence[code] = evidence.get(code, 0.0) + log / len(sample)
    other = max((code for code in evidence if code != language), key=evidence.__getitem__)
    if evidence[other] - evidence[language] > _plain_gap(_size(sample)):
        said, seen = NAMES[language].title(), NAMES[other].title()
        raise LanguageMismatch(
            f"{where}: of {len(sample)} titles {votes[other]} look {seen} and {votes[language]} "
            f"{said}, but they were announced as {said}. Nothing was stored: give the language "
            "they are in, or pass --language-check off if they are right"
        )
    return True


def _size(sample: list[str]) -> int:
    """Number of titles that tell something new: "clerk 1" to "clerk 40" are one word."""
    words = {word for title in sample for word in title.split() if any(map(str.isalpha, word))}
    return max(1, min(len(words), len(sample)))


def _plain_gap(titles: int) -> float:
    """How far another language must be ahead; few titles can mislead, so they need more."""
    if titles >= 50:
        return 0.5
    return 0.2 if titles >= 20 else 0.2 + 10 / titles


@cache
def _identifier() -> Any:
    """The identifier, restricted to the languages we know; loading takes about 0.6 s."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    try:
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    except OSError as error:
        # gettempdir() would fail once more where no folder will do: then the reason lists them.
        where = tempfile.tempdir or "the temporary folder"
        raise SourceError(
            f"the language check cannot unpack its model in {where} ({error.strerror or error}): "
            "make room there, set TMPDIR to another folder, or pass --language-check off"
        ) from error
    identifier.set_languages(NAMES.keys() & set(identifier.labels))
    return identifier
