"""Run all benchmarks, or those named as arguments, and print a table of figures and limits.

Environment variables name the folders of the data: ``ESCO`` an ESCO export (default
../shared/data/esco-1.2.0), ``TALENTCLEF`` TalentCLEF 2025 task A (default
../shared/data/talentclef-2025/TaskA) and ``MELO`` MELO sets (default ../shared/data/melo). Exits
with 1 if a limit is missed, with 2 if data are missing.
"""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PARTS = (
    "encode", "ingest", "ingest_memory", "query", "evaluate", "significance", "melo", "metrics",
)  # fmt: skip
DATA = {"ESCO": "esco-1.2.0", "TALENTCLEF": "talentclef-2025/TaskA", "MELO": "melo"}


def main() -> int:
    env = {**os.environ}
    for name, folder in DATA.items():
        env.setdefault(name, str(SHARED / folder))
    if missing := [env[name] for name in DATA if not Path(env[name]).is_dir()]:
        print(
            f"not found: {', '.join(missing)}. Set {', '.join(DATA)} to the folders of the data",
            file=sys.stderr,
        )
        return 2
    rows = []
    for part in sys.argv[1:] or PARTS:
        print(f"{part} …", file=sys.stderr)
        # Each part runs in its own process, so that it has its own peak memory.
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.bench_{part}"],
            env=env, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        rows += json.loads(done.stdout)
    for row in rows:
        at_most = row["limit_is"] == "at most"
        row["ok"] = row["value"] <= row["limit"] if at_most else row["value"] >= row["limit"]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(
        tabulate(
            [
                (r["figure"], f"{r['value']:.2f} {r['unit']}", f"{r['limit_is']} {r['limit']:g}",
                 "ok" if r["ok"] else "MISSED", r["detail"])
                for r in rows
            ],
            headers=("figure", "value", "limit", "", "detail"),
            tablefmt="github",
        )
    )  # fmt: skip
    return 0 if all(row["ok"] for row in rows) else 1


sys.exit(main())
