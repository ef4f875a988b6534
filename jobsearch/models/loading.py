"""Loads the files of a model as a network. Code that comes with a model is never run."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from jobsearch.errors import ModelError, ModelNotDownloaded, ModelNotFound
from jobsearch.models.encoder import is_out_of_memory

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from jobsearch.models.modules import OwnNetwork

_TOKENS, _HEAD = "jobsearch.models.builtin.UseTokens", "jobsearch.models.builtin.UseHead"
_ANCHORS, _NORMALIZE = (
    "jobsearch.models.modules.ConceptAnchors",
    "jobsearch.models.modules.Normalize",
)
#: Class names in ``modules.json`` -> classes of this package. A saved model keeps the names of the
#: version that saved it, so old names must stay here.
MODULE_NAMES = {
    _TOKENS: _TOKENS,
    "jobsearch.models.use.UseTokens": _TOKENS,
    _HEAD: _HEAD,
    "jobsearch.models.use.UseHead": _HEAD,
    _ANCHORS: _ANCHORS,
    "jobsearch.models.anchors.ConceptAnchors": _ANCHORS,
    _NORMALIZE: _NORMALIZE,
    "jobsearch.models.own.Normalize": _NORMALIZE,
}
# Names that sentence-transformers gives its own Normalize; ours replaces it.
_LIBRARY_NORMALIZE = (
    "sentence_transformers.base.modules.normalize.Normalize",
    "sentence_transformers.base.modules.Normalize",
    "sentence_transformers.models.Normalize",
)
_HUB_TIMEOUT_S = 10.0
# Makes torch load tensors only from a pickle, even if the settings of a model ask for more.
_NO_CODE_IN_PICKLES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_loading = threading.Lock()
# Raised by the libraries for files that are damaged, incomplete or in another format.
_LOADING_ERRORS = (
    OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, ImportError,
)  # fmt: skip


@contextmanager
def _weights_only() -> Iterator[None]:
    """Refuse pickles that hold more than tensors, whatever the settings of a model say."""
    with _loading:
        before = os.environ.get(_NO_CODE_IN_PICKLES)
        os.environ[_NO_CODE_IN_PICKLES] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_NO_CODE_IN_PICKLES]
            else:
                os.environ[_NO_CODE_IN_PICKLES] = before


def load_builtin() -> "OwnNetwork":
    """Load the pretrained built-in model."""
    from jobsearch.models.builtin import UseHead, UseTokens
    from jobsearch.models.modules import Normalize, OwnNetwork

    return OwnNetwork(UseTokens(), UseHead(), Normalize())


@_weights_only()
def load_directory(path: Path) -> "SentenceTransformer | OwnNetwork":
    """Load a SentenceTransformer directory.

    Its modules must be classes of this package or of sentence-transformers.

    Raises:
        ModelError: ``path`` is no SentenceTransformer directory, is incomplete, or asks for code
            that comes with the model.
    """
    from safetensors import SafetensorError

    try:
        index = path / "modules.json"
        listed = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
        types = [str(entry["type"]) for entry in listed]
        if not any(reference in MODULE_NAMES for reference in types):
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(str(path), local_files_only=True, trust_remote_code=False)
        modules = [
            _module_class(path, reference).load(str(path), subfolder=_inside(path, entry["path"]))
            for entry, reference in zip(listed, types, strict=True)
        ]
        return _network(modules)
    except UnpicklingError as error:
        raise ModelError(
            f"{path} has a pickle that holds more than weights, so it is not loaded: get the model "
            "with its weights in model.safetensors"
        ) from error
    except (*_LOADING_ERRORS, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{path} cannot be loaded as a SentenceTransformer: {_reason(error)}"
        ) from error


@_weights_only()
def load_from_hub(hub_id: str) -> "SentenceTransformer":
    """Load a Hugging Face model from the local cache, or download it if it is not there.

    Raises:
        ModelNotFound: Hugging Face has no such model.
        ModelNotDownloaded: the model is not in the cache, and Hugging Face does not answer.
        ModelError: the files of the model cannot be loaded.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(hub_id, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        _ask_hub(hub_id)
    try:
        return SentenceTransformer(hub_id, trust_remote_code=False)
    except (*_LOADING_ERRORS, SafetensorError, UnpicklingError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{hub_id} cannot be loaded: {_reason(error)}") from error


def _module_class(path: Path, reference: str) -> Any:
    if reference in _LIBRARY_NORMALIZE:
        reference = _NORMALIZE
    class_name = MODULE_NAMES.get(reference, reference)
    if class_name not in MODULE_NAMES and not class_name.startswith("sentence_transformers."):
        raise ModelError(
            f"{path} asks for code of its own ({reference}), which is not run: use a model of "
            "standard sentence-transformers modules"
        )
    module, _, name = class_name.rpartition(".")
    return getattr(import_module(module), name)


def _inside(path: Path, subfolder: str) -> str:
    if not (path / subfolder).resolve().is_relative_to(path.resolve()):
        raise ModelError(
            f"{path} lists a module outside its folder ({subfolder}), which is not loaded: correct "
            "modules.json"
        )
    return subfolder


def _network(modules: list[Any]) -> "SentenceTransformer | OwnNetwork":
    from jobsearch.models.modules import OwnModule, OwnNetwork

    if all(isinstance(module, OwnModule) for module in modules):
        return OwnNetwork(*modules)
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=modules)


def _ask_hub(hub_id: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        HfApi().model_info(hub_id, timeout=_HUB_TIMEOUT_S)
    except RepositoryNotFoundError as error:
        raise ModelNotFound(f"Hugging Face has no public model {hub_id}: check the id") from error
    except Exception as error:  # HTTP libraries raise many kinds of errors without a network
        raise ModelNotDownloaded(
            f"the model {hub_id} is not on this machine and Hugging Face cannot be reached: run "
            f"`hf download {hub_id}` with a network connection, then try again; "
            '`model="builtin"` needs no download'
        ) from error


def _reason(error: BaseException) -> str:
    """The first line of an error, with the second line if the first ends in a colon."""
    first, *more = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {more[0].strip()}" if first.endswith(":") and more else first
