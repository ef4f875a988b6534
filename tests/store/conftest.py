"""The engines that the contract suite runs over."""

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from grpc_server import serving_grpc
from rest_server import LocalQdrant, serving
from titles import MODEL, POINTS, build, clear

from jobsearch.errors import StoreUnavailable
from jobsearch.store import Store, open_store

COMPOSE_FILE = Path(__file__).resolve().parents[2] / "docker-compose.yml"


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(COMPOSE_FILE)


@pytest.fixture(scope="session")
def docker_setup() -> str:
    return "up --wait qdrant"


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a real Qdrant server: the one that is named, else one of docker-compose.yml."""
    if url := os.environ.get("JOBSEARCH_TEST_QDRANT_URL"):
        yield url
        return
    if problem := _docker_problem():
        pytest.skip(f"no Qdrant server: JOBSEARCH_TEST_QDRANT_URL is not set, {problem}")
    # Test processes run side by side: each starts a server on ports of its own.
    port = _two_free_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOBSEARCH_QDRANT_PORT", str(port))
        patch.setenv("JOBSEARCH_QDRANT_GRPC_PORT", str(port + 1))
        services = request.getfixturevalue("docker_services")
        url = f"http://127.0.0.1:{services.port_for('qdrant', 6333)}"
        services.wait_until_responsive(lambda: _answers(url), timeout=60, pause=0.5)
        yield url


def _docker_problem() -> str:
    """Why Docker cannot start the server; empty if it can."""
    image = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["x-server"]["image"]
    if not _succeeds("docker", "info"):
        return "no Docker engine answers"
    if not _succeeds("docker", "compose", "version"):
        return "Docker has no Compose 2 (`docker compose version` fails)"
    if not _succeeds("docker", "image", "inspect", image) and not _succeeds(
        "docker", "pull", image
    ):
        return f"the image {image} is not here and cannot be pulled"
    return ""


def _succeeds(*command: str) -> bool:
    try:
        return not subprocess.run(command, capture_output=True, timeout=300, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def _two_free_ports() -> int:
    """A free port whose successor is free too: jobsearch looks for gRPC there."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            with suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return port


def _answers(url: str) -> bool:
    try:
        open_store(url).close()
    except StoreUnavailable:
        return False
    return True


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
