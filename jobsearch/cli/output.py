"""What commands print: data on stdout, everything else on stderr."""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

_logger = logging.getLogger(__name__)
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def print_json(data: Any) -> None:
    """One document, Unicode as it is."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """A plain table; wide characters count as two columns.

    Titles are somebody else's: characters that steer a terminal, or turn the reading direction of
    what follows, are shown as escapes.
    """
    from tabulate import tabulate

    shown = [[_tamed(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    click.echo(tabulate(shown, headers=headers, disable_numparse=True))


def _tamed(text: str) -> str:
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def bars_wanted() -> bool:
    """Whether progress may be drawn: not among the lines of JSON on stderr."""
    return click.get_current_context().find_root().params.get("log_format") != "json"


def note(message: str) -> None:
    """A line for the person, on stderr."""
    _logger.info(message)
