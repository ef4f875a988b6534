"""Compare a training of the built-in model with the shipped weights, by their training cards.

    python -m benchmarks.weights .weights/builtin/finetuned

Exits with 1 if their held-out figures differ by more than the tolerance, with 2 if a card is
missing. To ship the new weights, copy their folder over
``jobsearch/models/weights/builtin/finetuned``.
"""

import sys
from pathlib import Path

from tabulate import tabulate

from jobsearch.models.catalog import SHIPPED, read_card

# Another machine adds in another order, and training amplifies the difference.
TOLERANCE = 0.02


def main(folder: Path) -> int:
    shipped, trained = read_card(SHIPPED / "builtin" / "finetuned"), read_card(folder)
    if not shipped or not trained:
        print(f"no training.json in {folder} or in {SHIPPED}: train again", file=sys.stderr)
        return 2
    rows = []
    for known in ("known", "unknown"):
        for measure in ("mrr", "map"):
            old, new = (card["chosen"][known][measure] for card in (shipped, trained))
            rows += [
                (measure.upper(), pair, known, old[pair], new[pair], abs(old[pair] - new[pair]))
                for pair in old
            ]
    headers = ("measure", "pair", "to the anchors", "shipped", "trained", "difference")
    print(tabulate(rows, headers=headers, floatfmt=".3f"))
    for name in ("alpha", "k", "strength"):
        print(f"{name}: {shipped['chosen'][name]:g} ships, {trained['chosen'][name]:g} trained")
    worst = max(row[-1] for row in rows)
    print(f"largest difference {worst:.3f}, at most {TOLERANCE:g}")
    return worst > TOLERANCE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
