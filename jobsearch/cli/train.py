"""``jobsearch train``: fine-tunes a model and publishes the result if it helps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobsearch.api import Jobs
from jobsearch.cli.options import LANGUAGES, Place, as_json, model, models_dir
from jobsearch.cli.output import bars_wanted, note, print_json, print_table, print_text
from jobsearch.errors import TrainingError
from jobsearch.settings import Settings

if TYPE_CHECKING:
    from jobsearch.models.training.pairs import TrainedPart
    from jobsearch.models.training.train import TrainingReport


@click.command()
@click.argument("path", type=Place())
@click.option("--languages", type=LANGUAGES, help="All that the export has if left out.")
@model
@models_dir
@click.option(
    "--recipe",
    type=click.Choice(["aligned", "paper"]),
    default="aligned",
    show_default=True,
    help="`paper`: the fine-tuning of DS@GT at TalentCLEF 2025, to compare with.",
)
@click.option(
    "--train",
    "train_",
    type=click.Choice(["head", "all", "adapter"]),
    help="What is trained: what follows the token sum (builtin only, its default), every weight "
    "(the default elsewhere), or low-rank adapters.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Times that every title is drawn.")
@click.option("--batch-size", type=click.IntRange(min=2), help="Pairs told apart at once.")
@click.option(
    "--mini-batch-size",
    type=click.IntRange(min=1),
    help="Titles that pass the network at once: less memory, the same outcome.",
)
@click.option(
    "--gradient-checkpointing",
    is_flag=True,
    default=None,
    help="Compute activations twice instead of keeping them (transformers): less memory, the same "
    "outcome, more time.",
)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Highest value.")
@click.option("--anchors", type=click.Choice(["on", "off"]), help="Concept anchors may be added.")
@click.option("--seed", type=int, help="Of held-out concepts, pairs and optimiser.  [default: 0]")
@click.option("--resume", is_flag=True, help="Go on with a training that was broken off.")
@click.option(
    "--replace", is_flag=True, help="Keep an earlier fine-tuned variant as finetuned.previous."
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
    """Fine-tune a model on the titles of a taxonomy, and publish it if it helps.

    PATH is the folder or zip of an ESCO export or of TalentCLEF training pairs, or `sample`. A
    tenth of the occupations is held out; the best weights between the pretrained and the trained
    ones become the `finetuned` variant, unless a pair of languages would lose by it: then nothing
    is published, and the exit code is 1.
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
            "nothing was published: every choice of weights loses on some pair of languages; the "
            "model stays as it was. Try more titles, another recipe, or a lower --learning-rate"
        )


def _print(report: "TrainingReport") -> None:
    shown = report.chosen or report.candidates[-1]
    print_table(
        [
            (pair, *(f"{x:.3f}" for x in (was, shown.known.mrr[pair], shown.unknown.mrr[pair])))
            for pair, was in report.before.mrr.items()
        ],
        headers=("MRR, held-out", "pretrained", "fine-tuned", "unknown to anchors"),
    )
    for language, was in report.before.watched.items():
        print_text(
            f"{language}, not trained on, with all others: mean of MRR and MAP {was:.3f} "
            f"pretrained, {shown.known.watched[language]:.3f} fine-tuned"
        )
    if report.chosen:
        note(
            f"published {report.path}: alpha {report.chosen.alpha:g}, anchors k "
            f"{report.chosen.k}, strength {report.chosen.strength:g}; {report.seconds:.0f} s"
        )
