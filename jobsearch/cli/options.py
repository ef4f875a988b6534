"""Options that several commands share, and the checks of their values."""

import functools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.output import bars_wanted, note
from jobsearch.errors import InvalidInput
from jobsearch.isco import check_code
from jobsearch.languages import check_language
from jobsearch.settings import (
    DEFAULT_MODEL,
    DEFAULT_MODELS_DIR,
    DEFAULT_STORE,
    MAX_SECONDS,
    MIN_TIMEOUT_S,
    Secret,
    Settings,
)
from jobsearch.types import QUANTIZATIONS

if TYPE_CHECKING:
    from jobsearch.api import Jobs

Command = Callable[..., Any]


class CheckedList(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4
    """A comma-separated list whose entries pass a check that raises ``InvalidInput``."""

    def __init__(self, name: str, check: Callable[[str], str]) -> None:
        self.name = name
        self._check = check

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split and check; an empty list is an error."""
        if isinstance(value, tuple):
            return value
        try:
            entries = tuple(self._check(entry) for entry in str(value).split(",") if entry.strip())
        except InvalidInput as error:
            self.fail(str(error), param, ctx)
        if not entries:
            self.fail("the list is empty", param, ctx)
        return entries


class Place(click.Path):
    """A path, which must not be empty.

    A shell variable that is not set becomes an empty path, which would mean the working directory.
    """

    def __init__(self, *, path_type: type = Path, **checks: Any) -> None:
        super().__init__(path_type=path_type, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty path; check others as ``click.Path`` does."""
        if value == "":
            self.fail(
                "it is empty: is a variable not set? Write the working directory as .", param, ctx
            )
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number in a range: NaN is never outside of one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse NaN and infinity; check others as ``click.FloatRange`` does."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number", param, ctx)
        return number


def check_pair(pair: str) -> str:
    """Check a pair of languages such as ``en-es``: query language, corpus language."""
    query, dash, corpus = pair.strip().partition("-")
    if not dash:
        raise InvalidInput(f"{pair!r} is not a pair of languages: write it as en-es")
    return f"{check_language(query)}-{check_language(corpus)}"


def _one_of(*names: str) -> Callable[[str], str]:
    """A check that accepts one of the names in any letter case, and returns the name."""
    known = {name.lower(): name for name in names}

    def check(entry: str) -> str:
        if (found := known.get(entry.strip().lower())) is None:
            raise InvalidInput(f"{entry.strip()!r} is not one of {', '.join(names)}")
        return found

    return check


LANGUAGES = CheckedList("lang[,lang]", check_language)
PAIRS = CheckedList("pair[,pair]", check_pair)
#: A store or a model: a folder, a URL or a name.
FOLDER_OR_NAME = Place(path_type=str, readable=False)
ISCO_CODES = CheckedList("code[,code]", check_code)
# Repeated here, because the modules that define them are imported only when needed.
METRICS = CheckedList(
    "metric[,metric]", _one_of("MAP", "MRR", "nDCG", "P@5", "P@10", "P@100", "R@100")
)
BASELINE_NAMES = CheckedList("name[,name]", _one_of("random", "bm25", "tfidf"))


def lasting_store(_: click.Context, __: click.Parameter, store: str) -> str:
    """A callback that refuses the store in memory, which ends with the command."""
    if store == ":memory:":
        raise click.BadParameter(
            "a store in memory ends with the command: give a folder, or a URL such as "
            "http://localhost:6333"
        )
    return store


def jobs_of(settings: Settings) -> "Jobs":
    """The facade for a command, with notes on stderr, and progress bars where they are allowed."""
    from jobsearch.api import Jobs

    return Jobs(settings, notify=note, progress=bars_wanted())


def with_store(command: Command) -> Command:
    """Add the options of the store; the command receives ``settings``."""
    return _with_settings(command, models=False)


def with_settings(command: Command) -> Command:
    """Add the options of the store and of the model; the command receives ``settings``."""
    return _with_settings(command, models=True)


def _with_settings(command: Command, *, models: bool) -> Command:
    @functools.wraps(command)
    def wrapped(*args: Any, store: str, timeout_s: float, retry_s: float, **rest: Any) -> Any:
        chosen = {
            name: rest.pop(name) for name in ("model", "variant", "models_dir") if name in rest
        }
        key = secret_of("JOBSEARCH_API_KEY")
        settings = Settings(
            store=store, timeout_s=timeout_s, retry_s=retry_s, api_key=key, **chosen
        )
        return command(*args, settings=settings, **rest)

    options: list[Callable[[Command], Command]] = [
        click.option(
            "--store",
            envvar="JOBSEARCH_STORE",
            show_envvar=True,
            type=FOLDER_OR_NAME,
            callback=lasting_store,
            metavar="PATH|URL",
            default=DEFAULT_STORE,
            show_default=True,
            help="Folder of an embedded store, or URL of a Qdrant server "
            "(its API key: JOBSEARCH_API_KEY).",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=Number(min=MIN_TIMEOUT_S, max=MAX_SECONDS),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="Time for one request to a server, up to the last byte of its answer.",
        ),
        click.option(
            "--retry",
            "retry_s",
            type=Number(min=0, max=MAX_SECONDS),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to retry temporary failures of a server.",
        ),
    ]
    if models:
        options += _model_options()
    return with_options(wrapped, options)


def secret_of(variable: str) -> Secret | None:
    """The value of an environment variable, None if it is empty or not set."""
    text = os.environ.get(variable)
    return Secret(text) if text else None


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Decorate a command with options; its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _model_options() -> list[Callable[[Command], Command]]:
    return [
        model,
        click.option(
            "--variant",
            type=click.Choice(["pretrained", "finetuned", "auto", "paper"]),
            default="auto",
            show_default=True,
            help="A variant, or the policy that chooses. `auto`: ingest and evaluate every "
            "variant, and search with the fine-tuned one where it exists. `paper`: search with "
            "the fine-tuned one within a language, and with the pretrained one across languages.",
        ),
        models_dir,
    ]


model = click.option(
    "--model",
    envvar="JOBSEARCH_MODEL",
    show_envvar=True,
    type=FOLDER_OR_NAME,
    metavar="MODEL",
    default=DEFAULT_MODEL,
    show_default=True,
    help="builtin, mpnet, a SentenceTransformer directory or a Hugging Face id.",
)
models_dir = click.option(
    "--models-dir",
    envvar="JOBSEARCH_MODELS",
    show_envvar=True,
    type=Place(),
    default=DEFAULT_MODELS_DIR,
    show_default=True,
    help="Folder with fine-tuned variants.",
)


def quantization(left_out: str) -> Callable[[Command], Command]:
    """Add ``--quantization``, which is None if left out; the help says what this means."""
    return click.option(
        "--quantization",
        type=click.Choice(QUANTIZATIONS),
        help="Form of the vectors that the index compares first: a byte or a bit per dimension "
        "saves memory, and the best candidates are compared again by their full vectors. (In a "
        f"folder, collections of up to 50,000 titles have no index.) If left out: {left_out}.",
    )


cache_dir = click.option(
    "--cache-dir",
    envvar="JOBSEARCH_CACHE_DIR",
    show_envvar=True,
    type=Place(file_okay=False),
    help="Folder of the cache of embeddings; in the operating system's folder for caches if left "
    "out.",
)
language_check = click.option(
    "--language-check",
    type=click.Choice(["on", "off"]),
    default="on",
    show_default=True,
    callback=lambda _, __, value: value == "on",
    help="Refuse titles that are plainly in another language than given.",
)
as_json = click.option("--json", "json_", is_flag=True, help="Print one JSON document.")


def confirmed(question: str) -> Callable[[Command], Command]:
    """Add ``--yes``. Without it the question is asked on stderr, because stdout is data."""

    def ask(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if not given and not ctx.resilient_parsing:
            click.confirm(question, abort=True, err=True)

    return click.option("--yes", is_flag=True, callback=ask, expose_value=False, help="Do not ask.")
