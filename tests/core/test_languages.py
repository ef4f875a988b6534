"""Languages as people write them."""

import pytest

from jobsearch.errors import InvalidInput
from jobsearch.languages import NAMES, check_language, find_language


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("de", "de"), (" EN ", "en"),
        ("en-US", "en"), ("de_AT", "de"), ("DE-at", "de"), ("pt-BR", "pt"), ("es-419", "es"),
        ("zh-Hans", "zh"), ("zh_Hant_TW", "zh"), ("de-DE-1996", "de"),
        ("nb", "no"), ("nn", "no"), ("nb-NO", "no"), ("no", "no"),
        ("deu", "de"), ("ger", "de"), ("eng", "en"), ("cmn", "zh"), ("arb", "ar"),
        ("English", "en"), ("ENGLISH", "en"), ("Deutsch", "de"), ("german", "de"),
        ("español", "es"), ("French", "fr"), ("français", "fr"), ("allemand", "de"),
        ("中文", "zh"), ("Simplified Chinese", "zh"), ("English (US)", "en"),
        ("Norwegian Bokmål", "no"), ("Русский", "ru"), ("日本語", "ja"),
    ],
)  # fmt: skip
def test_what_people_write(written: str, code: str) -> None:
    assert find_language(written) == code
    assert check_language(written) == code


@pytest.mark.parametrize(
    "written",
    [
        # not a language, or none of ours
        "", " ", "xx", "und", "mul", "zxx", "lb", "gsw", "la", "Latin", "Luxembourgish",
        # words for "no value"; ``nan`` is the code of a Chinese language
        "nan", "NaN", "NULL", "None", "n/a", "N/A", "-", "?", "no-value", "no-data", "unknown",
        # countries, initials, two languages, a language and something else
        "cz", "gr", "jp", "cn", "ua", "D", "E", "en,de", "en/de", "en;de", "English, German",
        "de-", "de-Köln", "x" * 200_000, "\ud800",
    ],
)  # fmt: skip
def test_what_names_no_language_of_ours(written: str) -> None:
    assert find_language(written) is None
    with pytest.raises(InvalidInput, match="unknown language"):
        check_language(written)


def test_every_language_is_found_by_its_code_and_its_name() -> None:
    assert {code: find_language(name) for code, name in NAMES.items()} == {c: c for c in NAMES}
