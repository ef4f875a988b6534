"""Tables with hostile titles and names."""

from eval.tables.render import Table, render

HOSTILE = Table(
    "set\n\\input{secrets}: MAP",
    ("system", "MAP"),
    (("<script>a|b\\|c</script> & \x1b]0;owned\x07", "0.5"), ("bm25", "0.25")),
    ("note of \x9b2J\r<img>\u2028end",),
)


def test_control_characters_are_escaped() -> None:
    lines = render([HOSTILE]).splitlines()
    assert lines[0] == r"set\u000a\input{secrets}: MAP"
    assert lines[3].split("    ") == [
        r"<script>a|b\|c</script> & \u001b]0;owned\u0007", "0.5",
    ]  # fmt: skip
    assert lines[5:] == [r"note of \u009b2J\u000d<img>\u2028end"]


def test_markdown_escapes_html_and_cell_borders() -> None:
    title, _, header, _, row, other, _, note = render([HOSTILE], "markdown").splitlines()
    assert title == r"### set\\u000a\\input{secrets}: MAP"
    assert header.count("|") == other.count("|") == 3
    assert row == (r"| &lt;script>a\|b\\\|c&lt;/script> &amp; \\u001b]0;owned\\u0007 |   0.5 |")
    assert note == r"note of \\u009b2J\\u000d&lt;img>\\u2028end"


def test_latex_comments_stay_on_one_line() -> None:
    first, *table, last = render([HOSTILE], "latex").splitlines()
    assert first == r"% set\u000a\input{secrets}: MAP"
    assert last == r"% note of \u009b2J\u000d<img>\u2028end"
    assert table[0] == r"\begin{tabular}{lr}"
    assert r"\ensuremath{<}script\ensuremath{>}a|b\textbackslash{}|c" in table[4]
