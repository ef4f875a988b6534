"""What commands print: data on stdout, everything else on stderr."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import click

from jobsearch.errors import OutputError
from jobsearch.text import escape_control_lines, escape_controls

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
    logging.getLogger("jobsearch.timing").setLevel(logging.INFO if shown else logging.WARNING)


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # What is critical says so itself.
        told = record.levelno in (logging.WARNING, logging.ERROR)
        level = f"{record.levelname.lower()}: " if told else ""
        return level + escape_control_lines(record.getMessage())


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


_logger = logging.getLogger(__name__)


class _Expendable:
    """A stream that gives up what it cannot write, also when Python flushes it at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        # ValueError: it was closed.
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def expendable(stream: TextIO) -> TextIO:
    """The stream, which no longer fails: what it cannot write is lost, and the work goes on."""
    return cast(TextIO, stream if isinstance(stream, _Expendable) else _Expendable(stream))


def print_text(text: object) -> None:
    """A line of data, or several.

    Raises:
        OutputError: stdout cannot be written.
        BrokenPipeError: nobody reads it any more, as behind ``| head``.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(error) from error


def output_error(refusal: OSError) -> OutputError:
    """The error for a stdout that cannot be written; what it still holds is given up."""
    sys.stdout = expendable(sys.stdout)
    return OutputError(
        f"the output cannot be written ({refusal.strerror or refusal}): send it elsewhere. "
        "What the command had to change has been changed"
    )


def print_json(data: Any) -> None:
    """One document, Unicode as it is."""
    print_text(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """A plain table; wide characters count as two columns.

    Titles are somebody else's: they are tamed.
    """
    from tabulate import tabulate

    shown = [
        [escape_controls(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    print_text(tabulate(shown, headers=headers, disable_numparse=True))


_ARGUMENT = re.compile(r"`([a-z_]+)(?:=([^`]*))?`")


#: Key of the running command in the context's ``meta``, which all nested contexts share.
RUNNING = "jobsearch.command"


def with_flags(message: str) -> str:
    """A message of the library in the words of the command line.

    The library names an argument in backticks, `` `to` `` or `` `force=True` ``; a person who types
    commands knows it as `` `--to` `` or `` `--force` ``. Names that are no option stay as they are.
    """
    context = click.get_current_context(silent=True)
    if context is None:  # the context of a failed --help has ended
        return message
    # Two commands may give an argument different flags: the running command decides.
    flags = _flags(context.find_root().command)
    if RUNNING in context.meta:
        flags |= _flags(context.meta[RUNNING])

    def flag(found: re.Match[str]) -> str:
        option = flags.get(found[1])
        if option is None:
            return found[0]
        words = {"True": "on", "False": "off"}
        value = words.get(found[2], (found[2] or "").strip("\"'"))
        return f"`{max(option.opts, key=len)}{f' {value}' if value and not option.is_flag else ''}`"

    return _ARGUMENT.sub(flag, message)


def _flags(command: click.Command) -> dict[str, click.Option]:
    """The options of a command and of all commands below it, by the name of their argument."""
    found = {
        p.name.rstrip("_"): p for p in command.params if isinstance(p, click.Option) and p.name
    }
    if isinstance(command, click.Group):
        for each in command.commands.values():
            found |= _flags(each)
    return found


def bars_wanted() -> bool:
    """Whether progress may be drawn: not among the lines of JSON on stderr."""
    return click.get_current_context().find_root().params.get("log_format") != "json"


def note(message: str) -> None:
    """A line for the person, on stderr."""
    _logger.info(message)
