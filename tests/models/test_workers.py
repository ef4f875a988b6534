"""Embedding in several processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from jobsearch.errors import ModelError
from jobsearch.models import Encoder, load_encoder
from jobsearch.models.cached import WorkersEncoder

LOAD = partial(load_encoder, "builtin", "pretrained")
BATCHES = [[f"{job} {n}" for n in range(9)] for job in ("nurse", "Krankenschwester", "enfermera")]


@pytest.fixture(scope="module")
def two_workers(builtin: Encoder) -> Iterator[WorkersEncoder]:
    with closing(WorkersEncoder(builtin, LOAD, 2)) as opened:
        yield opened


@pytest.mark.slow
def test_workers_return_the_vectors_of_one_process_in_order(
    builtin: Encoder, two_workers: WorkersEncoder
) -> None:
    batches = [*BATCHES, [], *BATCHES[::-1]]
    encoded = list(two_workers.encode_document_batches(batches))
    assert [len(vectors) for vectors in encoded] == [9, 9, 9, 0, 9, 9, 9]
    for batch, vectors in zip(batches, encoded, strict=True):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, builtin.encode_documents(batch), atol=1e-6)
    assert two_workers._pool is not None
    assert len(two_workers._pool._processes) == 2
    assert two_workers.info == builtin.info


def test_a_single_list_is_embedded_in_this_process(builtin: Encoder) -> None:
    with closing(WorkersEncoder(builtin, LOAD, 2)) as encoder:
        np.testing.assert_array_equal(
            encoder.encode_documents(["nurse"]), builtin.encode_documents(["nurse"])
        )
        assert list(encoder.encode_document_batches([[], []]))[1].shape == (0, 512)
        assert encoder._pool is None, "empty batches start no process"


@pytest.mark.slow
def test_a_worker_that_dies(builtin: Encoder) -> None:
    with closing(WorkersEncoder(builtin, LOAD, 1)) as encoder:
        encoded = encoder.encode_document_batches(BATCHES * 20)
        next(encoded)
        assert encoder._pool is not None
        [worker] = encoder._pool._processes
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"or died.*fewer `workers`"):
            list(encoded)


@pytest.mark.slow
def test_a_worker_that_loads_another_encoder(builtin: Encoder) -> None:
    other = Encoder(builtin.network, replace(builtin.info, weights_sha256="0" * 64))
    with (
        closing(WorkersEncoder(other, LOAD, 1)) as encoder,
        pytest.raises(ModelError, match="could not start"),
    ):
        list(encoder.encode_document_batches(BATCHES))


SCRIPT = """
import time
from functools import partial
from jobsearch.models import load_encoder
from jobsearch.models.cached import WorkersEncoder
if __name__ == "__main__":
    load = partial(load_encoder, "builtin", "pretrained")
    encoder = WorkersEncoder(load(), load, 2)
    encoded = encoder.encode_document_batches([["nurse"]] * 4)
    next(encoded)
    print(*encoder._pool._processes, flush=True)
    time.sleep(120)
"""


@pytest.mark.slow
def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait(20)
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while alive := [pid for pid in workers if Path(f"/proc/{pid}/exe").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)
