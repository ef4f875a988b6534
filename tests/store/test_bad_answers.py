"""Answers that a Qdrant server would not give: each is an error that names the server."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from rest_server import Answer, LocalQdrant, serving
from titles import ALIAS, POINTS, VECTORS, build

from jobsearch.errors import StoreError
from jobsearch.store import open_store


class Altering:
    """A server whose answers pass through ``alter(path, content)`` once it is ``on``."""

    def __init__(self, alter: Callable[[str, Any], Any], *, on: bool = False) -> None:
        self._local, self._alter, self.on = LocalQdrant(), alter, on

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        status, content = self._local(method, path, body)
        return status, self._alter(path, content) if self.on else content


def points_of(path: str, content: Any) -> list[dict[str, Any]]:
    if path.endswith("/points/scroll"):
        return content["result"]["points"]
    if path.endswith("/points/query/batch"):
        return content["result"][0]["points"]
    return []


def without_result(path: str, content: Any) -> Any:
    return {**content, "result": None} if path != "/" else content


def without_payload(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        point["payload"] = None
    return content


def without_title(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        del point["payload"]["title"]
    return content


def with_a_number(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        point["payload"]["title"] = 3
    return content


def with_nan(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        point["score"] = float("nan")
        point["vector"] = [float("nan")] * 16
    return content


def with_short_vectors(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        point["vector"] = [1.0]
        point["score"] = float("inf")
    return content


def without_vectors(path: str, content: Any) -> Any:
    for point in points_of(path, content):
        point["vector"] = None
    if path.endswith("/points/query/batch"):
        content["result"] = content["result"] * 2
    return content


@pytest.mark.parametrize(
    "alter",
    [
        without_result, without_payload, without_title, with_a_number, with_nan,
        with_short_vectors, without_vectors,
    ],
)  # fmt: skip
def test_answers_that_are_not_valid(alter: Callable[[str, Any], Any]) -> None:
    server = Altering(alter)
    with serving(server) as url, closing(open_store(url, retry_s=0)) as store:
        build(store, POINTS)
        server.on = True
        for use in (
            lambda: store.query(ALIAS, VECTORS[:1], limit=3),
            lambda: list(store.scroll(ALIAS)),
        ):
            with pytest.raises(StoreError, match=f"the answer of {url} is not valid for Qdrant"):
                use()


def test_a_server_without_results_is_refused_at_once() -> None:
    server = Altering(without_result, on=True)
    with serving(server) as url, pytest.raises(StoreError, match="is not valid for Qdrant"):
        open_store(url)


@pytest.mark.parametrize("version", ["9" * 5000, "1." * 2500, "v" * 5000, "1." + "9" * 5000])
def test_a_long_version(version: str) -> None:
    with (
        serving(lambda *request: (200, {"title": "qdrant", "version": version})) as url,
        pytest.raises(StoreError) as caught,
    ):
        open_store(url)
    assert len(str(caught.value)) < 400
