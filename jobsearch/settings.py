"""The settings of a run: built once by the command line and passed down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from jobsearch.errors import InvalidInput

DEFAULT_STORE = ".jobsearch"
DEFAULT_MODEL = "builtin"
DEFAULT_MODELS_DIR = "models"

#: Shortest time for a request, and longest time that can be given: a week.
MIN_TIMEOUT_S, MAX_SECONDS = 0.1, 604_800.0

#: A variant's name, or a policy that chooses the variant.
VariantChoice = Literal["pretrained", "finetuned", "auto", "paper"]


class Secret:
    """Hidden text: printing, dumping or pickling the object that holds it does not show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __deepcopy__(self, _: object) -> "Secret":
        # ``dataclasses.asdict`` deep-copies values: the copy stays hidden, and JSON refuses it.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled: pass it in an environment variable")


@dataclass(frozen=True, slots=True)
class Settings:
    """The store that holds the titles, and the model that embeds them.

    Args:
        store: folder of an embedded store, or URL of a Qdrant server.
        model: short name, directory or Hugging Face id.
        variant: name of the variant, or a policy that chooses it.
        models_dir: folder with fine-tuned variants.
        api_key: API key of the Qdrant server.
        timeout_s: time for one request to the server, up to the last byte of its answer.
        retry_s: how long to retry temporary server failures.

    Raises:
        InvalidInput: a time is out of its range, or is not a number.
    """

    store: str = DEFAULT_STORE
    model: str = DEFAULT_MODEL
    variant: VariantChoice = "auto"
    models_dir: Path = Path(DEFAULT_MODELS_DIR)
    api_key: Secret | None = None
    timeout_s: float = 30.0
    retry_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("timeout_s", MIN_TIMEOUT_S), ("retry_s", 0.0)):
            value = getattr(self, name)
            # NaN fails this comparison, too.
            if not least <= value <= MAX_SECONDS:
                raise InvalidInput(
                    f"`{name}` is {value}: give {least:g} to {MAX_SECONDS:,.0f} seconds"
                )
