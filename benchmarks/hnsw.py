"""Loss of Qdrant's approximate index (HNSW, default settings) on a MELO set, per quantisation.

    python -m benchmarks.hnsw

The embedded store scans collections of up to 50,000 points exactly and loses nothing; here it
builds the index nevertheless.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.common import MELO
from eval.benchmarks.melo import load_melo
from eval.run import evaluate
from eval.systems import VectorSearch
from eval.tables.diagnostics import tables_of_index_loss
from eval.tables.render import render
from jobsearch.models import load_encoder
from jobsearch.store.embedded.store import EmbeddedStore
from jobsearch.types import QUANTIZATIONS, VectorStorage

if __name__ == "__main__":
    [benchmark] = load_melo(MELO / "deu_q_de_c_en")
    with tempfile.TemporaryDirectory() as folder:
        for variant in ("pretrained", "finetuned"):
            encoder = load_encoder("builtin", variant)
            for quantization in QUANTIZATIONS:
                store = EmbeddedStore(Path(folder), exact_scan_max_points=0)
                system = VectorSearch(store, encoder, VectorStorage(quantization))
                cell = replace(evaluate(benchmark, system), index=system.measure_index(benchmark))
                print(f"quantization: {quantization}\n")
                print(render(tables_of_index_loss([cell]), "markdown"), "\n")
                store.close()
