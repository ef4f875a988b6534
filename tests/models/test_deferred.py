"""Encoders that are loaded only when a title must be embedded."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobsearch.errors import ModelError, ModelNotFound
from jobsearch.models import Encoder, load_encoder
from jobsearch.models.cache import EmbeddingCache
from jobsearch.models.cached import DeferredEncoder, deferred_encoder
from jobsearch.models.catalog import SHIPPED, model_files
from jobsearch.types import Variant

pytestmark = pytest.mark.usefixtures("quick_loading")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    with closing(EmbeddingCache(tmp_path / "cache")) as opened:
        yield opened


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models directory with a fine-tuned variant of its own."""
    folder = tmp_path / "models"
    shutil.copytree(SHIPPED / "builtin", folder / "builtin")
    return folder


class CountingLoader:
    """Loads the built-in model and counts the loads."""

    def __init__(self, variant: Variant, models: Path) -> None:
        self.count = 0
        self._load: Callable[[], Encoder] = lambda: load_encoder("builtin", variant, models)

    def __call__(self) -> Encoder:
        self.count += 1
        return self._load()


@pytest.mark.parametrize("variant", ["pretrained", "finetuned"])
def test_a_known_encoder_is_loaded_when_a_title_must_be_embedded(
    variant: Variant, models: Path, cache: EmbeddingCache
) -> None:
    load = CountingLoader(variant, models)
    first = deferred_encoder("builtin", variant, models, load, cache)
    assert load.count == 1
    again = deferred_encoder("builtin", variant, models, load, cache)
    assert again.info == first.info
    assert load.count == 1
    np.testing.assert_array_equal(
        again.encode_documents(["nurse"]), first.encode_documents(["nurse"])
    )
    again.encode_documents(["nurse"])
    assert load.count == 2
    third = deferred_encoder("builtin", variant, models, load, cache)
    assert [len(vectors) for vectors in third.encode_document_batches([[], []])] == [0, 0]
    assert load.count == 2, "empty batches load nothing"
    encoded = list(third.encode_document_batches([[], ["nurse"], [], ["nurse", "cook"]]))
    assert [vectors.shape for vectors in encoded] == [(0, 512), (1, 512), (0, 512), (2, 512)]
    np.testing.assert_allclose(encoded[3], first.encode_documents(["nurse", "cook"]), atol=1e-6)
    assert load.count == 3


def test_changed_files_are_another_encoder(models: Path, cache: EmbeddingCache) -> None:
    load = CountingLoader("finetuned", models)
    first = deferred_encoder("builtin", "finetuned", models, load, cache)
    weights = models / "builtin" / "finetuned" / "3_ConceptAnchors" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    second = deferred_encoder("builtin", "finetuned", models, load, cache)
    assert load.count == 2
    assert second.info.weights_sha256 != first.info.weights_sha256


def test_each_variant_has_its_own_files(models: Path) -> None:
    pretrained = model_files("builtin", "pretrained", models)
    finetuned = model_files("builtin", "finetuned", models)
    assert pretrained is not None
    assert finetuned is not None
    assert [path.name for path in pretrained] == ["sp.model", "weights.npz"]
    assert set(pretrained) < set(finetuned)
    assert all(path.is_file() for path in finetuned)


def test_a_hugging_face_model_has_no_known_files(tmp_path: Path) -> None:
    assert model_files("intfloat/multilingual-e5-small", "pretrained", tmp_path) is None
    with pytest.raises(ModelNotFound):
        model_files("no model", "pretrained", tmp_path)


def test_unreadable_files_are_left_to_the_loader(models: Path, cache: EmbeddingCache) -> None:
    weights = models / "builtin" / "finetuned" / "3_ConceptAnchors" / "model.safetensors"
    real = Path.open

    def refuse(self: Path, *args: Any, **options: Any) -> Any:
        if self == weights:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **options)

    load = CountingLoader("finetuned", models)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        deferred_encoder("builtin", "finetuned", models, load, cache)
        deferred_encoder("builtin", "finetuned", models, load, cache)
    assert load.count == 2


def test_files_that_change_before_they_are_loaded(builtin: Encoder) -> None:
    stale = replace(builtin.info, weights_sha256="0" * 64)
    encoder = DeferredEncoder(stale, lambda: builtin)
    with pytest.raises(ModelError, match="builtin pretrained changed during this run"):
        encoder.encode_documents(["nurse"])


def test_a_damaged_entry_counts_as_missing(
    models: Path, cache: EmbeddingCache, builtin: Encoder
) -> None:
    assert cache.encoder_info(b"files") is None
    cache.put_encoder_info(b"files", builtin.info)
    assert cache.encoder_info(b"files") == builtin.info
    assert cache._connection is not None
    for damaged in ("", "[", "[]", "{}", '{"model": 3}'):
        cache._connection.execute("UPDATE encoders SET info = ?", (damaged,))
        assert cache.encoder_info(b"files") is None
