"""Time of ``jobsearch eval`` on the three TalentCLEF validation sets, ingest included."""

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
    outputs: list[str] = []
    duration_s = seconds(
        lambda: outputs.append(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    )
cells = json.loads(outputs[0])["cells"]
scores = ", ".join(f"{cell['pair']} {cell['metrics']['MAP']:.3f}" for cell in cells)
report(figure("validation sets, files to table", duration_s, "s", "at most", 60, f"MAP {scores}"))
