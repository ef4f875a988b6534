"""``jobsearch models``: which models and variants there are."""

from dataclasses import asdict
from pathlib import Path

import click

from jobsearch.cli.options import as_json
from jobsearch.cli.output import print_json, print_table
from jobsearch.settings import DEFAULT_MODELS_DIR


@click.group()
def models() -> None:
    """Look at models and their variants."""


@models.command("list")
@click.option(
    "--models-dir",
    envvar="JOBSEARCH_MODELS",
    show_envvar=True,
    type=click.Path(path_type=Path),
    default=DEFAULT_MODELS_DIR,
    show_default=True,
    help="Folder with fine-tuned variants.",
)
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
