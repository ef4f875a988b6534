"""TLS: a trusted certificate works, and an untrusted server does not get the key."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_server import serving_grpc
from titles import COUNT

# A process reads the trusted authorities once, so each test needs a process of its own.
USE_STORE = """
import sys
from contextlib import closing
from jobsearch.errors import StoreError
from jobsearch.store import open_server_snapshots, open_store
sys.path.insert(0, sys.argv[2])
from titles import ALIAS, POINTS, VECTORS, build
try:
    with closing(open_store(sys.argv[1], api_key="secret", retry_s=0)) as store:
        build(store, POINTS)
        [[hit]] = store.query(ALIAS, VECTORS[:1], limit=1)
        assert hit.id == POINTS.ids[0]
        print(store.count(ALIAS), "points")
    with closing(open_server_snapshots(sys.argv[1], api_key="secret")) as snapshots:
        snapshots._check_one_node()
        print("and snapshots")
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a self-signed certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not available")
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-keyout", folder / "key.pem", "-out", folder / "certificate.pem",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def run_store(host: str, url: str, trusted: Path | None) -> str:
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    if trusted:
        env |= {
            "SSL_CERT_FILE": str(trusted),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(trusted),
        }
    target = url.replace("127.0.0.1", host)
    command = [sys.executable, "-c", USE_STORE, target, str(Path(__file__).parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_trusted_server(authority: Path) -> None:
    certificate = authority / "certificate.pem"
    with serving_grpc(certificate, authority / "key.pem") as (url, points):
        assert url.startswith("https://")
        assert run_store("localhost", url, certificate) == f"{COUNT} points\nand snapshots\n"
    assert {"upsert", "query"} <= set(points.calls)
    assert set(points.keys) == {"secret"}


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
def test_an_untrusted_server(authority: Path, host: str, trusted: bool) -> None:
    certificate = authority / "certificate.pem"
    with serving_grpc(certificate, authority / "key.pem") as (url, points):
        output = run_store(host, url, certificate if trusted else None)
    assert output.startswith(f"StoreUnavailable the certificate of https://{host}:")
    assert "is not trusted" in output
    assert "set SSL_CERT_FILE" in output
    assert "secret" not in output
    assert points.calls == []
