"""What commands print: data on stdout, everything else on stderr."""

import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import click

_logger = logging.getLogger(__name__)


def print_json(data: Any) -> None:
    """One document, Unicode as it is."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """A plain table; wide characters count as two columns."""
    from tabulate import tabulate

    click.echo(tabulate([list(row) for row in rows], headers=headers, disable_numparse=True))


def note(message: str) -> None:
    """A line for the person, on stderr."""
    _logger.info(message)
