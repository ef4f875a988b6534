from eval.metrics import MEASURES
from eval.results import Cell
from eval.tables.leaderboard import CROSS_LINGUAL, MONOLINGUAL, PUBLISHED, tables
from eval.tables.render import render as lay_out
from jobsearch.types import Variant


def cell(
    pair: str,
    value: float,
    variant: Variant = "pretrained",
    benchmark: str = "talentclef-2025",
    split: str = "validation",
) -> Cell:
    metrics = dict.fromkeys(MEASURES, value)
    return Cell(benchmark, split, pair, "builtin", variant, 1, 1, 1, metrics, "collection", 1.0)


def render(cells: list[Cell], metrics: tuple[str, ...] = ("MAP", "MRR")) -> str:
    return lay_out(tables(cells, metrics))


def row(table: str, system: str) -> list[str]:
    (line,) = [line for line in table.splitlines() if line.startswith(system)]
    return line.removeprefix(system).split()


def test_the_table_within_a_language_has_talentclefs_mean() -> None:
    cells = [cell("de-de", 0.3), cell("en-en", 0.6), cell("es-es", 0.45), cell("zh-zh", 0.9)]
    table = render(cells, ("MAP",))
    lines = table.splitlines()
    assert lines[0] == "talentclef-2025: MAP within a language"
    assert lines[1].split() == [
        "system", "measured", "on", "en-en", "es-es", "de-de", "zh-zh", "mean",
    ]  # fmt: skip
    assert row(table, "builtin pretrained") == [
        "validation", "0.600", "0.450", "0.300", "0.900", "0.450",
    ]  # fmt: skip
    assert "mean: over en-en, es-es, de-de" in lines


def test_published_rows_name_the_set_they_were_measured_on() -> None:
    table = render([cell("en-en", 0.6), cell("es-es", 0.45), cell("de-de", 0.3)], ("MAP",))
    assert row(table, "published: MPNet zero-shot, DS@GT") == ["[3]", "test", "0.399"]
    assert row(table, "published: MPNet fine-tuned, DS@GT (32nd)") == ["[3]", "test", "0.360"]
    participant = row(table, "published: MPNet fine-tuned, a participant")
    assert participant == ["[4]", "validation", "0.582", "0.474", "0.418", "0.491"]
    assert "[3] Brikman, Sana and Ruegger 2025" in table
    assert "across languages" not in table


def test_without_all_pairs_there_is_neither_the_mean_nor_rows_with_only_a_mean() -> None:
    table = render([cell("es-es", 0.45)], ("MAP",))
    assert "mean" not in table
    assert "DS@GT" not in table
    assert row(table, "published: MPNet zero-shot") == ["[1]", "validation", "0.417"]


def test_the_table_across_languages() -> None:
    tables = render([cell("en-es", 0.5), cell("en-de", 0.4), cell("en-en", 0.6)], ("MAP",))
    within, across = tables.split("\n\n")
    assert within.startswith("talentclef-2025: MAP within a language")
    assert across.startswith("talentclef-2025: MAP across languages")
    assert row(across, "builtin pretrained") == ["validation", "0.500", "0.400", "0.450"]
    assert row(across, "published: MPNet, DS@GT") == ["[1]", "test", "0.020"]


def test_each_variant_has_its_own_row() -> None:
    table = render([cell("en-en", 0.46), cell("en-en", 0.55, "finetuned")], ("MRR",))
    assert row(table, "builtin pretrained") == ["validation", "0.460"]
    assert row(table, "builtin finetuned") == ["validation", "0.550"]
    assert "published" not in table  # there is no published MRR


def test_the_sample_is_named_and_has_no_published_rows() -> None:
    cells = [cell(pair, 0.9, benchmark="sample") for pair in (*MONOLINGUAL, *CROSS_LINGUAL)]
    within, across = render(cells, ("MAP",)).split("\n\n")
    assert within.startswith("sample: MAP")
    assert row(within, "builtin pretrained")[0] == "sample"
    assert "published" not in within + across


def test_melo_beside_its_published_rows() -> None:
    cells = [
        cell("de-en", 0.31, benchmark="melo", split="deu_q_de_c_en"),
        cell("es-en", 0.32, benchmark="melo", split="esp_q_es_c_en"),
    ]
    table = render(cells, ("MRR",))
    assert row(table, "published: mE5-large") == ["[1]", "deu_q_de_c_en", "0.386"]
    assert [line.split()[2:] for line in table.splitlines() if line.startswith("builtin")] == [
        ["deu_q_de_c_en", "0.310"],
        ["esp_q_es_c_en", "0.320"],
    ]


def test_no_cells_give_no_tables() -> None:
    assert render([]) == ""


def test_every_published_figure_has_a_source_and_is_between_0_and_1() -> None:
    for published in PUBLISHED:
        assert published.source
        assert published.measured_on
        assert published.metric in MEASURES
        figures = [*published.pairs.values(), *([published.mean] if published.mean else [])]
        assert figures
        assert all(0 < figure < 1 for figure in figures)
        assert bool(published.means) == (published.mean is not None)
