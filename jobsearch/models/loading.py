"""Files of a model made into a network. Code that comes with a model is never run."""

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
#: Names of module classes that ``modules.json`` may hold -> the class of this package. Saved models
#: keep the names of the version that saved them, so old names stay here.
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
# sentence-transformers' own names of the module that Normalize stands in for.
_LIBRARY_NORMALIZE = (
    "sentence_transformers.base.modules.normalize.Normalize",
    "sentence_transformers.base.modules.Normalize",
    "sentence_transformers.models.Normalize",
)
_HUB_TIMEOUT_S = 10.0
# A model's settings may ask torch to run what is in a pickle; this outdoes them.
_NO_CODE_IN_PICKLES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_loading = threading.Lock()
# What the libraries raise over files that are damaged, cut short or of another kind.
_LOADING_ERRORS = (
    OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, ImportError,
)  # fmt: skip


@contextmanager
def _weights_only() -> Iterator[None]:
    """Whatever the files of a model say, a pickle among them may hold tensors only."""
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
    """The pretrained built-in model."""
    from jobsearch.models.builtin import UseHead, UseTokens
    from jobsearch.models.modules import Normalize, OwnNetwork

    return OwnNetwork(UseTokens(), UseHead(), Normalize())


@_weights_only()
def load_directory(path: Path) -> "SentenceTransformer | OwnNetwork":
    """Load a SentenceTransformer directory; its modules are ours or the library's, nothing else.

    Raises:
        ModelError: it is none, is incomplete, or asks for code of its own.
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
            f"{path} has weights in a pickle that holds more than weights, which is not run: get "
            "the model with weights in model.safetensors"
        ) from error
    except (*_LOADING_ERRORS, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"{path} cannot be loaded as a SentenceTransformer: {_reason(error)}"
        ) from error


@_weights_only()
def load_from_hub(hub_id: str) -> "SentenceTransformer":
    """Load from the local cache; ask the hub, once and briefly, only if it is not there.

    Raises:
        ModelNotFound: the hub has no such model.
        ModelNotDownloaded: it is not here, and the hub does not answer.
        ModelError: its files cannot be loaded.
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
    wanted = (
        _NORMALIZE if reference in _LIBRARY_NORMALIZE else MODULE_NAMES.get(reference, reference)
    )
    if wanted not in MODULE_NAMES and not wanted.startswith("sentence_transformers."):
        raise ModelError(f"{path} asks for code of its own ({reference}), which is not run")
    module, _, name = wanted.rpartition(".")
    return getattr(import_module(module), name)


def _inside(path: Path, subfolder: str) -> str:
    if not (path / subfolder).resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{path} has a module outside of it ({subfolder}), which is not loaded")
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
    except Exception as error:  # whatever the HTTP library raises without a network
        raise ModelNotDownloaded(
            f"the model {hub_id} is not on this machine and Hugging Face cannot be reached: where "
            f"there is a network, run `hf download {hub_id}`, then try again; "
            "--model builtin needs no download"
        ) from error


def _reason(error: BaseException) -> str:
    """The first line, and the one after if the first only announces it."""
    first, *more = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {more[0].strip()}" if first.endswith(":") and more else first
