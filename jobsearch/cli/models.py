"""``jobsearch models``: lists, shows, adds and removes models, and plots translations."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.cli.options import FOLDER_OR_NAME, LANGUAGES, Place, as_json, model, models_dir
from jobsearch.cli.output import note, print_json, print_table, print_text
from jobsearch.settings import DEFAULT_MODEL
from jobsearch.text import escape_control_lines

if TYPE_CHECKING:
    from eval.translations import Panel

_SAMPLE = Path("sample")


@click.group()
def models() -> None:
    """List and show models; add and remove fine-tuned variants; plot translations."""


@models.command("list")
@models_dir
@as_json
def list_models(models_dir: Path, json_: bool) -> None:
    """List the models with a short name, and their variants."""
    from jobsearch.models import known_models

    entries = known_models(models_dir)
    if json_:
        print_json({"models": [entry.as_dict() for entry in entries]})
        return
    print_table(
        [(e.name, ", ".join(e.variants), e.description) for e in entries],
        headers=("model", "variants", "description"),
    )


@models.command()
@click.argument("name", type=FOLDER_OR_NAME, metavar="[MODEL]", default=DEFAULT_MODEL)
@models_dir
@as_json
def show(name: str, models_dir: Path, json_: bool) -> None:
    """Show the properties of each variant of a model, and the card of the fine-tuned one.

    MODEL is builtin if left out. The properties identify the vectors: they are stored with a
    collection and compared whenever the collection is opened.
    """
    from jobsearch.errors import ModelNotDownloaded
    from jobsearch.models import find_model, load_encoder
    from jobsearch.models.catalog import read_card

    entry = find_model(name, models_dir)
    variants: dict[str, dict[str, Any] | None] = {}
    for variant in entry.variants:
        try:
            info = load_encoder(name, variant, models_dir).info
            variants[variant] = {**info.as_dict(), "fingerprint": info.fingerprint}
        except ModelNotDownloaded as error:
            note(str(error))
            variants[variant] = None
    card = read_card(entry.finetuned) if entry.finetuned else None
    if json_:
        print_json({**entry.as_dict(), "variants": variants, "card": card})
        return
    print_table(
        [("model", entry.name), ("description", entry.description), ("pretrained", entry.origin),
         ("finetuned", str(entry.finetuned or "none: see `jobsearch train`"))],
        headers=("", ""),
    )  # fmt: skip
    loaded = {variant: info for variant, info in variants.items() if info}
    keys = next(iter(loaded.values()), {})
    print_table(
        [(key, *(info[key] for info in loaded.values())) for key in keys],
        headers=("", *loaded),
    )
    readme = entry.finetuned / "README.md" if entry.finetuned else None
    if readme and readme.exists():
        # The file may come from somebody else.
        text = readme.read_text(encoding="utf-8", errors="replace").rstrip()
        print_text("\n" + escape_control_lines(text))


@models.command()
@click.argument("directory", type=Place(exists=True, file_okay=False))
@click.option(
    "--of",
    "model",
    type=FOLDER_OR_NAME,
    metavar="MODEL",
    help="Model that it is a variant of; the model named in its card if left out.",
)
@click.option(
    "--replace", is_flag=True, help="Replace an earlier variant; it is kept as finetuned.previous."
)
@models_dir
@as_json
def add(directory: Path, model: str | None, replace: bool, models_dir: Path, json_: bool) -> None:
    """Add a SentenceTransformer DIRECTORY as the fine-tuned variant of a model.

    DIRECTORY was written by `jobsearch train` or by sentence-transformers. It is copied into the
    models directory. Models with Python code of their own are refused.
    """
    from jobsearch.models.catalog import add_finetuned

    path = add_finetuned(directory, models_dir, model=model, replace=replace)
    _print_change("added", path, f"added {path}", json_=json_)


@models.command()
@click.argument("name", type=FOLDER_OR_NAME, metavar="MODEL")
@models_dir
@as_json
def remove(name: str, models_dir: Path, json_: bool) -> None:
    """Remove the fine-tuned variant of MODEL from the models directory.

    The variant is kept as finetuned.previous, and its collections stay in the store. The variant
    of builtin that ships with jobsearch cannot be removed; it is used if the models directory has
    no other.
    """
    from jobsearch.models.catalog import remove_finetuned

    kept = remove_finetuned(name, models_dir)
    _print_change(
        "kept", kept, f"removed; to undo it: jobsearch models add {kept} --of {name}",
        json_=json_,
    )  # fmt: skip


def _print_change(key: str, path: Path, message: str, *, json_: bool) -> None:
    if json_:
        print_json({key: str(path)})
    else:
        note(message)


@models.command()
@click.argument("path", type=Place(), default=_SAMPLE)
@click.option(
    "--output",
    required=True,
    multiple=True,
    type=Place(),
    metavar="FILE",
    help="Figure to write, .png or .svg; may be repeated.",
)
@click.option(
    "--languages",
    type=LANGUAGES,
    default="en,es,de",
    show_default=True,
    help="Two to seven languages.",
)
@click.option(
    "--concepts",
    type=click.IntRange(min=2),
    default=40,
    show_default=True,
    help="Number of occupations to draw; the mean cosines are of all occupations.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="For choosing the occupations."
)
@model
@models_dir
@as_json
def plot(
    path: Path,
    output: tuple[Path, ...],
    languages: tuple[str, ...],
    concepts: int,
    seed: int,
    model: str,
    models_dir: Path,
    json_: bool,
) -> None:
    """Plot the titles of occupations in several languages, for every variant of a model.

    PATH is the folder or zip of an ESCO export; the sample that ships with jobsearch if left out.
    Also prints the mean cosine of translations, of random pairs, and their difference (higher is
    better).
    """
    from eval.translation_plot import check_outputs, draw_translations, write_figure
    from eval.translations import choose_concepts, compare_translations, read_labels
    from ingest.sources import EscoSource, SampleSource
    from jobsearch.models import find_model, load_encoder

    check_outputs(output, languages)
    source = SampleSource() if path == _SAMPLE else EscoSource(path)
    labels = read_labels(source, languages)
    chosen = choose_concepts(labels, concepts, seed)
    panels = []
    for variant in find_model(model, models_dir).variants:
        note(f"encoding with {model} {variant}")
        encoder = load_encoder(model, variant, models_dir)
        panels.append(compare_translations(labels, chosen, encoder))
    figure = draw_translations(panels, labels, chosen)
    for file in output:
        write_figure(figure, file)
    _print_cosines(panels, len(chosen), output, json_=json_)


def _print_cosines(
    panels: "list[Panel]", concepts: int, files: tuple[Path, ...], *, json_: bool
) -> None:
    """Print a row per variant and pair of languages."""
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
