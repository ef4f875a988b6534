import csv
import re
from pathlib import Path
from statistics import fmean

import pytest

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
    zero_shot = row(table, "published: MPNet zero-shot, DS@GT (9th)")
    assert zero_shot == ["[1]", "test", "0.440", "0.402", "0.355", "0.399"]
    scalar = row(table, "published: MPNet fine-tuned, SCaLAR [2]")
    assert scalar == ["validation", "0.582", "0.474", "0.418", "0.491"]
    assert "[1] official results of task A" in table
    assert "[2] Bhangale, Gabhane and Anand Kumar 2025" in table
    assert "across languages" not in table


def test_without_all_pairs_there_is_neither_the_mean_nor_rows_with_only_a_mean() -> None:
    table = render([cell("es-es", 0.45)], ("MAP",))
    assert "mean" not in table
    assert "DS@GT" not in table
    assert row(table, "published: MPNet fine-tuned, SCaLAR") == ["[1]", "validation", "0.474"]


def test_the_table_across_languages() -> None:
    tables = render([cell("en-es", 0.5), cell("en-de", 0.4), cell("en-en", 0.6)], ("MAP",))
    within, across = tables.split("\n\n")
    assert within.startswith("talentclef-2025: MAP within a language")
    assert across.startswith("talentclef-2025: MAP across languages")
    assert row(across, "builtin pretrained") == ["validation", "0.500", "0.400", "0.450"]
    last = row(across, "published: MPNet zero-shot, DS@GT (9th)")
    assert last == ["[1]", "test", "0.023", "0.019", "0.021"]


def test_published_figures_are_those_of_the_official_table(shared_data: Path) -> None:
    """Each official row has the figures, and the place among the teams, of the organisers' file."""
    with (shared_data / "talentclef-2025" / "official_taskA.tsv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file, delimiter="\t"))
    official = [published for published in PUBLISHED if published.measured_on == "test"]
    assert len(official) == 13
    for published in official:
        means = {}
        for run in runs:
            maps = [run[f"MAP({pair})"] for pair in published.means]
            if all(maps):
                values = tuple(f"{float(value):.3f}" for value in maps)
                means.setdefault(run["Team"], []).append((fmean(map(float, maps)), values))
        team = published.system.partition(", ")[2].partition(" (")[0]
        of_team = {"DS@GT": "DS@GT - TalentCLEF", "organisers' baseline": "TalentCLEF Baseline"}
        runs_of_team = means[of_team.get(team, team)]
        figures = tuple(f"{value:.3f}" for value in published.pairs.values())
        (mean,) = {mean for mean, values in runs_of_team if values == figures}
        assert published.mean == pytest.approx(mean, abs=0.00067), published.system
        if place := re.search(r"\((\d+)", published.system):
            means.pop("TalentCLEF Baseline", None)
            better = sum(max(others)[0] > max(runs_of_team)[0] for others in means.values())
            assert better + 1 == int(place[1]), published.system


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
