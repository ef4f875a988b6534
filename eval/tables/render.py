"""Tables as plain data, and their output as text, Markdown or LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobsearch.errors import InvalidInput
from jobsearch.text import escape_controls

#: Form -> name of the format in tabulate.
_FORMATS = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}
_MARKDOWN = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "\\|", "\\": "\\\\"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text cells.

    Args:
        title: printed above the table.
        headers: names of the columns.
        rows: the cells.
        notes: lines printed below the table.
        words: number of leading columns with words, aligned left; the others have figures.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    words: int = 1


def render(tables: Sequence[Table], form: str = "text") -> str:
    """Render tables as ``text``, ``markdown`` or ``latex`` (for the package booktabs).

    Titles and names come from outside: they are escaped so that they cannot control a terminal or
    break out of their cell.

    Raises:
        InvalidInput: the form is unknown.
    """
    from tabulate import tabulate

    if form not in _FORMATS:
        raise InvalidInput(f"{form!r} is not a form of tables: give {', '.join(_FORMATS)}")
    parts = []
    for table in (_safe(each, form) for each in tables):
        align = ("left",) * table.words + ("right",) * (len(table.headers) - table.words)
        body = tabulate(
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
        parts.append("\n".join([title, body, *notes]).rstrip())
    return "\n\n".join(parts)


def _safe(table: Table, form: str) -> Table:
    def safe(texts: Sequence[str]) -> tuple[str, ...]:
        escaped = map(escape_controls, texts)
        # In LaTeX, tabulate escapes the cells, and title and notes are comments.
        return tuple(text.translate(_MARKDOWN) if form == "markdown" else text for text in escaped)

    (title,) = safe([table.title])
    rows = tuple(map(safe, table.rows))
    return replace(
        table, title=title, headers=safe(table.headers), rows=rows, notes=safe(table.notes)
    )


def figure(value: float | None) -> str:
    """Format a figure with three decimals; None gives an empty cell."""
    return "" if value is None else f"{value:.3f}"
