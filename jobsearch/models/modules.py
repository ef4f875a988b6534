"""Networks of our own modules, which run without sentence-transformers, slow to import.

The modules are saved, loaded and trained as its own are (sbert.net, "Creating Custom Models"), and
the network has as much of its interface as an :class:`jobsearch.models.encoder.Encoder` asks for.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CONFIG_FILE, _WEIGHTS_FILE = "config.json", "model.safetensors"


class OwnModule(nn.Module):
    """A network runs several, each on the features that the one before gives."""

    #: Attributes that are saved, and given to the constructor when it is loaded.
    config_keys: ClassVar[Sequence[str]] = ()
    save_in_root = False

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that are saved."""
        return {key: getattr(self, key) for key in self.config_keys}

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json`` into a folder that is there."""
        text = json.dumps(self.get_config_dict(), indent=4)
        Path(output_path, _CONFIG_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load what :meth:`save` wrote."""
        return cls(**cls.load_config(model_name_or_path, subfolder))

    @staticmethod
    def load_config(path: str, subfolder: str) -> dict[str, Any]:
        """The settings that were saved.

        Raises:
            ValueError: they are no JSON object.
        """
        file = Path(path, subfolder, _CONFIG_FILE)
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if not isinstance(settings, dict):
            raise ValueError(f"{file} holds no settings")
        return settings

    def save_weights(self, path: str, weights: dict[str, Tensor] | None = None) -> None:
        """Write ``model.safetensors``: all weights, or those that are given."""
        own = self.state_dict() if weights is None else weights
        contiguous = {name: weight.contiguous() for name, weight in own.items()}
        save_file(contiguous, Path(path, _WEIGHTS_FILE))

    def load_weights(self, path: str, subfolder: str) -> None:
        """Read what :meth:`save_weights` wrote; all of it must be there, and nothing else."""
        self.load_state_dict(load_file(Path(path, subfolder, _WEIGHTS_FILE)))


class OwnNetwork(nn.Sequential):
    """Modules of ours, on the first GPU if there is one.

    Raises:
        ValueError: the first reads no texts, or the last does not say how long its vectors are.
    """

    prompts: ClassVar[dict[str, str]] = {}
    default_prompt_name = None

    def __init__(self, *modules: OwnModule) -> None:
        super().__init__(*modules)
        sized: list[Any] = [
            module for module in modules if hasattr(module, "get_embedding_dimension")
        ]
        if not hasattr(modules[0], "preprocess") or not sized:
            raise ValueError("its modules do not make vectors of texts")
        self._dim = int(sized[-1].get_embedding_dimension())
        # As sentence-transformers does; what is kept in half precision need not be cast each time.
        self.to(next(self.parameters()).dtype)
        if torch.cuda.is_available():
            self.to("cuda")
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def max_seq_length(self) -> int:
        """Number of tokens of a text that count."""
        first: Any = self[0]
        return int(first.max_seq_length)

    def get_embedding_dimension(self) -> int:
        """Length of the vectors."""
        return self._dim

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        batch_size: int = 32,
        normalize_embeddings: bool = False,
        show_progress_bar: bool = False,  # noqa: ARG002
    ) -> npt.NDArray[np.float32]:
        """Embed texts: (n, dim) float32, in order; texts of like length share a batch."""
        first: Any = self[0]
        vectors = np.empty((len(texts), self.get_embedding_dimension()), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            features = first.preprocess([texts[row] for row in rows])
            features = {name: tensor.to(self.device) for name, tensor in features.items()}
            found = self(features)["sentence_embedding"]
            if normalize_embeddings:
                found = functional.normalize(found)
            vectors[rows] = found.float().cpu().numpy()
        return vectors

    encode_query = encode_document = encode

    def as_sentence_transformer(self) -> "SentenceTransformer":
        """The same modules, to be trained and saved."""
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(modules=list(self))


class Normalize(OwnModule):
    """Gives ``sentence_embedding`` (batch, dim) unit length."""

    config_keys = ("module_input_name", "module_output_name")
    module_input_name = module_output_name = "sentence_embedding"

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Divide each row by its length."""
        features["sentence_embedding"] = functional.normalize(features["sentence_embedding"])
        return features

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load what sentence-transformers' module of this name wrote, too.

        Raises:
            ValueError: it normalises something else.
        """
        module = cls()
        for key, value in cls.load_config(model_name_or_path, subfolder).items():
            if value != module.get_config_dict().get(key, value):
                raise ValueError(f"{key} is {value!r}")
        return module


class ConceptAnchors(OwnModule):
    """Adds to a vector the softmax-weighted mean of its ``k`` nearest anchors.

    An anchor is the mean embedding of the titles of one concept over all languages, of unit length.
    A unit vector x becomes ``x + strength * sum_i softmax(scale * cos(x, a_i)) a_i`` over its k
    nearest anchors a_i, and is normalised again. Queries and documents pass alike, so two titles
    that lie near one concept come nearer to one another, in whatever languages they are. One small
    matrix product a batch; the store needs no change.

    Reads and writes ``sentence_embedding`` (batch, dim), rows of unit length.

    Args:
        anchors: (concepts, dim), rows of unit length; kept in half precision.
        k: number of nearest anchors.
        strength: their weight beside the vector itself; 0 changes nothing.
        scale: inverse temperature of their softmax.
    """

    config_keys = ("concepts", "dim", "k", "strength", "scale")
    anchors: Tensor

    def __init__(self, anchors: Tensor, *, k: int, strength: float, scale: float = 20.0) -> None:
        super().__init__()
        if type(k) is not int or k < 1 or not all(map(_is_number, (strength, scale))):
            raise ValueError(f"k is {k!r}, strength {strength!r}, scale {scale!r}")
        self.concepts, self.dim = anchors.shape
        self.k, self.strength, self.scale = k, strength, scale
        self.register_buffer("anchors", anchors.detach().to(torch.float16))

    def get_embedding_dimension(self) -> int:
        """Length of the vectors, in and out."""
        return self.dim

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Pull ``sentence_embedding`` (batch, dim) towards the anchors."""
        x = features["sentence_embedding"]
        anchors = self.anchors.to(x.dtype)
        cosines, nearest = (x @ anchors.T).topk(min(self.k, self.concepts), dim=1)
        weights = torch.softmax(self.scale * cosines, dim=1)
        pull = (weights.unsqueeze(1) @ anchors[nearest]).squeeze(1)
        features["sentence_embedding"] = functional.normalize(x + self.strength * pull)
        return features

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json`` and ``model.safetensors``, in half precision."""
        super().save(output_path)
        # A network may have been cast as a whole; the values were rounded before that.
        self.save_weights(output_path, {"anchors": self.anchors.to(torch.float16)})

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load what :meth:`save` wrote."""
        config = cls.load_config(model_name_or_path, subfolder)
        shape = config.pop("concepts"), config.pop("dim")
        module = cls(torch.zeros(shape), **config)
        module.load_weights(model_name_or_path, subfolder)
        return module


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
