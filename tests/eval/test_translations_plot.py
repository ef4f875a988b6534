import struct
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from eval.translation_plot import check_outputs, draw_translations, write_figure
from eval.translations import Labels, choose_concepts, compare_translations, read_labels
from ingest.sources import SampleSource
from jobsearch.errors import BenchmarkError, InvalidInput

SVG = "{http://www.w3.org/2000/svg}"


def draw(languages=("en", "es", "de"), size=10, seed=0, variants=("pretrained",)):
    labels = read_labels(SampleSource(), languages)
    chosen = choose_concepts(labels, size, seed)
    panels = [compare_translations(labels, chosen, FakeEncoder(v)) for v in variants]
    return draw_translations(panels, labels, chosen)


def groups(path: Path) -> dict[str, ET.Element]:
    return {g.attrib["id"]: g for g in ET.parse(path).iter(f"{SVG}g") if "id" in g.attrib}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def notes(axes) -> list[str]:
    from matplotlib.text import Annotation

    return [text.get_text() for text in axes.texts if isinstance(text, Annotation)]


def test_one_panel_per_variant_side_by_side(tmp_path: Path) -> None:
    write_figure(draw(), tmp_path / "one.png")
    write_figure(draw(variants=("pretrained", "finetuned")), tmp_path / "two.png")
    assert png_size(tmp_path / "one.png") == (1400, 1320)
    assert png_size(tmp_path / "two.png") == (2400, 1320)


def test_every_title_has_a_marker_and_every_pair_of_translations_a_line(tmp_path: Path) -> None:
    write_figure(draw(variants=("pretrained", "finetuned")), tmp_path / "two.svg")
    found = groups(tmp_path / "two.svg")
    for variant in ("pretrained", "finetuned"):
        for language in ("en", "es", "de"):
            assert len(list(found[f"{language}-{variant}"].iter(f"{SVG}use"))) == 10
        lines = [
            len(list(found[f"{name}-{variant}"].iter(f"{SVG}path")))
            for name in ("lines", "named-lines")
        ]
        # Three languages have three pairs.
        assert sum(lines) == 10 * 3 and lines[1] % 3 == 0


def test_texts_of_a_panel() -> None:
    figure = draw(variants=("pretrained", "finetuned"))
    assert figure.get_suptitle().startswith("fake: 10 of 120 occupations of sample")
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("pretrained", "finetuned")
    labels = read_labels(SampleSource(), ("en", "es", "de"))
    panel = compare_translations(labels, choose_concepts(labels, 10, 0), FakeEncoder())
    translations = np.mean([pair.translations for pair in panel.pairs])
    others = np.mean([pair.random for pair in panel.pairs])
    assert first.texts[0].get_text() == (
        f"mean cosine over all: translations {translations:.3f}, random pairs {others:.3f}, "
        f"difference {translations - others:.3f}"
    )
    share = f"{panel.explained_variance[0]:.0%}"
    assert first.get_xlabel() == f"first principal component ({share} of variance)"
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["English", "Spanish", "German"]


def test_all_panels_and_axes_have_the_same_scale() -> None:
    figure = draw(variants=("pretrained", "finetuned"))
    figure.draw_without_rendering()
    scales = []
    for axes in figure.axes:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        scales += [axes.bbox.width / (right - left), axes.bbox.height / (top - bottom)]
    np.testing.assert_allclose(scales, scales[0], rtol=0.01)


def test_colours_and_markers_differ() -> None:
    from matplotlib.collections import PathCollection

    [axes] = draw(("en", "es", "de", "zh")).axes
    clouds = [c for c in axes.collections if isinstance(c, PathCollection)]
    assert len({tuple(cloud.get_facecolor()[0]) for cloud in clouds}) == 4
    assert len({cloud.get_paths()[0].vertices.tobytes() for cloud in clouds}) == 4


def test_labels_cover_neither_points_nor_other_labels() -> None:
    figure = draw(("zh", "en"), size=30, variants=("pretrained", "finetuned"))
    figure.draw_without_rendering()
    first, second = figure.axes
    named = notes(first)
    assert 1 <= len(named) <= 8 and named == notes(second)
    titles = read_labels(SampleSource(), ("zh", "en")).titles
    assert set(named) <= set(titles["en"].values())
    for axes in figure.axes:
        boxes = [t.get_window_extent() for t in axes.texts if t.get_text() in named]
        assert sum(box.count_overlaps(boxes) for box in boxes) == len(
            boxes
        )  # each overlaps itself only
        for cloud in axes.collections:
            markers = axes.transData.transform(np.ma.getdata(cloud.get_offsets()))
            assert not any(box.count_contains(markers) for box in boxes if len(markers) > 1)


def test_titles_that_the_font_cannot_print_are_left_out(tmp_path: Path) -> None:
    titles = {"urn:1": "护士", "urn:2": "厨师", "urn:3": "nurse"}
    german = {"urn:1": "护士", "urn:2": "厨师", "urn:3": "厨师"}
    labels = Labels("test", {"zh": titles, "de": german})
    chosen = sorted(titles)
    panel = compare_translations(labels, chosen, FakeEncoder())
    figure = draw_translations([panel], labels, chosen)
    write_figure(figure, tmp_path / "zh.png")  # a missing glyph would warn
    assert notes(figure.axes[0]) == ["nurse"]


def test_dollar_signs_are_not_parsed_as_formulas(tmp_path: Path) -> None:
    titles = {"urn:1": "$a^{ nurse$", "urn:2": "cook"}
    labels = Labels("test", {"en": titles, "de": titles})
    panel = compare_translations(labels, sorted(titles), FakeEncoder())
    figure = draw_translations([panel], labels, sorted(titles))
    write_figure(figure, tmp_path / "figure.svg")
    assert "$a^{ nurse$" in notes(figure.axes[0])


def test_equal_figures_give_equal_bytes(tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        first, again, other = (tmp_path / f"{name}.{suffix}" for name in ("a", "b", "c"))
        for path, seed in ((first, 0), (again, 0), (other, 1)):
            write_figure(draw(size=4, seed=seed), path)
        assert first.read_bytes() == again.read_bytes() != other.read_bytes()


def test_other_suffixes_are_refused() -> None:
    for name in ("figure.pdf", "figure"):
        with pytest.raises(InvalidInput, match=rf"{name}: .* suffix \.png or \.svg"):
            check_outputs([Path("a.PNG"), Path(name)], ("en", "de"))


def test_more_languages_than_colours_are_refused() -> None:
    languages = ("en", "de", "es", "fr", "it", "nl", "pl", "pt")
    check_outputs([Path("a.svg")], languages[:7])
    with pytest.raises(InvalidInput, match=r"cannot distinguish 8 `languages`: give at most 7"):
        check_outputs([Path("a.svg")], languages)


def test_a_missing_matplotlib_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InvalidInput, match=r"pip install 'jobsearch\[plot\]'"):
        check_outputs([Path("a.svg")], ("en", "de"))


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    figure = draw(size=2)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(BenchmarkError, match=r"folder\.png cannot be written .* another `output`"):
        write_figure(figure, tmp_path / "folder.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot be written"):
        write_figure(figure, tmp_path / "file" / "a.png")
    # No half-written file is left.
    assert {path.name for path in tmp_path.iterdir()} == {"folder.png", "file"}
