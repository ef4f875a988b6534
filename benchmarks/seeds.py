"""The default training with several seeds, and without anchors, against the pretrained model.

    python -m benchmarks.seeds FOLDER

Trains the built-in model on the ESCO export ``ESCO`` with seeds 0, 1 and 2, and with seed 0 without
anchors. Evaluates each, and the pretrained model, on ``TALENTCLEF`` (validation) and two sets in
``MELO``. Prints mean and standard deviation over the seeds, the figures without anchors, and paired
tests of seed 0 against pretrained. Takes about 40 minutes on two cores; models and results that are
in FOLDER already are used again.
"""

import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

from tabulate import tabulate

from benchmarks.common import ESCO, MELO, TALENTCLEF
from eval.results import Cell, read_cells
from eval.tables.compare import compare, paired_cells, tables
from eval.tables.render import render

SEEDS = (0, 1, 2)
METRICS = ("MAP", "MRR")
SETS = (
    ("talentclef", TALENTCLEF),
    ("melo", MELO / "deu_q_de_c_en"),
    ("melo", MELO / "esp_q_es_c_en"),
)


def jobsearch(*words: object) -> None:
    command = [str(Path(sys.executable).parent / "jobsearch"), *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measured(folder: Path, name: str, *training: object) -> list[Cell]:
    """Train unless the model exists, and evaluate; without ``training``, the pretrained model."""
    models, variant = folder / "models" / name, "pretrained"
    if training:
        variant = "finetuned"
        if not (models / "builtin" / "finetuned").is_dir():
            jobsearch("train", ESCO, "--models-dir", models, "--resume", *training)
    results = folder / "results" / name
    for kind, path in SETS:
        jobsearch(
            "eval", kind, path, "--models-dir", models, "--variant", variant,
            "--store", folder / "store", "--results", results,
        )  # fmt: skip
    return read_cells(results)


def by_set(cells: list[Cell]) -> dict[tuple[str, str], Cell]:
    return {(cell.split, cell.pair): cell for cell in cells}


def main(folder: Path) -> None:
    pretrained = measured(folder, "pretrained")
    seeds = [measured(folder, f"seed-{seed}", "--seed", seed) for seed in SEEDS]
    without = measured(folder, "without-anchors", "--seed", 0, "--anchors", "off")
    rows = []
    for metric in METRICS:
        for key, cell in by_set(pretrained).items():
            values = [by_set(cells)[key].metrics[metric] for cells in seeds]
            rows.append(
                (
                    *key, metric, cell.metrics[metric], *values, fmean(values), stdev(values),
                    by_set(without)[key].metrics[metric],
                )
            )  # fmt: skip
    headers = (
        "set", "pair", "metric", "pretrained", *(f"seed {seed}" for seed in SEEDS), "mean",
        "spread", "seed 0 without anchors",
    )  # fmt: skip
    print(tabulate(rows, headers=headers, floatfmt=".3f", tablefmt="github"))
    differences = compare(paired_cells(pretrained, seeds[0]), METRICS)
    print("", render(tables("pretrained", "seed 0", differences, [], []), "markdown"), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
