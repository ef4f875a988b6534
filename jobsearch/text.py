"""Text of titles: the normalisation that all parts share, and safe printing."""

import re
import unicodedata

from jobsearch.errors import InvalidInput

#: Stored with every collection; increase it whenever the output of :func:`normalize_title` changes.
NORMALIZATION_VERSION = 2

MAX_TITLE_CHARS = 500

# Invisible characters that do not change a word: control characters, zero-width and directional
# marks, soft hyphen, byte-order mark, and lone surrogates (which cannot be encoded as UTF-8).
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u061c\u200b-\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# Characters that control a terminal, end a line or change the direction of the text after them, and
# lone surrogates, which cannot be printed.
_CONTROLS = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_MIN_CAPITALS = 4


def normalize_title(title: str) -> str:
    """Return the form of a title that is embedded, compared and hashed.

    Applies Unicode NFKC, removes invisible characters and turns runs of white space into one space.
    A title written entirely in capitals (at least four letters that have a case) becomes lower
    case, since models trained on running text misread capitals. Other capitals are kept: German
    nouns need them. The result may be empty. A second application changes nothing.
    """
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", title))
    # Removing an invisible character may join a letter and its accent: compose them.
    text = " ".join(unicodedata.normalize("NFKC", visible).split())
    if text.isupper() and sum(map(str.isupper, text)) >= _MIN_CAPITALS:
        text = " ".join(unicodedata.normalize("NFKC", text.lower()).split())
    return text


def fold_title(title: str) -> str:
    """Return the normalised title in one case; equal results mean that two titles read the same."""
    return normalize_title(title).casefold()


def escape_surrogates(text: str) -> str:
    """Write lone surrogates, which no encoding has, as escapes; JSON reads these as they were."""
    return _SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape_controls(text: str) -> str:
    """Make untrusted text safe to print on one line: control characters become hex escapes."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def escape_control_lines(text: str) -> str:
    """Make each line safe to print, as :func:`escape_controls` does; tabs become spaces."""
    return "\n".join(escape_controls(line.expandtabs()) for line in text.splitlines())


def check_query(query: str) -> str:
    """Return the normalised query.

    Raises:
        InvalidInput: the query is longer than ``MAX_TITLE_CHARS``, or has no letter or digit.
    """
    if len(query) > MAX_TITLE_CHARS:
        raise InvalidInput(
            f"the query has {len(query):,} characters, more than {MAX_TITLE_CHARS}: "
            "give a job title, not a document"
        )
    text = normalize_title(query)
    if not any(map(str.isalnum, text)):
        raise InvalidInput(f"the query {query!r} has no letter or digit: give a job title")
    return text


def slug(text: str) -> str:
    """Lower the text and turn every run of characters outside ``[a-z0-9-]`` into one hyphen."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
