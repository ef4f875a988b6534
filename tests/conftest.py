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
    network.save(str(directory / "builtin" / "finetuned"))
    return directory
