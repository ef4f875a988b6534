import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from small_benchmarks import make_benchmark

from eval.benchmarks.talentclef import load_sample
from eval.report import write_report
from eval.results import Cell
from eval.run import evaluate
from eval.systems import BASELINES, VectorSearch
from jobsearch.errors import BenchmarkError
from jobsearch.store import open_store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = '<script>alert(1)</script> "nurse" & \' {{ 7 * 7 }}'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4"/></svg>'


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """Two variants and a baseline on two pairs, and a hostile title."""
    store = open_store(str(tmp_path_factory.mktemp("store")))
    pretrained = VectorSearch(store, FakeEncoder())
    found = []
    for benchmark in load_sample(pairs=["de-de", "en-es"]):
        cell = evaluate(benchmark, pretrained)
        cell = replace(cell, index=pretrained.measure_index(benchmark))
        # A second variant with better metrics for the same rankings.
        better = [
            replace(r, metrics={name: value**0.5 for name, value in r.metrics.items()})
            for r in cell.per_query
        ]
        tuned = replace(cell, variant="finetuned", per_query=tuple(better), ranking_sha256="x")
        found += [cell, tuned, evaluate(benchmark, BASELINES["tfidf"])]
    hostile = make_benchmark({"1": HOSTILE}, {"a": "nurse", "b": HOSTILE}, {"1": {"a": 1}})
    cell = evaluate(hostile, pretrained, language_check=False)
    found += [cell, replace(cell, variant="finetuned", ranking_sha256="x")]
    store.close()
    return found


@pytest.fixture(scope="module")
def page(cells: list[Cell], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    figure = folder / "plot.svg"
    figure.write_text(SVG)
    path = folder / "new" / "report.html"
    write_report(cells, path, figure=figure)
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_has_all_tables_and_charts(page: Path, cells: list[Cell]) -> None:
    text = page.read_text(encoding="utf-8")
    for expected in (
        "sample: MAP within a language",
        "sample: MRR across languages",
        "fake pretrained and fake finetuned",
        "sample: what the figures hide",
        "sample: MRR with and without the copies of the query",
        "what the live index loses",
        "weights_sha256",
        "version of ir-measures",
        cells[0].provenance["benchmark_sha256"][:16],
    ):
        assert expected in text, expected
    # One dot per query of three pairs, one bar per cell and metric.
    assert text.count("<circle ") == 61
    assert text.count('<div class="bar"') == 2 * len(cells)


def test_the_page_needs_no_network_and_runs_no_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    names = {tag for tag, _ in tags.found}
    assert names.isdisjoint({"script", "iframe", "object", "embed", "link"})
    for _, attributes in tags.found:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:image/svg+xml;base64,")), target
    assert "default-src 'none'" in text
    assert "{{" not in text.replace("{{ 7 * 7 }}", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search(r"url\(", text)


def test_problems_are_at_the_top(cells: list[Cell], tmp_path: Path) -> None:
    twice = [cells[0], replace(cells[1], ranking_sha256=cells[0].ranking_sha256)]
    write_report(twice, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This cannot be right: fake pretrained on sample validation de-de" in text
    assert text.index("This cannot be right") < text.index('id="leaderboard"')


def test_one_system_has_no_comparison(cells: list[Cell], tmp_path: Path) -> None:
    write_report(cells[:1], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="comparison"' not in text
    assert "<img" not in text


@pytest.mark.parametrize(
    ("figure", "said"), [("page.html", "is not an SVG or PNG"), ("none.svg", "models plot")]
)
def test_bad_figures_are_refused(cells: list[Cell], tmp_path: Path, figure: str, said: str) -> None:
    (tmp_path / "page.html").write_text("<script>")
    with pytest.raises(BenchmarkError, match=said):
        write_report(cells, tmp_path / "report.html", figure=tmp_path / figure)
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_cannot_be_written(cells: list[Cell], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        write_report(cells, tmp_path / "file" / "report.html")


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_in_a_browser(page: Path, tmp_path: Path, width: int) -> None:
    image = pytest.importorskip("matplotlib.image", reason="needs matplotlib")
    shot = tmp_path / "shot.png"
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},2400", f"--screenshot={shot}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = image.imread(shot)[..., :3]
    assert pixels.shape[:2] == (2400, width)
    # Nothing is wider than the window: the right margin is empty from top to bottom.
    assert (pixels[:, -12:] == pixels[0, 0]).all()
    # The bars have the colours of the three systems, and the page continues below row 1,200.
    colours = {
        tuple(int(255 * value + 0.5) for value in pixel)
        for pixel in pixels[::3, ::3].reshape(-1, 3)
    }
    assert {(0, 114, 178), (213, 94, 0), (0, 158, 115)} <= colours
    assert (pixels[1200:] != pixels[0, 0]).any()
