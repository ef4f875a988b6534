"""Text of titles: one normalisation for ingest, query, training and evaluation; how it is shown."""

import re
import unicodedata

from jobsearch.errors import InvalidInput

#: Stored with every collection; raise it whenever :func:`normalize_title` changes its output.
NORMALIZATION_VERSION = 2

MAX_TITLE_CHARS = 500

# Invisible characters that change no word: controls, zero-width and directional marks, soft hyphen,
# byte-order mark, and lone surrogates (which no encoder can write as UTF-8).
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u061c\u200b-\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# What steers a terminal, ends a line, or turns the reading direction of what follows; and lone
# surrogates, which cannot be printed.
_STEERING = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MIN_SHOUTED_LETTERS = 4


def normalize_title(title: str) -> str:
    """Bring a title into the form that is embedded, compared and hashed.

    Unicode NFKC, invisible characters removed, runs of white space made one space, and a title
    written in CAPITALS throughout (at least four letters that have a case) lower-cased, since
    models trained on running text misread it. Other capitals are kept: German nouns need them.
    The result may be empty. Applying the function twice gives the same as once.
    """
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", title))
    # What stood on either side of an invisible character may be one letter now.
    text = " ".join(unicodedata.normalize("NFKC", visible).split())
    if text.isupper() and sum(map(str.isupper, text)) >= _MIN_SHOUTED_LETTERS:
        text = " ".join(unicodedata.normalize("NFKC", text.lower()).split())
    return text


def fold_title(title: str) -> str:
    """The normalised title without case: what two titles share that read the same."""
    return normalize_title(title).casefold()


def escape_controls(text: str) -> str:
    """Text of others as one line that is safe to print: what would steer it is shown as escapes."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_control_lines(text: str) -> str:
    """Each line tamed; tabs are made spaces."""
    return "\n".join(escape_controls(line.expandtabs()) for line in text.splitlines())


def check_query(query: str) -> str:
    """Return the normalised query.

    Raises:
        InvalidInput: it is empty, longer than ``MAX_TITLE_CHARS``, or has no letter or digit.
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
    """Lower case, every run of other characters than ``[a-z0-9-]`` made one hyphen."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
