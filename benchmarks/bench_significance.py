"""Time of evaluating and comparing both variants on the three TalentCLEF validation sets."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import TALENTCLEF, figure, report, seconds

jobsearch = str(Path(sys.executable).parent / "jobsearch")


def run(*words: str) -> None:
    subprocess.run([jobsearch, *words], check=True, stdout=subprocess.DEVNULL)


with tempfile.TemporaryDirectory() as folder:
    store, results = f"{folder}/store", f"{folder}/results"
    evaluating = seconds(
        lambda: run("eval", "talentclef", str(TALENTCLEF), "--store", store, "--results", results)
    )
    sides = [f"{results}/builtin-{variant}" for variant in ("pretrained", "finetuned")]
    comparing = seconds(lambda: run("eval", "compare", *sides))
    again = seconds(
        lambda: run("eval", "talentclef", str(TALENTCLEF), "--store", store, "--results", results)
    )
report(
    figure(
        "two variants, three sets, compared", evaluating + comparing, "s", "at most", 120,
        f"comparison alone {comparing:.1f} s; all again with kept results {again:.1f} s",
    ),
)  # fmt: skip
