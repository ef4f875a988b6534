"""``jobsearch models``: which models and variants there are."""

from dataclasses import asdict
from pathlib import Path

import click

from jobsearch.cli.options import as_json, models_dir
from jobsearch.cli.output import print_json, print_table


@click.group()
def models() -> None:
    """Look at models and their variants."""


@models.command("list")
@models_dir
@as_json
def list_models(models_dir: Path, json_: bool) -> None:
    """List the models that have a short name, and the variants of each."""
    from jobsearch.models import known_models

    entries = known_models(models_dir)
    if json_:
        print_json({"models": [asdict(entry) for entry in entries]})
        return
    print_table(
        [(e.name, ", ".join(e.variants), e.description) for e in entries],
        headers=("model", "variants", "description"),
    )
