"""Small files in the layouts of the sources, and an encoder that records its texts."""

import csv
import hashlib
import io
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

from ingest.sources import EscoSource
from ingest.sources.esco import SAMPLE_FOLDER
from jobsearch.store import Store, open_store
from jobsearch.types import EncoderInfo, Variant
from jobsearch.vectors import Vectors

COLUMNS = ("conceptType", "conceptUri", "iscoGroup", "preferredLabel", "altLabels", "hiddenLabels")

#: Nurse, teacher, waiter and cook in both languages: ISCO code, preferred label, other labels.
OCCUPATIONS = {
    "en": [
        ("2221", "general nurse", ["registered nurse", "staff nurse"]),
        ("2330", "secondary school teacher", ["high school teacher", "school teacher"]),
        ("5131", "waiter/waitress", ["restaurant server", "waiter"]),
        ("5120", "kitchen cook", ["line cook", "school teacher"]),
    ],
    "de": [
        ("2221", "Krankenpfleger/Krankenschwester", ["Pflegefachkraft im Krankenhaus"]),
        ("2330", "Gymnasiallehrer/Gymnasiallehrerin", ["Lehrer der Sekundarstufe"]),
        ("5131", "Kellner/Kellnerin", ["Servicekraft im Restaurant"]),
        ("5120", "Koch/Köchin", ["Küchenhilfe in der Großküche"]),
    ],
}


class CountingEncoder:
    """Deterministic unit vectors from a hash of the text; records the texts in ``encoded``."""

    def __init__(self, weights: str = "a", variant: Variant = "pretrained", dim: int = 32) -> None:
        self.info = EncoderInfo("fake", variant, "fake", "", weights, "t", dim, "mean")
        self.encoded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        rows = [self._vector(text) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.info.dim)

    encode_queries = encode_documents

    def encode_document_batches(self, batches: Iterable[Sequence[str]]) -> Iterator[Vectors]:
        yield from map(self.encode_documents, batches)

    def _vector(self, text: str) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        vector = np.random.default_rng(seed).standard_normal(self.info.dim)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def esco_csv(rows: Sequence[tuple[str, str, Sequence[str]]], hidden: Sequence[str] = ()) -> str:
    """CSV text of an ESCO export with concepts urn:0, urn:1 and so on."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, (isco, preferred, alternatives) in enumerate(rows):
        labels = ("\n".join(alternatives), "\n".join(hidden))
        writer.writerow(("Occupation", f"urn:{number}", isco, preferred, *labels))
    return out.getvalue()


@pytest.fixture
def esco_folder(tmp_path: Path) -> Path:
    """A small ESCO export in two languages."""
    folder = tmp_path / "ESCO 1.2.0"
    for language, rows in OCCUPATIONS.items():
        (folder / language).mkdir(parents=True)
        path = folder / language / f"occupations_{language}.csv"
        path.write_text(esco_csv(rows, hidden=["bed pan boss"]), encoding="utf-8")
    return folder


@pytest.fixture
def esco_source(esco_folder: Path) -> EscoSource:
    return EscoSource(esco_folder)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty embedded store."""
    opened = open_store(str(tmp_path / "store"))
    yield opened
    opened.close()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a file and returns its path."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def little_memory() -> Callable[[], AbstractContextManager[None]]:
    """A context in which neither Arrow nor Python may have 40 MB allocated at once."""

    @contextmanager
    def measured() -> Iterator[None]:
        pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        usual = pyarrow.default_memory_pool()
        pool = pyarrow.proxy_memory_pool(usual)
        pyarrow.set_memory_pool(pool)
        tracemalloc.start()
        try:
            yield
            peaks = {"arrow": pool.max_memory(), "python": tracemalloc.get_traced_memory()[1]}
        finally:
            tracemalloc.stop()
            pyarrow.set_memory_pool(usual)
        assert max(peaks.values()) < 40 << 20, peaks

    return measured


@pytest.fixture
def make_encoder() -> type[CountingEncoder]:
    """The class of ``encoder``, for encoders with other weights or variants."""
    return CountingEncoder


@pytest.fixture
def sample_as(tmp_path: Path) -> Callable[[str, str], EscoSource]:
    """An ESCO export with the sample's titles in one language, labelled as another language."""

    def make(language: str, claimed: str) -> EscoSource:
        content = (SAMPLE_FOLDER / f"occupations_{language}.csv").read_bytes()
        folder = tmp_path / f"{language} as {claimed}"
        folder.mkdir()
        (folder / f"occupations_{claimed}.csv").write_bytes(content)
        return EscoSource(folder)

    return make
