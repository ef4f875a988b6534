"""Fixtures: the fake encoder and the official scorer."""

from types import ModuleType

import pytest
from fake_encoder import FakeEncoder


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="session")
def ranx() -> ModuleType:
    """The library of the official scorer, without compilation, which saves a minute."""
    numba = pytest.importorskip("numba")
    numba.config.DISABLE_JIT = True
    return pytest.importorskip("ranx")
