"""What a run needs to know of its surroundings, built once at the edge and passed down."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

DEFAULT_STORE = ".jobsearch"
DEFAULT_MODEL = "builtin"
DEFAULT_MODELS_DIR = "models"

#: A variant by name, or the policy that chooses it.
VariantChoice = Literal["pretrained", "finetuned", "auto", "paper"]


class Secret:
    """Text that is shown only where it is asked for: by no print, dump or pickle of its holder."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __deepcopy__(self, _: object) -> "Secret":
        # What ``dataclasses.asdict`` holds then; JSON refuses it.
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: pass it on by the environment")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where titles are stored and what embeds them.

    Args:
        store: folder of an embedded store, or URL of a Qdrant server.
        model: short name, directory or Hugging Face id.
        variant: which variant is used, or the policy that chooses one.
        models_dir: folder with fine-tuned variants.
        api_key: of the Qdrant server.
        timeout_s: of one request to the server.
        retry_s: how long a request is repeated while the server fails in passing.
    """

    store: str = DEFAULT_STORE
    model: str = DEFAULT_MODEL
    variant: VariantChoice = "auto"
    models_dir: Path = Path(DEFAULT_MODELS_DIR)
    api_key: Secret | None = None
    timeout_s: float = 30.0
    retry_s: float = 30.0
