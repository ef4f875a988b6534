"""How much the case of a query matters: MRR on the TalentCLEF validation sets.

python -m benchmarks.case
"""

import tempfile
from dataclasses import replace

from tabulate import tabulate

from benchmarks.common import TALENTCLEF
from eval.benchmarks.talentclef import load_talentclef
from eval.run import evaluate
from eval.systems import VectorSearch
from jobsearch.models import load_encoder
from jobsearch.store import open_store

CASES = {"lower case": str.lower, "CAPITALS": str.upper, "Title Case": str.title}

if __name__ == "__main__":
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        for variant in ("pretrained", "finetuned"):
            system = VectorSearch(store, load_encoder("builtin", variant))
            for benchmark in load_talentclef(TALENTCLEF):
                found = []
                for change in CASES.values():
                    asked = {q_id: change(title) for q_id, title in benchmark.queries.items()}
                    cell = evaluate(replace(benchmark, queries=asked), system, language_check=False)
                    found.append(cell.metrics["MRR"])
                rows.append((variant, benchmark.pair, *found))
    print(tabulate(rows, ("variant", "pair", *CASES), floatfmt=".4f", tablefmt="github"))
