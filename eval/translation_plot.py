"""Plots translations: one panel per variant of a model, one colour and marker per language.

Modelled on figure 2 of DS@GT at TalentCLEF 2025 (https://ceur-ws.org/Vol-4038/).
"""

import io
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from eval.translations import Labels, Panel, Points
from jobsearch.errors import BenchmarkError, InvalidInput
from jobsearch.files import whole_file
from jobsearch.languages import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

#: Suffixes of the files that can be written.
SUFFIXES = (".png", ".svg")

# Okabe and Ito's colours, distinguishable with any colour vision, each with its own marker.
_STYLES = (
    ("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"),
    ("#E69F00", "v"), ("#56B4E9", "P"), ("#000000", "X"),
)  # fmt: skip
_PANEL_INCHES, _MIN_WIDTH_INCHES, _HEIGHT_INCHES, _DPI = 6.0, 7.0, 6.6, 200
_MARGIN = 1.08
_MAX_NAMED = 8
_MAX_LABEL_CHARS = 32
# Positions of a label beside its point: offset in typographic points, and anchor of the text.
_SIDES = (
    ((7, 3), "left", "bottom"), ((7, -3), "left", "top"),
    ((-7, 3), "right", "bottom"), ((-7, -3), "right", "top"),
    ((0, 7), "center", "bottom"), ((0, -7), "center", "top"),
)  # fmt: skip


def check_outputs(paths: Sequence[Path], languages: Sequence[str]) -> None:
    """Check that a figure can be drawn and written, before titles are encoded.

    Args:
        paths: files to write.
        languages: languages to draw.

    Raises:
        InvalidInput: a file has another suffix than .png and .svg, there are more languages than
            colours, or matplotlib is not installed.
    """
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise InvalidInput(f"{path}: name the figure with the suffix {' or '.join(SUFFIXES)}")
    if len(languages) > len(_STYLES):
        raise InvalidInput(
            f"a figure cannot distinguish {len(languages)} `languages`: give at most {len(_STYLES)}"
        )
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise InvalidInput("figures need matplotlib: pip install 'jobsearch[plot]'") from error


def draw_translations(panels: Sequence[Panel], labels: Labels, concepts: Sequence[str]) -> "Figure":
    """Draw the panels side by side, at the same scale.

    Args:
        panels: one panel per variant, with the points of ``concepts``.
        labels: titles for the annotations.
        concepts: the drawn concepts, in the order of the points.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(_PANEL_INCHES * len(panels), _MIN_WIDTH_INCHES)
    figure = Figure(figsize=(width, _HEIGHT_INCHES), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    total = len(labels.shared(*labels.languages))
    figure.suptitle(
        f"{panels[0].model}: {len(concepts):,} of {total:,} occupations of {labels.source}",
        fontsize=13,
        parse_math=False,
    )
    axes = list(figure.subplots(1, len(panels), squeeze=False)[0])
    for panel, ax in zip(panels, axes, strict=True):
        _draw_points(ax, panel, labels.languages)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=11
    )
    figure.draw_without_rendering()  # fixes the layout, which scale and labels depend on
    _set_scale(axes, panels)
    figure.draw_without_rendering()
    named = _annotate(axes, panels, _texts(labels, concepts))
    for panel, ax in zip(panels, axes, strict=True):
        _draw_lines(ax, panel, named)
    return figure


def write_figure(figure: "Figure", path: Path) -> None:
    """Write a PNG or SVG file, chosen by the suffix, atomically.

    Missing folders are created. Equal figures give equal bytes.

    Raises:
        BenchmarkError: the file cannot be written.
    """
    import matplotlib as mpl

    picture = io.BytesIO()
    kind = path.suffix.lower().removeprefix(".")
    with mpl.rc_context({"svg.hashsalt": "jobsearch"}):
        figure.savefig(picture, format=kind, metadata={"Date": None} if kind == "svg" else None)
    with whole_file(path, "give another `output`", BenchmarkError) as partial:
        partial.write_bytes(picture.getvalue())


def _draw_points(ax: "Axes", panel: Panel, languages: Sequence[str]) -> None:
    for language, points, (colour, marker) in zip(languages, panel.points, _STYLES, strict=False):
        ax.scatter(
            points[:, 0],
            points[:, 1],
            s=30,
            c=colour,
            marker=marker,
            alpha=0.9,
            linewidths=0,
            zorder=2,
            label=NAMES[language].capitalize(),
            gid=f"{language}-{panel.variant}",
        )
    ax.set_title(panel.variant, fontsize=13, pad=22)
    ax.text(0.5, 1.025, _summary(panel), transform=ax.transAxes, ha="center", fontsize=10)
    for axis, share, name in zip(
        (ax.xaxis, ax.yaxis), panel.explained_variance, ("first", "second"), strict=True
    ):
        axis.set_label_text(f"{name} principal component ({share:.0%} of variance)")
    ax.tick_params(labelsize=9, color="0.6")
    ax.spines[["top", "right"]].set_visible(False)


def _set_scale(axes: Sequence["Axes"], panels: Sequence[Panel]) -> None:
    """Set one scale for all panels, so that distances compare: the largest at which all fit."""
    clouds = [panel.points.reshape(-1, 2) for panel in panels]
    sizes = [np.array((ax.bbox.width, ax.bbox.height)) for ax in axes]
    fits = [np.ptp(cloud, axis=0) / size for cloud, size in zip(clouds, sizes, strict=True)]
    per_pixel = _MARGIN * (np.max(fits) or 1 / _DPI)
    for ax, cloud, size in zip(axes, clouds, sizes, strict=True):
        centre, half = (cloud.min(axis=0) + cloud.max(axis=0)) / 2, per_pixel * size / 2
        ax.set_xlim(centre[0] - half[0], centre[0] + half[0])
        ax.set_ylim(centre[1] - half[1], centre[1] + half[1])
        ax.set_aspect("equal")


def _draw_lines(ax: "Axes", panel: Panel, named: Collection[int]) -> None:
    """Connect all labels of each concept; lines of named concepts are darker and on top."""
    from matplotlib.collections import LineCollection

    languages, concepts, _ = panel.points.shape
    for gid, numbers, colour, zorder in (
        ("lines", [n for n in range(concepts) if n not in named], "0.78", 1.0),
        ("named-lines", sorted(named), "0.35", 1.5),
    ):
        segments = [
            panel.points[[one, other], number]
            for number in numbers
            for one, other in combinations(range(languages), 2)
        ]
        lines = LineCollection(segments, colors=colour, linewidths=0.8, zorder=zorder)
        lines.set_gid(f"{gid}-{panel.variant}")
        ax.add_collection(lines, autolim=False)


def _summary(panel: Panel) -> str:
    translations = fmean(pair.translations for pair in panel.pairs)
    random = fmean(pair.random for pair in panel.pairs)
    return (
        f"mean cosine over all: translations {translations:.3f}, random pairs {random:.3f}, "
        f"difference {translations - random:.3f}"
    )


def _texts(labels: Labels, concepts: Sequence[str]) -> dict[int, tuple[int, str]]:
    """Number of a concept -> place of a language, and title, for the annotation.

    The title is the first that is short enough and that the font can print: in English, else in the
    first such language. Concepts without such a title are left out.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    printable = get_font(findfont(FontProperties())).get_charmap().keys()
    order = sorted(range(len(labels.languages)), key=lambda place: labels.languages[place] != "en")
    texts: dict[int, tuple[int, str]] = {}
    for number, concept in enumerate(concepts):
        for place in order:
            title = labels.titles[labels.languages[place]][concept]
            if set(map(ord, title)) <= printable and len(title) <= _MAX_LABEL_CHARS:
                texts[number] = (place, title)
                break
    return texts


def _annotate(
    axes: Sequence["Axes"], panels: Sequence[Panel], texts: Mapping[int, tuple[int, str]]
) -> set[int]:
    """Write the titles of a few distant concepts, the same in all panels; return their numbers."""
    taken: list[list[Bbox]] = [[] for _ in axes]
    named: set[int] = set()
    for number in _far_apart(panels[0].points.mean(axis=0)):
        if number not in texts or len(named) == _MAX_NAMED:
            continue
        place, title = texts[number]
        placed = [
            _place(ax, panel.points, (place, number), title, boxes)
            for ax, panel, boxes in zip(axes, panels, taken, strict=True)
        ]
        if all(placed):
            named.add(number)
        for label, boxes in zip(placed, taken, strict=True):
            if label and number in named:
                boxes.append(label.get_window_extent())
            elif label:
                label.remove()
    return named


def _far_apart(centres: Points) -> list[int]:
    """Numbers of the points (n, 2), each as far as possible from all points before it."""
    distances = np.linalg.norm(centres - centres.mean(axis=0), axis=1)
    order: list[int] = []
    for _ in centres:
        order.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(centres - centres[order[-1]], axis=1))
        distances[order] = -1
    return order


def _place(
    ax: "Axes", points: Points, at: tuple[int, int], title: str, taken: Sequence["Bbox"]
) -> "Annotation | None":
    """Write a title beside a point without hiding a point or a title; None if there is no room."""
    from matplotlib.patheffects import withStroke

    markers = ax.transData.transform(points.reshape(-1, 2))
    halo = [withStroke(linewidth=2.5, foreground="white", alpha=0.85)]
    for offset, horizontal, vertical in _SIDES:
        label = ax.annotate(
            title, points[at], offset, textcoords="offset points", ha=horizontal, va=vertical,
            fontsize=10, parse_math=False, zorder=3, path_effects=halo,
        )  # fmt: skip
        label.set_in_layout(False)
        box = label.get_window_extent().padded(2 * _DPI / 72)
        inside = ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max)
        if inside and not box.count_overlaps(taken) and not box.count_contains(markers):
            return label
        label.remove()
    return None
