"""Fixtures that all areas share."""

from pathlib import Path

import pytest

from jobsearch.models import Encoder, load_encoder

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets, where a developer has them beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def esco(shared_data: Path) -> Path:
    return shared_data / "esco-1.2.0"


@pytest.fixture(scope="session")
def talentclef(shared_data: Path) -> Path:
    return shared_data / "talentclef-2025" / "TaskA"


@pytest.fixture(scope="session")
def builtin() -> Encoder:
    """The built-in model, loaded once."""
    return load_encoder("builtin", "pretrained")


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory with a variant of the built-in model whose head was changed a little."""
    import torch

    directory = tmp_path_factory.mktemp("models")
    network = load_encoder("builtin", "pretrained").network
    torch.manual_seed(0)
    with torch.no_grad():
        weight = network[1].dense3.weight
        weight.add_(0.1 * weight.std() * torch.randn_like(weight))
    network.as_sentence_transformer().save(str(directory / "builtin" / "finetuned"))
    return directory


@pytest.fixture(scope="session")
def finetuned(models_dir: Path) -> Encoder:
    """The changed variant of the built-in model."""
    return load_encoder("builtin", "finetuned", models_dir)


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
