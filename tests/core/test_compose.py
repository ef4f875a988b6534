"""The guarantees of docker-compose.yml, checked in the file; most tests need no Docker."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "docker-compose.yml"
DATA: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = DATA["services"]
NODES = ["qdrant-1", "qdrant-2", "qdrant-3"]
FIRST = "http://qdrant-1:6335"

every_service = pytest.mark.parametrize("name", SERVICES)
every_node = pytest.mark.parametrize("name", NODES)


def test_only_the_single_server_starts_by_default() -> None:
    assert list(SERVICES) == ["qdrant", *NODES]
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == {"qdrant": None, **{name: ["cluster"] for name in NODES}}


@every_service
def test_the_version_is_pinned_and_the_same(name: str) -> None:
    assert SERVICES[name]["image"] == "qdrant/qdrant:v1.20.0"
    assert SERVICES[name]["restart"] == "unless-stopped"


@every_service
def test_every_server_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert "/readyz" in check["test"][-1]
    assert check["retries"] > 0


def published() -> list[str]:
    return [port for service in SERVICES.values() for port in service["ports"]]


@pytest.mark.parametrize("port", published())
def test_ports_are_published_on_loopback_only(port: str) -> None:
    assert port.startswith("127.0.0.1:")
    # The internal port of the nodes needs no key, so it must not be published.
    assert not port.endswith(":6335")


def test_no_two_servers_share_a_port_or_a_volume() -> None:
    outside = [port.rsplit(":", 1)[0] for port in published()]
    assert len(set(outside)) == len(outside) == 8
    volumes = [volume for service in SERVICES.values() for volume in service["volumes"]]
    assert [volume.split(":")[0] for volume in volumes] == list(DATA["volumes"])
    assert len(set(volumes)) == 4


@every_node
def test_grpc_is_the_port_after_rest(name: str) -> None:
    """The store looks for gRPC at the port after the REST port."""
    rest, grpc = (port.split(":") for port in SERVICES[name]["ports"])
    assert (rest[2], grpc[2]) == ("6333", "6334")
    assert int(grpc[1]) == int(rest[1]) + 1


@every_service
def test_there_is_no_default_key(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment["QDRANT__SERVICE__API_KEY"] == "${JOBSEARCH_API_KEY:-}"
    assert [key for key in environment if "KEY" in key or "SECRET" in key or "PASSWORD" in key] == [
        "QDRANT__SERVICE__API_KEY"
    ]


@every_node
def test_each_node_joins_the_first(name: str) -> None:
    service = SERVICES[name]
    assert service["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
    assert service["environment"]["QDRANT__CLUSTER__P2P__PORT"] == "6335"
    joins = [] if name == NODES[0] else ["--bootstrap", FIRST]
    assert service["command"][4:] == [*joins, "--uri", f"http://{name}:6335"]
    # Not `service_healthy`: after a restart, no node is healthy until the others are up.
    assert service.get("depends_on", []) == ([] if name == NODES[0] else [NODES[0]])


@pytest.mark.parametrize("key", ["", "secret"])
@every_service
def test_the_server_is_started_with_its_arguments(name: str, key: str, tmp_path: Path) -> None:
    """A real shell runs the command, with a script in place of the server."""
    program, option, script, *words = SERVICES[name]["command"]
    assert (program, option) == ("bash", "-c")
    server = tmp_path / "entrypoint.sh"
    server.write_text('#!/bin/sh\necho "${QDRANT__SERVICE__API_KEY-none}" "$@"\n')
    server.chmod(0o755)
    done = subprocess.run(
        [program, option, script.replace("$$", "$"), *words],
        cwd=tmp_path, env={**os.environ, "QDRANT__SERVICE__API_KEY": key},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [key or "none", *words[1:]]


def compose_config(*options: str) -> dict[str, Any]:
    command = ["docker", "compose", "--file", str(COMPOSE)]
    try:
        subprocess.run([*command, "version"], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("`docker compose` is not available")
    done = subprocess.run(
        [*command, *options, "config", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_docker_parses_the_file_as_intended() -> None:
    assert list(compose_config()["services"]) == ["qdrant"]
    assert sorted(compose_config("--profile", "cluster")["services"]) == ["qdrant", *NODES]
