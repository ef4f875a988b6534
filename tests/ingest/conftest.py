"""Small files in the layouts of the sources, and a fake encoder."""

import csv
import io
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder

from ingest.sources import EscoSource
from ingest.sources.esco import SAMPLE_FOLDER
from jobsearch.store import Store, open_store

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
def encoder() -> FakeEncoder:
    return FakeEncoder()


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
def make_encoder() -> type[FakeEncoder]:
    """Encoders of other weights or variants."""
    return FakeEncoder


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
