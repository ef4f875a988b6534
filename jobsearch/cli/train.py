"""``jobsearch train``: fine-tunes a model and publishes the result if it is better."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.api import Jobs
from jobsearch.cli.options import LANGUAGES, Number, Place, as_json, model, models_dir
from jobsearch.cli.output import bars_wanted, note, print_json, print_table, print_text
from jobsearch.errors import TrainingError
from jobsearch.settings import Settings

if TYPE_CHECKING:
    from jobsearch.models.training.pairs import TrainedPart
    from jobsearch.models.training.train import TrainingReport


@click.command()
@click.argument("path", type=Place())
@click.option(
    "--languages",
    type=LANGUAGES,
    help="Languages to train on; all languages of the data if left out.",
)
@model
@models_dir
@click.option(
    "--recipe",
    type=click.Choice(["aligned", "paper"]),
    default="aligned",
    show_default=True,
    help="`paper` repeats the fine-tuning of DS@GT at TalentCLEF 2025, for comparison.",
)
@click.option(
    "--train",
    "train_",
    type=click.Choice(["head", "all", "adapter"]),
    help="Weights to train. `head`: the layers after the token sum (builtin only, its default); "
    "`all`: every weight (the default of other models); `adapter`: low-rank adapters (LoRA).",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Number of passes over the titles.")
@click.option("--batch-size", type=click.IntRange(min=2), help="Pairs per step.")
@click.option(
    "--mini-batch-size",
    type=click.IntRange(min=1),
    help="Titles per forward pass; fewer need less memory, and the result is the same.",
)
@click.option(
    "--gradient-checkpointing",
    is_flag=True,
    default=None,
    help="Recompute activations instead of keeping them (transformers only): less memory, more "
    "time, the same result.",
)
@click.option("--learning-rate", type=Number(min=0, min_open=True), help="Highest learning rate.")
@click.option(
    "--anchors", type=click.Choice(["on", "off"]), help="Whether concept anchors may be added."
)
@click.option("--seed", type=int, help="For held-out concepts, pairs and training.  [default: 0]")
@click.option("--resume", is_flag=True, help="Continue an interrupted training.")
@click.option(
    "--replace", is_flag=True, help="Replace an earlier variant; it is kept as finetuned.previous."
)
@as_json
def train(
    path: Path,
    languages: tuple[str, ...] | None,
    model: str,
    models_dir: Path,
    recipe: str,
    train_: "TrainedPart | None",
    anchors: str | None,
    resume: bool,
    replace: bool,
    json_: bool,
    **changes: Any,
) -> None:
    """Fine-tune a model on the titles of a taxonomy, and publish it if it is better.

    PATH is the folder or zip of an ESCO export or of TalentCLEF training pairs, or `sample`. A
    tenth of the occupations is held out to compare several mixtures of the pretrained and the
    trained weights. The best mixture becomes the `finetuned` variant. If every mixture is worse
    for some pair of languages, nothing is published, and the exit code is 1.

    Needs: pip install 'jobsearch[train]'
    """
    settings = Settings(model=model, models_dir=models_dir)
    jobs = Jobs(settings, notify=note, progress=not json_ and bars_wanted())
    report = jobs.train(
        path,
        languages=languages,
        recipe=recipe,
        train=train_,
        anchors=None if anchors is None else anchors == "on",
        resume=resume,
        replace=replace,
        **changes,
    )
    if json_:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.chosen is None:
        raise TrainingError(
            "nothing was published: every mixture of weights is worse for some pair of languages; "
            "the model is unchanged. Try more titles, another recipe, or a lower --learning-rate"
        )


def _print(report: "TrainingReport") -> None:
    shown = report.chosen or report.candidates[-1]
    print_table(
        [
            (pair, *(f"{x:.3f}" for x in (mrr, shown.known.mrr[pair], shown.unknown.mrr[pair])))
            for pair, mrr in report.before.mrr.items()
        ],
        headers=("MRR, held-out", "pretrained", "fine-tuned", "unknown to anchors"),
    )
    for language, pretrained in report.before.watched.items():
        print_text(
            f"{language}, not trained on, with all others: mean of MRR and MAP {pretrained:.3f} "
            f"pretrained, {shown.known.watched[language]:.3f} fine-tuned"
        )
    if report.chosen:
        note(
            f"published {report.path}: alpha {report.chosen.alpha:g}, anchors k "
            f"{report.chosen.k}, strength {report.chosen.strength:g}; {report.seconds:.0f} s"
        )
