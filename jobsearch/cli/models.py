"""``jobsearch models``: which models and variants there are, and what they make of translations."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobsearch.cli.options import LANGUAGES, as_json, model, models_dir
from jobsearch.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from eval.translations import Panel

_SAMPLE = Path("sample")


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


@models.command()
@click.argument("path", type=click.Path(path_type=Path), default=_SAMPLE)
@click.option(
    "--output",
    "outputs",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Figure to write, .png or .svg; give it twice for both.",
)
@click.option(
    "--languages",
    type=LANGUAGES,
    default="en,es,de",
    show_default=True,
    help="Two or more, one colour each.",
)
@click.option(
    "--concepts",
    type=click.IntRange(min=2),
    default=40,
    show_default=True,
    help="Number of occupations to draw; the cosines are over all of them.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of concepts.")
@model
@models_dir
@as_json
def plot(
    path: Path,
    outputs: tuple[Path, ...],
    languages: tuple[str, ...],
    concepts: int,
    seed: int,
    model: str,
    models_dir: Path,
    json_: bool,
) -> None:
    """Draw how near translations lie, in every variant of a model.

    PATH is the folder or zip of an ESCO export; if left out, or `sample`, the sample that ships
    with jobsearch. Prints the mean cosine of translations, of random pairs, and their difference,
    of which higher is better.
    """
    from eval.translation_plot import check_outputs, draw_translations, write_figure
    from eval.translations import choose_concepts, compare_translations, read_labels
    from ingest.sources import EscoSource, SampleSource
    from jobsearch.models import find_model, load_encoder

    check_outputs(outputs, languages)
    source = SampleSource() if path == _SAMPLE else EscoSource(path)
    labels = read_labels(source, languages)
    chosen = choose_concepts(labels, concepts, seed)
    panels = []
    for variant in find_model(model, models_dir).variants:
        note(f"encoding with {model} {variant}")
        encoder = load_encoder(model, variant, models_dir)
        panels.append(compare_translations(labels, chosen, encoder))
    figure = draw_translations(panels, labels, chosen)
    for output in outputs:
        write_figure(figure, output)
    _print_cosines(panels, len(chosen), outputs, json_=json_)


def _print_cosines(
    panels: "list[Panel]", concepts: int, files: tuple[Path, ...], *, json_: bool
) -> None:
    """One row a variant and pair of languages."""
    if json_:
        print_json(
            {
                "model": panels[0].model,
                "concepts": concepts,
                "variants": [panel.as_dict() for panel in panels],
                "files": [str(file) for file in files],
            }
        )
        return
    print_table(
        [
            (
                panel.variant,
                pair.pair,
                f"{pair.concepts:,}",
                *(f"{c:.3f}" for c in (pair.translations, pair.random, pair.difference)),
            )
            for panel in panels
            for pair in panel.pairs
        ],
        headers=("variant", "pair", "concepts", "translations", "random pairs", "difference"),
    )
    note(f"the figure is in {', '.join(map(str, files))}")
