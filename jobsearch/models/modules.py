"""Networks of our own modules, which run without importing sentence-transformers.

Importing sentence-transformers takes seconds. Our modules follow its interface for custom modules
(sbert.net, "Creating Custom Models"), so it can train, save and load them; :class:`OwnNetwork` has
the part of the interface of a SentenceTransformer that :class:`jobsearch.models.encoder.Encoder`
uses. Here are the base class, the network, and two modules: :class:`Normalize` and
:class:`ConceptAnchors`. :mod:`jobsearch.models.builtin` has the others.
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
    """Base class: a step of a network, from the features of the step before to its own."""

    #: Attributes that are saved; loading passes them to the constructor.
    config_keys: ClassVar[Sequence[str]] = ()
    save_in_root = False

    def get_config_dict(self) -> dict[str, Any]:
        """The settings that are saved."""
        return {key: getattr(self, key) for key in self.config_keys}

    def save(self, output_path: str, **_: Any) -> None:
        """Write ``config.json`` into an existing folder."""
        text = json.dumps(self.get_config_dict(), indent=4)
        Path(output_path, _CONFIG_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load a module that :meth:`save` wrote."""
        return cls(**cls.load_config(model_name_or_path, subfolder))

    @staticmethod
    def load_config(path: str, subfolder: str) -> dict[str, Any]:
        """Read the settings of a saved module; empty if it has no ``config.json``.

        Raises:
            ValueError: the file holds no JSON object.
        """
        file = Path(path, subfolder, _CONFIG_FILE)
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if not isinstance(settings, dict):
            raise ValueError(f"{file} holds no JSON object")
        return settings

    def save_weights(self, path: str, weights: dict[str, Tensor] | None = None) -> None:
        """Write ``model.safetensors``: ``weights``, or all weights of the module if None."""
        saved = self.state_dict() if weights is None else weights
        contiguous = {name: weight.contiguous() for name, weight in saved.items()}
        save_file(contiguous, Path(path, _WEIGHTS_FILE))

    def load_weights(self, path: str, subfolder: str) -> None:
        """Read ``model.safetensors``, which must hold exactly the weights of the module."""
        self.load_state_dict(load_file(Path(path, subfolder, _WEIGHTS_FILE)))


class OwnNetwork(nn.Sequential):
    """A chain of our modules, on the first GPU if there is one.

    Args:
        modules: in the order in which they run; the first one reads texts.

    Raises:
        ValueError: the first module reads no texts, or no module states the length of its vectors.
    """

    prompts: ClassVar[dict[str, str]] = {}
    default_prompt_name = None

    def __init__(self, *modules: OwnModule) -> None:
        super().__init__(*modules)
        sized: list[Any] = [
            module for module in modules if hasattr(module, "get_embedding_dimension")
        ]
        if not hasattr(modules[0], "preprocess") or not sized:
            raise ValueError("its modules do not turn texts into vectors")
        self._dim = int(sized[-1].get_embedding_dimension())
        # One data type for all modules, as in sentence-transformers: half-precision anchors are
        # cast once, not in every batch.
        self.to(next(self.parameters()).dtype)
        if torch.cuda.is_available():
            self.to("cuda")
        self.eval()

    @property
    def device(self) -> torch.device:
        """The device that holds the weights."""
        return next(self.parameters()).device

    @property
    def max_seq_length(self) -> int:
        """Maximum number of tokens; longer texts are truncated."""
        first: Any = self[0]
        return int(first.max_seq_length)

    def get_embedding_dimension(self) -> int:
        """Dimension of the vectors."""
        return self._dim

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        batch_size: int = 32,
        normalize_embeddings: bool = False,
        show_progress_bar: bool = False,  # noqa: ARG002
    ) -> npt.NDArray[np.float32]:
        """Embed texts: (n, dim) float32, in order. Texts of similar length share a batch."""
        first: Any = self[0]
        vectors = np.empty((len(texts), self.get_embedding_dimension()), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            features = first.preprocess([texts[row] for row in rows])
            features = {name: tensor.to(self.device) for name, tensor in features.items()}
            embeddings = self(features)["sentence_embedding"]
            if normalize_embeddings:
                embeddings = functional.normalize(embeddings)
            vectors[rows] = embeddings.float().cpu().numpy()
        return vectors

    encode_query = encode_document = encode

    def as_sentence_transformer(self) -> "SentenceTransformer":
        """The same modules as a SentenceTransformer, which can train and save them."""
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(modules=list(self))


class Normalize(OwnModule):
    """Scales ``sentence_embedding`` (batch, dim) to unit length."""

    config_keys = ("module_input_name", "module_output_name")
    module_input_name = module_output_name = "sentence_embedding"

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """Divide each row by its length."""
        features["sentence_embedding"] = functional.normalize(features["sentence_embedding"])
        return features

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load a module that :meth:`save` or sentence-transformers' ``Normalize`` wrote.

        Raises:
            ValueError: the module normalises another feature.
        """
        module = cls()
        for key, value in cls.load_config(model_name_or_path, subfolder).items():
            if value != module.get_config_dict().get(key, value):
                expected = module.get_config_dict()[key]
                raise ValueError(f"{key} of Normalize is {value!r}, not {expected!r}")
        return module


class ConceptAnchors(OwnModule):
    """Adds to a vector the softmax-weighted mean of its ``k`` nearest anchors.

    An anchor is the mean embedding of the titles of one concept in all languages, scaled to unit
    length. A unit vector x becomes ``x + strength * sum_i softmax(scale * cos(x, a_i)) a_i`` over
    its k nearest anchors a_i, and is normalised again. Queries and documents are treated alike, so
    two titles near the same concept move closer to each other in any pair of languages. The cost is
    one small matrix product per batch; the store needs no change.

    Reads and writes ``sentence_embedding`` (batch, dim), rows of unit length.

    Args:
        anchors: (concepts, dim), rows of unit length; stored in half precision.
        k: number of nearest anchors, at least 1.
        strength: weight of the anchors relative to the vector; 0 changes nothing.
        scale: inverse temperature of the softmax.

    Raises:
        ValueError: ``k`` is no positive integer, or ``strength`` or ``scale`` no finite number.
    """

    config_keys = ("concepts", "dim", "k", "strength", "scale")
    anchors: Tensor

    def __init__(self, anchors: Tensor, *, k: int, strength: float, scale: float = 20.0) -> None:
        super().__init__()
        if type(k) is not int or k < 1 or not all(map(_is_number, (strength, scale))):
            raise ValueError(
                "anchors need an integer k of 1 or more and finite numbers for strength and scale: "
                f"k is {k!r}, strength {strength!r}, scale {scale!r}"
            )
        self.concepts, self.dim = anchors.shape
        self.k, self.strength, self.scale = k, strength, scale
        self.register_buffer("anchors", anchors.detach().to(torch.float16))

    def get_embedding_dimension(self) -> int:
        """Dimension of the vectors, in and out."""
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
        # The network may have cast the anchors to float32; their values fit half precision.
        self.save_weights(output_path, {"anchors": self.anchors.to(torch.float16)})

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> Self:
        """Load a module that :meth:`save` wrote."""
        config = cls.load_config(model_name_or_path, subfolder)
        shape = config.pop("concepts"), config.pop("dim")
        module = cls(torch.zeros(shape), **config)
        module.load_weights(model_name_or_path, subfolder)
        return module


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
