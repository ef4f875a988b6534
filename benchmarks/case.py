"""Effect of the case of queries: MRR on the TalentCLEF validation sets.

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
                values = []
                for change in CASES.values():
                    queries = {q_id: change(title) for q_id, title in benchmark.queries.items()}
                    changed = replace(benchmark, queries=queries)
                    cell = evaluate(changed, system, language_check=False)
                    values.append(cell.metrics["MRR"])
                rows.append((variant, benchmark.pair, *values))
    print(tabulate(rows, ("variant", "pair", *CASES), floatfmt=".4f", tablefmt="github"))
