"""Normalisation of titles and queries, and text that is safe to print."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobsearch.errors import InvalidInput
from jobsearch.text import (
    MAX_TITLE_CHARS,
    check_query,
    escape_control_lines,
    escape_controls,
    normalize_title,
)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("  registered\n nurse\t", "registered nurse"),
        ("Bäcker", "Bäcker"),  # decomposed umlaut
        ("ｎｕｒｓｅ", "nurse"),  # full-width letters
        ("nur\u00adse\u200b", "nurse"),  # soft hyphen, zero-width space
        ("nurse\ud800", "nurse"),  # lone surrogate
        ("\u202enurse\u202c", "nurse"),  # directional marks
        ("KRANKENSCHWESTER", "krankenschwester"),
        ("MAÎTRE D'HÔTEL", "maître d'hôtel"),
        ("STRASSENBAUER/IN", "strassenbauer/in"),
        ("Straßenbauer", "Straßenbauer"),
        ("CEO", "CEO"),  # too short: an abbreviation
        ("IT-Leiter", "IT-Leiter"),
        ("注册护士", "注册护士"),
        ("\x00\x07", ""),
        ("", ""),
    ],
)
def test_normalize_title(title: str, expected: str) -> None:
    assert normalize_title(title) == expected


@given(st.text())
def test_normalize_is_idempotent_and_gives_valid_utf8(title: str) -> None:
    once = normalize_title(title)
    assert normalize_title(once) == once
    once.encode("utf-8")


@pytest.mark.parametrize("query", ["", "   ", "/ - !", "\x00", "x" * (MAX_TITLE_CHARS + 1)])
def test_invalid_queries(query: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_query(query)
    assert caught.value.exit_code == 2
    assert "give a job title" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_query_is_normalised() -> None:
    assert check_query(" NURSE  practitioner".upper()) == "nurse practitioner"


#: Characters that compose, and invisible ones that are removed from between them.
LETTERS = st.text(st.sampled_from("eAuo\u0301\u0308\u030a\u1100\u1161\u11a8\u00ad\u200b\u200d"))


@given(LETTERS)
def test_characters_that_become_neighbours_are_composed(title: str) -> None:
    once = normalize_title(title)
    assert normalize_title(once) == once == unicodedata.normalize("NFKC", once)


@pytest.mark.parametrize("invisible", ["\u00ad", "\u200b", "\u200d", "\ufeff", "\x00"])
def test_an_invisible_character_does_not_prevent_composition(invisible: str) -> None:
    decomposed = f"A{invisible}\u0308rztin"
    assert normalize_title(decomposed) == normalize_title("Ärztin") == "Ärztin"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Köchin 护士 👩‍⚕️ \\u001b", "Köchin 护士 👩‍⚕️ \\u001b"),
        ("a\x1b]0;owned\x07b\x9b2J", "a\\u001b]0;owned\\u0007b\\u009b2J"),
        ("a\nb\rc\x85d\u2028e", "a\\u000ab\\u000dc\\u0085d\\u2028e"),
        ("\u202erevo \udcff", "\\u202erevo \\udcff"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


def test_escape_control_lines_keeps_lines() -> None:
    assert (
        escape_control_lines("# Card\n\n\tcode\x1b[2J\r\nend\n")
        == "# Card\n\n        code\\u001b[2J\nend"
    )
