"""The three TalentCLEF validation sets, from files to table, as a person would run it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import TALENTCLEF, figure, report, seconds

PAIRS = "en-en,es-es,de-de"
jobsearch = str(Path(sys.executable).parent / "jobsearch")


with tempfile.TemporaryDirectory() as folder:
    command = [
        jobsearch, "eval", "talentclef", str(TALENTCLEF), "--pairs", PAIRS,
        "--variant", "pretrained", "--store", folder, "--json",
    ]  # fmt: skip
    done: list[subprocess.CompletedProcess[str]] = []
    took = seconds(
        lambda: done.append(subprocess.run(command, check=True, capture_output=True, text=True))
    )
cells = json.loads(done[0].stdout)["cells"]
scores = ", ".join(f"{cell['pair']} {cell['metrics']['MAP']:.3f}" for cell in cells)
report(figure("validation sets, files to table", took, "s", "at most", 60, f"MAP {scores}"))
