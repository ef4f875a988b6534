"""The command line: commands validate, call the library and print."""

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
    """Turns expected errors into one line on stderr and their exit code."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError:
            raise
        except OSError as error:
            # Help was asked for, so the command that sets up stderr is not run.
            set_up("text", debug=False)
            raise click.exceptions.Exit(_tell(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            ctx.exit(_tell(error))


def _tell(error: Exception) -> int:
    """Log the error; returns the exit code."""
    if expected := _expected(error):
        message = with_flags(str(expected))
        _logger.error("%s", message, extra={"fields": {"error": type(error).__name__}})
        return expected.exit_code
    _logger.critical(
        "unexpected error: %s: %s; run again as `jobsearch --debug …` for the traceback",
        type(error).__name__,
        error,
    )
    return UNEXPECTED_EXIT_CODE


def _expected(error: Exception) -> JobSearchError | None:
    """The error as a user may meet it wherever work is done; None if it is a fault of ours."""
    if isinstance(error, JobSearchError):
        return error
    if isinstance(error, MemoryError):
        reason = f" ({error})" if str(error) else ""
        return JobSearchError(
            f"there is not enough memory{reason}: end other programs, give fewer titles at a "
            "time, or take a machine that has more"
        )
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return JobSearchError("the working directory was deleted: change to one that exists")
    if isinstance(error, OSError) and _is_of_echo(error):
        return output_error(error)
    return None


def _has_working_directory() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True


def _is_of_echo(error: OSError) -> bool:
    """Whether it is click's, of a help: what commands print has errors of its own."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `jobsearch demo`. Exit codes: 0 done, 1 failed, 2 wrong usage, "
    "3 Qdrant cannot be reached.",
)
@click.version_option(package_name="jobsearch")
@click.option(
    "--debug", is_flag=True, help="Show the traceback of errors, and how long stages took."
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="JOBSEARCH_LOG_FORMAT",
    show_envvar=True,
    help="What goes to stderr: lines for a person, or a JSON object a line, with timings.",
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


def _note_when_run(command: click.Command) -> None:
    """Let every command below note that it is running, for :func:`with_flags`."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _note_when_run(each)
    elif callback := command.callback:

        @functools.wraps(callback)
        def noted(*args: Any, **options: Any) -> Any:
            click.get_current_context().meta[RUNNING] = command
            return callback(*args, **options)

        command.callback = noted


_note_when_run(main)
