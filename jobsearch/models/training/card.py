"""The card of a fine-tuned model: what it was made of, how, and what it reaches."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from jobsearch import __version__
from jobsearch.models.library import CARD_FILE

_LIMITS = """\
- The figures come from titles of one taxonomy. Measure on titles of your own before relying on it.
- The weights were chosen on the held-out concepts, so their figures are a little too good.
- Only the languages above were looked at: measure in any other before relying on it.
- Anchors know the concepts they were made of: titles of other occupations gain less from them
  (the column "unknown to anchors")."""


def write_card(
    folder: Path, report: Mapping[str, Any], data: Sequence[Mapping[str, str]], base: str
) -> None:
    """Write ``training.json`` and ``README.md`` into the model's folder.

    Args:
        folder: of the model.
        report: of the training, as plain data.
        data: name, version, checksum and licence of what it was trained on.
        base: the pretrained model.
    """
    record = {"base": base, "made_by": f"jobsearch {__version__}", "data": list(data), **report}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readable(record), encoding="utf-8")


def _readable(record: Mapping[str, Any]) -> str:
    chosen, before = record["chosen"], record["before"]
    rows = [
        (pair, before["mrr"][pair], known, chosen["unknown"]["mrr"][pair])
        for pair, known in chosen["known"]["mrr"].items()
    ]
    figures = tabulate(
        rows,
        headers=("pair", "pretrained", "fine-tuned", "unknown to anchors"),
        tablefmt="github",
        floatfmt=".3f",
    )
    sources = "\n".join(
        "- " + ", ".join(f"{name} {value}" for name, value in source.items() if value)
        for source in record["data"]
    )
    watched = "\n".join(
        f"\n{language}, not trained on, with all others: mean of MRR and MAP {was:.3f} pretrained, "
        f"{chosen['known']['watched'][language]:.3f} fine-tuned."
        for language, was in before["watched"].items()
    )
    settings = "\n".join(f"- {name}: {value}" for name, value in record["recipe"].items())
    anchors = (
        f"anchors of {record['concepts']:,} concepts, k {chosen['k']}, strength "
        f"{chosen['strength']}"
        if chosen["k"]
        else "no anchors"
    )
    return f"""\
# {record["model"]}, fine-tuned for job titles

Base model: {record["base"]}. Made by {record["made_by"]}.
Published: {chosen["alpha"]:.0%} of the way from the pretrained to the trained weights, {anchors}.

## MRR on {record["held_out"]:,} concepts held out from training

{figures}
{watched}

## Data

{record["titles"]:,} titles of {record["concepts"]:,} concepts.

{sources}

## Recipe

{settings}

## Limits

{_LIMITS}
"""
