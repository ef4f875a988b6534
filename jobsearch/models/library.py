"""Fine-tuned variants in a models directory: put there, taken out, and looked at."""

import json
import shutil
from pathlib import Path
from typing import Any

from jobsearch.errors import ModelError
from jobsearch.models.loading import load_directory
from jobsearch.models.registry import find_model, finetuned_path

#: What a training writes beside the weights: data, recipe, seed and figures.
CARD_FILE = "training.json"


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
        put_in_place(copy, final)
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


def put_in_place(built: Path, final: Path) -> None:
    """Give a complete directory its final name; an earlier one becomes ``<name>.previous``."""
    if final.exists():
        _set_aside(final)
    built.rename(final)


def _set_aside(final: Path) -> Path:
    previous = final.with_name(f"{final.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    return final.rename(previous)
