"""The command line: commands check their options, call the library and print the results."""

import functools
import logging
import os
import traceback
from typing import Any

import click

from jobsearch.cli.cache import cache
from jobsearch.cli.collections import collections
from jobsearch.cli.data import data
from jobsearch.cli.demo import demo
from jobsearch.cli.doctor import doctor
from jobsearch.cli.evaluate import evaluate
from jobsearch.cli.ingest import ingest
from jobsearch.cli.models import models
from jobsearch.cli.output import RUNNING, LogFormat, output_error, set_up, with_flags
from jobsearch.cli.plan import plan
from jobsearch.cli.search import search
from jobsearch.cli.train import train
from jobsearch.errors import JobSearchError

UNEXPECTED_EXIT_CODE = 1
_logger = logging.getLogger(__name__)


class _Commands(click.Group):
    """Prints an expected error as one line on stderr and exits with its code."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError:
            raise
        except OSError as error:
            # Printing the help failed, before the group's callback set up the logs.
            set_up("text", debug=False)
            raise click.exceptions.Exit(_log_error(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            ctx.exit(_log_error(error))


def _log_error(error: Exception) -> int:
    """Log an error and return the exit code."""
    if expected := _as_expected(error):
        message = with_flags(str(expected))
        _logger.error("%s", message, extra={"fields": {"error": type(error).__name__}})
        return expected.exit_code
    _logger.critical(
        "unexpected error: %s: %s; run again as `jobsearch --debug …` for the traceback",
        type(error).__name__,
        error,
    )
    return UNEXPECTED_EXIT_CODE


def _as_expected(error: Exception) -> JobSearchError | None:
    """Turn failures that any command can meet into expected errors; None if it is a bug."""
    if isinstance(error, JobSearchError):
        return error
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        return JobSearchError(
            f"there is not enough memory{reason}: end other programs, give fewer titles at a "
            "time, or use a machine with more memory"
        )
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return JobSearchError("the working directory was deleted: change to one that exists")
    if isinstance(error, OSError) and _is_from_echo(error):
        return output_error(error)
    return None


def _has_working_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True


def _is_from_echo(error: OSError) -> bool:
    """Whether click failed to print; commands print through ``print_text``, which maps errors."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `jobsearch demo`. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 Qdrant cannot be reached.",
)
@click.version_option(package_name="jobsearch")
@click.option(
    "--debug", is_flag=True, help="Show tracebacks of errors, and the time of each stage."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="JOBSEARCH_LOG_FORMAT",
    show_envvar=True,
    help="Format of the messages on stderr: plain lines, or one JSON object per line with timings.",
)
def main(debug: bool, log_format: LogFormat) -> None:
    """Match job titles across languages: ingest, search, evaluate."""
    set_up(log_format, debug=debug)


for _command in (
    demo,
    data,
    ingest,
    search,
    evaluate,
    collections,
    models,
    train,
    cache,
    plan,
    doctor,
):
    main.add_command(_command)


def _record_when_run(command: click.Command) -> None:
    """Make every command below record itself as the running one, for :func:`with_flags`."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _record_when_run(subcommand)
    elif callback := command.callback:

        @functools.wraps(callback)
        def recorded(*args: Any, **options: Any) -> Any:
            click.get_current_context().meta[RUNNING] = command
            return callback(*args, **options)

        command.callback = recorded


_record_when_run(main)
