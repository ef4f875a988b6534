"""Names of collections and aliases.

An alias is ``{namespace}__{language}__{model}__{variant}``; the collection it points at adds the
time of its build and the first digits of the encoder's fingerprint:
``jobs__en__builtin__pretrained__20261123t101500123456_1a2b3c4d``. Characters: ``[a-z0-9_-]``.
"""

import re
from datetime import UTC, datetime

from jobsearch.types import EncoderInfo, Variant

#: What is searched.
JOBS = "jobs"
_EVAL = "eval-"

# Names become folders, so nothing else may stand in them.
_ALLOWED = re.compile(r"[a-z0-9_-]{1,200}")


def slug(text: str) -> str:
    """Lower case, every run of other characters than ``[a-z0-9-]`` made one hyphen."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")


def eval_namespace(benchmark: str, split: str) -> str:
    """Where the corpora of a benchmark are, apart from what is searched and from each other."""
    return f"{_EVAL}{slug(f'{benchmark} {split}')}"


def alias_name(namespace: str, language: str, model: str, variant: Variant) -> str:
    """The stable name of a collection."""
    return "__".join((namespace, language, slug(model), variant))


def build_name(alias: str, encoder: EncoderInfo, now: datetime | None = None) -> str:
    """The physical name of a build that begins now (UTC, microseconds)."""
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dt%H%M%S%f")
    return f"{alias}__{moment}_{encoder.fingerprint[:8]}"


def is_ours(name: str) -> bool:
    """Whether a collection's name follows the scheme."""
    parts = name.split("__")
    return len(parts) == 5 and bool(_ALLOWED.fullmatch(name)) and _is_namespace(parts[0])


def _is_namespace(text: str) -> bool:
    return text == JOBS or text.startswith(_EVAL)


def check_name(name: str) -> str:
    """Return the name of a collection or an alias, or raise ``ValueError`` for its characters."""
    if not _ALLOWED.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a collection or an alias: use [a-z0-9_-]")
    return name


def check_alias(alias: str, language: str, encoder: EncoderInfo) -> str:
    """Return an alias for titles in this language and an encoder, or raise ``ValueError``.

    What is built for it must have a name, too.
    """
    namespace, _, _ = alias.partition("__")
    expected = alias_name(namespace, language, encoder.model, encoder.variant)
    if alias != expected or not is_ours(build_name(alias, encoder)):
        raise ValueError(
            f"{alias!r} is no alias of titles in {language} by {encoder.model} {encoder.variant}, "
            f"as {alias_name(JOBS, language, encoder.model, encoder.variant)} is"
        )
    return alias


def alias_of(name: str) -> str:
    """The alias that a physical name was built for."""
    return name.rsplit("__", 1)[0]
