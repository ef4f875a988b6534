"""Tables before they are laid out, and the forms they are laid out in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobsearch.text import escape_controls

_FORMATS = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}
_MARKDOWN = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "\\|", "\\": "\\\\"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not laid out yet: text only, the first columns are words."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    #: Number of leading columns that hold words; the others are figures.
    words: int = 1


def render(tables: Sequence[Table], form: str = "text") -> str:
    """Tables as ``text``, ``markdown`` or ``latex`` (with the package booktabs).

    Titles and names are somebody else's: they can neither steer a terminal nor leave their cell.
    """
    from tabulate import tabulate

    parts = []
    for table in (_safe(each, form) for each in tables):
        align = ("left",) * table.words + ("right",) * (len(table.headers) - table.words)
        laid_out = tabulate(
            table.rows,
            headers=table.headers,
            disable_numparse=True,
            colalign=align,
            tablefmt=_FORMATS[form],
        )
        title, notes = table.title, list(table.notes)
        if form == "markdown":
            title, notes = f"### {title}\n", ["", *(f"{note}  " for note in notes)]
        elif form == "latex":
            title, notes = f"% {title}", [f"% {note}" for note in notes]
        parts.append("\n".join([title, laid_out, *notes]).rstrip())
    return "\n\n".join(parts)


def _safe(table: Table, form: str) -> Table:
    def safe(texts: Sequence[str]) -> tuple[str, ...]:
        shown = map(escape_controls, texts)
        # In LaTeX the cells are escaped as they are laid out, and the rest is comments.
        return tuple(text.translate(_MARKDOWN) if form == "markdown" else text for text in shown)

    (title,) = safe([table.title])
    rows = tuple(map(safe, table.rows))
    return replace(
        table, title=title, headers=safe(table.headers), rows=rows, notes=safe(table.notes)
    )


def figure(value: float | None) -> str:
    """Three decimals; nothing for what is not known."""
    return "" if value is None else f"{value:.3f}"
