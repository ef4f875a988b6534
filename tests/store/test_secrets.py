"""Neither the API key nor a password in a URL is ever shown."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from rest_server import Answer, LocalQdrant, serving

from jobsearch.errors import InvalidInput
from jobsearch.store import open_store

SECRET = "s3cr3t"
LOCAL = LocalQdrant()


def locked(method: str, path: str, body: Any) -> Answer:
    return LOCAL(method, path, body) if path == "/" else (401, "Invalid API key or JWT")


def failing(method: str, path: str, body: Any) -> Answer:
    return 500, {"status": {"error": "out of memory"}}


@pytest.mark.parametrize(
    ("server", "command"),
    [
        (locked, ("--debug", "collections", "list")),
        (failing, ("--debug", "collections", "list")),
        (failing, ("--log-format", "json", "search", "nurse", "--to", "en")),
        (locked, ("--debug", "doctor")),
    ],
)
def test_a_server_that_refuses(server: Callable[..., Answer], command: tuple[str, ...]) -> None:
    with serving(server) as url:
        done = subprocess.run(
            [sys.executable, "-c", "from jobsearch.cli import main; main()", *command,
             "--store", url, "--retry", "0"],
            env={**os.environ, "JOBSEARCH_API_KEY": f"{SECRET}-key"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert url in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "key",
    [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\nX-Other: 1", f"{SECRET}\x00", f"{SECRET}-é", " "],
)
def test_keys_that_no_header_can_carry(key: str) -> None:
    """The HTTP library quotes such a header in its complaint."""
    with serving(LocalQdrant()) as url, pytest.raises(InvalidInput) as caught:
        open_store(url, api_key=key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "set JOBSEARCH_API_KEY to the key alone" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"http://me:{SECRET}@localhost:port", "no URL that can be read"),
        (f"http://me:{SECRET}/x@localhost:6333", "no URL that can be read"),
        (f"http://me:{SECRET}@[::1", "no URL that can be read"),
        (f"http://localhost:{SECRET}", "no URL that can be read"),
        (f"HTTP://me:{SECRET}@localhost", "no credentials"),
        (f"https://localhost/?api-key={SECRET}", "no credentials"),
        (f"qdrant://me:{SECRET}@localhost:6333", "begins with qdrant://"),
    ],
)
def test_urls_with_a_password(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
