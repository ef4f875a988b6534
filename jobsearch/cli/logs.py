"""What goes to stderr: lines for a person, or JSON for whoever collects logs."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from jobsearch.cli.output import expendable
from jobsearch.text import tamed_lines

LogFormat = Literal["text", "json"]

#: The packages whose records are shown.
_PACKAGES = ("jobsearch", "ingest", "eval")


def set_up(log_format: LogFormat, *, debug: bool) -> None:
    """Show the records of our packages on stderr; a call replaces what an earlier one set up.

    Work of hours does not end because stderr cannot be written: from here on that is passed over,
    in log lines and in the bars of libraries alike.
    """
    if sys.stderr is None:  # closed before we began, which bars do not expect
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = expendable(sys.stderr)
    handler = _Stderr()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [each for each in logger.handlers if not isinstance(each, _Stderr)]
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if debug else logging.INFO)
    # A person who waits sees a bar; how long it all took is in the summary.
    shown = log_format == "json" or debug
    logging.getLogger("jobsearch.stages").setLevel(logging.INFO if shown else logging.WARNING)


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # What is critical says so itself.
        told = record.levelno in (logging.WARNING, logging.ERROR)
        level = f"{record.levelname.lower()}: " if told else ""
        return level + tamed_lines(record.getMessage())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        return json.dumps(told, ensure_ascii=False)
