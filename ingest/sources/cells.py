"""Cells without a title: words for "no value", truth values, dates, and values that are no text."""

import re

# What programs write for a missing value: those that pandas reads as such (STR_NA_VALUES), those of
# databases and pivot tables, and numbers that are not finite. All in lower case, without brackets.
_NO_VALUE = frozenset(
    {
        "na", "n/a", "n.a", "n.a.", "nan", "-nan", "null", "none", "nil", "nat", "undefined",
        "blank", r"\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "k.a.", "k. a.",
        "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity",
    }
)  # fmt: skip
# "Blank" may be a title; "(blank)" of a pivot table is none.
_ONLY_IN_BRACKETS = frozenset({"blank"})
# Errors of spreadsheets, in any language: #REF!, #NAME?, #DIV/0!, #N/A, #NV, Err:502.
_SPREADSHEET_ERROR = re.compile(r"#\S*[!?]|#n/?[ad]( n/a)?|#nv|err:\d{3}|#getting_data")
# Characters that fill a cell without a value.
_PLACEHOLDERS = "-–—−._?/*~ "
_TRUTH = frozenset({"true", "false"})
_DATE = re.compile(
    r"\d{1,4}(?P<mark>[-./ ])(?:\d{1,2}|[a-z]{3})(?P=mark)\d{1,4}"
    r"(?:[t ]\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?z|[+-]\d{2}:?\d{2})?)?"
)


def is_no_value(text: str) -> bool:
    """Whether a text only says that there is no value, such as NULL, N/A, #REF! or a dash."""
    folded = text.strip().casefold()
    if not folded:
        return True
    word = folded.strip("()<>[]{}")
    if word in _NO_VALUE:
        return word != folded or word not in _ONLY_IN_BRACKETS
    return _SPREADSHEET_ERROR.fullmatch(folded) is not None or not folded.strip(_PLACEHOLDERS)


def not_a_title(text: str) -> str:
    """Why a text with letters or digits is no title; empty if it may be one."""
    folded = text.casefold()
    if is_no_value(text):
        return 'empty title (a word for "no value")'
    if folded in _TRUTH:
        return "a truth value, not a title"
    if _DATE.fullmatch(folded):
        return "a date, not a title"
    return ""


def cell_text(value: object) -> str:
    """One value of a table as text; empty for None."""
    if value is None:
        return ""
    # Many programs turn a column of codes with gaps into floating-point numbers.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
