"""ISCO-08, the International Standard Classification of Occupations (ILO, 2012).

Codes are strings: each group's code is a prefix of the codes below it ("2" > "22" > "222" >
"2221"), and the codes of the armed forces begin with a zero. Spreadsheets and other programs drop
that zero, add decimals, or fill short codes with zeros: :class:`CodeColumn` undoes this.
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from jobsearch.errors import InvalidInput

# The 436 unit groups, as "minor group:last digits": "222:12" stands for 2221 and 2222.
_UNIT_GROUPS = """
    011:0 021:0 031:0 111:1234 112:0 121:1239 122:123 131:12 132:1234 133:0 134:1234569 141:12
    142:0 143:19 211:1234 212:0 213:123 214:1234569 215:123 216:123456 221:12 222:12 223:0 224:0
    225:0 226:12345679 231:0 232:0 233:0 234:12 235:1234569 241:123 242:1234 243:1234 251:12349
    252:1239 261:129 262:12 263:123456 264:123 265:1234569 311:123456789 312:123 313:123459
    314:123 315:12345 321:1234 322:12 323:0 324:0 325:123456789 331:12345 332:1234 333:12349
    334:1234 335:123459 341:123 342:123 343:12345 351:1234 352:12 411:0 412:0 413:12 421:1234
    422:12345679 431:123 432:123 441:1234569 511:123 512:0 513:12 514:12 515:123 516:123459
    521:12 522:123 523:0 524:1234569 531:12 532:129 541:12349 611:1234 612:1239 613:0 621:0
    622:1234 631:0 632:0 633:0 634:0 711:123459 712:1234567 713:123 721:12345 722:1234 723:1234
    731:123456789 732:123 741:123 742:12 751:123456 752:123 753:123456 754:12349 811:1234 812:12
    813:12 814:123 815:12345679 816:0 817:12 818:1239 821:129 831:12 832:12 833:12 834:1234
    835:0 911:12 912:1239 921:123456 931:123 932:19 933:1234 941:12 951:0 952:0 961:123
    962:12349
"""

UNIT_GROUPS = frozenset(
    minor + digit
    for minor, digits in (entry.split(":") for entry in _UNIT_GROUPS.split())
    for digit in digits
)

#: All 619 codes at the four depths: 10 major, 43 sub-major, 130 minor and 436 unit groups.
CODES = frozenset(code[:depth] for code in UNIT_GROUPS for depth in (1, 2, 3, 4))


def check_code(code: str) -> str:
    """Return ``code`` without surrounding white space, if it is an ISCO-08 code of any depth.

    Raises:
        InvalidInput: the code does not exist.
    """
    code = code.strip()
    if code not in CODES:
        raise InvalidInput(
            f"unknown ISCO-08 code {code!r}: give one to four digits such as 2 (professionals), "
            "22, 222 or 2221 (nursing professionals)"
        )
    return code


# Forms of one code: 2221, C2221, "ISCO-08 2221", ESCO's URI, and what may follow the digits.
_WRITTEN = re.compile(
    r"(?:\S*/isco/)?(?:ISCO[\s_-]*(?:(?:20)?08[\s:_-]+)?)?C?(?P<digits>[0-9]{1,4})"
    r"(?P<rest>(?:[.,][0-9]+)*)",
    re.IGNORECASE,
)
# Characters around a code that keep a spreadsheet from turning it into a number: '0110, ="0110".
_MARKS = "='\""
# A column is of one level if at least this share of its codes is.
_NEARLY_ALL = 0.9


@lru_cache(maxsize=4096)  # a column repeats its codes
def _digits(text: str) -> str:
    """The digits of a written code; empty if the text is no code."""
    text = text.strip().strip(_MARKS).strip()
    if re.fullmatch(r"[0-9][.,\s][0-9]{3}", text):  # a thousands separator
        return text[0] + text[2:]
    match = _WRITTEN.fullmatch(text)
    if match is None:
        return ""
    digits, rest = match["digits"], match["rest"]
    if re.fullmatch(r"(?:[.,]0+)?", rest) or unit_group(digits):
        # Decimals of a number, or the rest of ESCO's code of an occupation: 2221.1, 2654.1.7.
        return digits
    return ""


def _without_padding(digits: str) -> str:
    """The code that zeros on the right fill up, as in 2200 for 22; empty if there is none."""
    for end in range(len(digits), 0, -1):
        if digits[:end] in CODES:
            return digits[:end]
        if digits[end - 1] != "0":
            break
    return ""


def unit_group(text: str) -> str:
    """The unit group that a text denotes, as spreadsheets leave it; empty if it denotes none.

    Examples:
        >>> unit_group("2221"), unit_group("110"), unit_group("C2221.0"), unit_group("222")
        ('2221', '0110', '2221', '')
    """
    digits = text if text.isdecimal() else _digits(text)
    return next((code for code in (digits, f"0{digits}") if code in UNIT_GROUPS), "")


class CodeColumn:
    """Reads a column of ISCO-08 codes in the forms in which spreadsheets and programs leave them.

    Most forms have one reading: 2221.0, C2221, "ISCO-08 2221" and ESCO's URI are 2221, 110 is 0110
    without its zero, and 2200 is 22 filled up. Only 1, 2, 3, 11, 21 and 31 have two, because they
    are codes with and without a zero before them. The column decides. The zero may be lost if
    another code of the column has lost its zero, or if nearly all other codes are one digit longer
    and no other code is as short. If the column has codes with their zeros, none was lost.

    Args:
        texts: the cells of the whole column; other texts than codes have no effect.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        written = {digits for text in texts if (digits := _digits(text))}
        self._width = max(map(len, written), default=4)
        readings = {digits: (self._as_written(digits), _with_zero(digits)) for digits in written}
        self._zeros_lost = any(zero and not own for own, zero in readings.values())
        self._zeros_kept = any(len(digits) > 1 and digits[0] == "0" for digits in written)
        self._lengths = Counter(len(own) for own, zero in readings.values() if own and not zero)

    def readings(self, text: str) -> tuple[str, ...]:
        """The codes that a cell may stand for: one for a good cell, none if it is no code."""
        digits = _digits(text)
        own, zero = self._as_written(digits), _with_zero(digits)
        if digits in CODES and not self._may_lack_zero(len(digits)):
            zero = ""
        return tuple(dict.fromkeys(code for code in (own, zero) if code))

    def _as_written(self, digits: str) -> str:
        if len(digits) == self._width:
            return _without_padding(digits)
        return digits if digits in CODES else ""

    def _may_lack_zero(self, length: int) -> bool:
        if self._zeros_lost or self._zeros_kept:
            return self._zeros_lost
        longer, total = self._lengths[length + 1], self._lengths.total()
        return total > 0 and not self._lengths[length] and longer >= _NEARLY_ALL * total


def _with_zero(digits: str) -> str:
    """The code that the digits are if they lost a zero before them; empty if there is none."""
    if not digits or len(digits) == 4 or digits[0] == "0":
        return ""
    return _without_padding(f"0{digits}")


def codes_below(groups: Iterable[str]) -> tuple[str, ...]:
    """Return the given groups and all codes below them, sorted: "226" adds "2261" to "2269"."""
    wanted = tuple(groups)
    below = {code for code in CODES if code.startswith(wanted)}
    return tuple(sorted(below.union(wanted)))
