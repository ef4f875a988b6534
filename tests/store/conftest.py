"""The engines that the contract suite runs over."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from grpc_server import serving_grpc
from rest_server import LocalQdrant, serving
from titles import MODEL, POINTS, build

from jobsearch.errors import StoreUnavailable
from jobsearch.store import Store, open_store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(ROOT / "docker-compose.yml")


@pytest.fixture(scope="session")
def docker_setup() -> str:
    return "up --build --wait"


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """A real Qdrant server: the one that is named, else one of docker-compose.yml, else none."""
    if url := os.environ.get("JOBSEARCH_TEST_QDRANT_URL"):
        return url
    try:
        docker = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        pytest.skip("no Qdrant server: JOBSEARCH_TEST_QDRANT_URL is not set, there is no Docker")
    if docker.returncode:
        pytest.skip("no Qdrant server: JOBSEARCH_TEST_QDRANT_URL is not set, no Docker answers")
    services = request.getfixturevalue("docker_services")
    url = f"http://127.0.0.1:{services.port_for('qdrant', 6333)}"

    def answers() -> bool:
        try:
            open_store(url).close()
        except StoreUnavailable:
            return False
        return True

    services.wait_until_responsive(answers, timeout=60, pause=0.5)
    return url


@pytest.fixture
def model() -> str:
    """A model's name of this test's own, so that a shared server is left as it was."""
    return f"test-{uuid.uuid4().hex[:8]}"


ENGINES = ["edge", "memory", "rest", "grpc", "server"]


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path, model: str) -> Iterator[Store]:
    """An empty store."""
    with _opened(request, tmp_path) as opened:
        yield opened
    if request.param == "server":
        clear(opened.location, model)


@pytest.fixture(scope="module", params=ENGINES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store with the build of titles.POINTS behind titles.ALIAS, for tests that only read."""
    with _opened(request, tmp_path_factory.mktemp("filled")) as opened:
        build(opened, POINTS)
        yield opened
    if request.param == "server":
        clear(opened.location, MODEL)


@contextmanager
def _opened(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    with ExitStack() as stack:
        if request.param == "server":
            location = request.getfixturevalue("server_url")
        elif request.param == "rest":
            location = stack.enter_context(serving(LocalQdrant()))
        elif request.param == "grpc":
            location, _ = stack.enter_context(serving_grpc())
        else:
            location = ":memory:" if request.param == "memory" else str(path / "store")
        yield stack.enter_context(closing(open_store(location)))


def clear(url: str, model: str) -> None:
    from qdrant_client import QdrantClient

    with closing(QdrantClient(url=url, check_compatibility=False)) as client:
        for each in client.get_collections().collections:
            if f"__{model}__" in each.name:
                client.delete_collection(each.name)
