"""The output of commands: data on stdout, everything else on stderr."""

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
from jobsearch.text import escape_control_lines, escape_controls, escape_surrogates

LogFormat = Literal["text", "json"]

#: Packages whose log records are shown.
_PACKAGES = ("jobsearch", "ingest", "eval")


def set_up(log_format: LogFormat, *, debug: bool) -> None:
    """Show the log records of our packages on stderr; each call replaces the handlers of the last.

    From here on, failed writes to stderr are ignored, in log lines and in progress bars of
    libraries: a long ingest must not fail because its messages cannot be written.
    """
    if sys.stderr is None:  # closed before the start; progress bars cannot handle None
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = expendable(sys.stderr)
    handler = _Stderr()
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = [each for each in logger.handlers if not isinstance(each, _Stderr)]
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if debug else logging.INFO)
    # People see a progress bar, and the total time in the summary.
    with_timings = log_format == "json" or debug
    logging.getLogger("jobsearch.timing").setLevel(
        logging.INFO if with_timings else logging.WARNING
    )


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # The one critical message begins with "unexpected error".
        labelled = record.levelno in (logging.WARNING, logging.ERROR)
        level = f"{record.levelname.lower()}: " if labelled else ""
        return level + escape_control_lines(record.getMessage())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
            **getattr(record, "fields", {}),
        }
        return escape_surrogates(json.dumps(entry, ensure_ascii=False))


_logger = logging.getLogger(__name__)


class _Expendable:
    """Ignores failed writes to a stream, also when Python flushes it at exit."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        # ValueError: the stream was closed.
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def expendable(stream: TextIO) -> TextIO:
    """Wrap a stream so that failed writes are ignored; the text of a failed write is lost."""
    return cast(TextIO, stream if isinstance(stream, _Expendable) else _Expendable(stream))


def print_text(text: object) -> None:
    """Print one or several lines of data on stdout, with lone surrogates as escapes.

    Raises:
        OutputError: stdout cannot be written.
        BrokenPipeError: the reader closed the pipe, for example ``| head``.
    """
    try:
        click.echo(escape_surrogates(str(text)))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_error(error) from error


def output_error(error: OSError) -> OutputError:
    """The error for a stdout that cannot be written; text still in its buffer is dropped."""
    sys.stdout = expendable(sys.stdout)
    return OutputError(
        f"the output cannot be written ({error.strerror or error}): redirect it to "
        "another place. The command's changes, if any, were made"
    )


def print_json(data: Any) -> None:
    """Print one JSON document, with Unicode unescaped, except for lone surrogates."""
    print_text(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """Print a plain table; wide characters count as two columns.

    Control characters are escaped, because titles come from other people's files.
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
    """Replace the arguments that a library message names by the flags of the command line.

    The library writes an argument in backticks, `` `to` `` or `` `force=True` ``, which becomes
    `` `--to` `` or `` `--force` ``. Names that are not an option stay as they are.
    """
    context = click.get_current_context(silent=True)
    if context is None:  # the context of a failed --help has ended
        return message
    # Commands may have different flags for the same argument: the running command decides.
    flags = _flags(context.find_root().command)
    if RUNNING in context.meta:
        flags |= _flags(context.meta[RUNNING])

    def flag(match: re.Match[str]) -> str:
        option = flags.get(match[1])
        if option is None:
            return match[0]
        words = {"True": "on", "False": "off"}
        value = words.get(match[2], (match[2] or "").strip("\"'"))
        return f"`{max(option.opts, key=len)}{f' {value}' if value and not option.is_flag else ''}`"

    return _ARGUMENT.sub(flag, message)


def _flags(command: click.Command) -> dict[str, click.Option]:
    """Argument name -> option, of a command and of all commands below it."""
    flags = {
        p.name.rstrip("_"): p for p in command.params if isinstance(p, click.Option) and p.name
    }
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            flags |= _flags(subcommand)
    return flags


def bars_wanted() -> bool:
    """Whether progress bars may be drawn: not between JSON lines on stderr."""
    return click.get_current_context().find_root().params.get("log_format") != "json"


def note(message: str) -> None:
    """Print a message for the user on stderr."""
    _logger.info(with_flags(message))
