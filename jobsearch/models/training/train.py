"""Fine-tunes a model, tests it on held-out concepts, and publishes it if it has improved.

A published model comes with a card: ``README.md`` for people and ``training.json`` for programs.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from sentence_transformers import SentenceTransformer
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from jobsearch import __version__
from jobsearch.errors import TrainingError
from jobsearch.models.catalog import CARD_FILE, finetuned_path, load_encoder, publish_directory
from jobsearch.models.encoder import Encoder, memory_errors
from jobsearch.models.modules import ConceptAnchors
from jobsearch.models.training.choose import (
    Candidate,
    anchor_candidates,
    best,
    interpolate,
    mean_vectors,
    weights_candidates,
)
from jobsearch.models.training.fit import fit, trained_weights, training_texts
from jobsearch.models.training.pairs import Recipe
from jobsearch.models.training.probe import Embed, HeldOutProbe, ProbeScore
from jobsearch.models.training.titles import TrainingTitles, held_out_concepts
from jobsearch.models.training.trainee import Trainee, round_to_half, trainee_for
from jobsearch.types import EncoderInfo
from jobsearch.vectors import Vectors

# Number of texts in one pass through the network, when it is tested.
_EMBED_BATCH_SIZE = 256
_TABLE_LEGEND = """\
`en-de`: English queries, German titles. In the column "fine-tuned", the anchors also know other
titles of the held-out concepts; in "unknown to anchors", they know none."""
_LIMITS = """\
- The scores come from titles of one taxonomy. Measure on your own titles before you rely on them.
- The weights were chosen on the held-out concepts, so the scores are slightly optimistic.
- Only the languages above were tested. Measure any other language before you rely on it.
- Anchors help most for the concepts that they were made from; titles of other occupations gain
  less (column "unknown to anchors")."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """The result of a training.

    Args:
        model: short name of the model.
        recipe: how it was trained.
        before: score of the pretrained model on the held-out concepts.
        epochs: mean training loss and score after each epoch of this run; a resumed run does not
            repeat the earlier epochs.
        candidates: all choices of weights and anchors that were scored.
        chosen: the published choice; None if none passed, and nothing was published.
        path: folder of the published variant; None if nothing was published.
        concepts, titles, held_out: numbers of concepts, titles and held-out concepts.
        seconds: duration of the training.
    """

    model: str
    recipe: Recipe
    before: ProbeScore
    epochs: tuple[tuple[float, ProbeScore], ...]
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    path: Path | None
    concepts: int
    titles: int
    held_out: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "recipe": self.recipe.as_dict(),
            "concepts": self.concepts,
            "titles": self.titles,
            "held_out": self.held_out,
            "before": self.before.as_dict(),
            "epochs": [{"loss": loss, "score": s.as_dict()} for loss, s in self.epochs],
            "candidates": [candidate.as_dict() for candidate in self.candidates],
            "chosen": self.chosen.as_dict() if self.chosen else None,
            "path": str(self.path) if self.path else None,
            "seconds": self.seconds,
        }


def train(
    model: str,
    titles: TrainingTitles,
    recipe: Recipe,
    *,
    models_dir: Path,
    watched: TrainingTitles | None = None,
    data: Sequence[Mapping[str, str]] = (),
    resume: bool = False,
    replace: bool = False,
    progress: bool = False,
) -> TrainingReport:
    """Fine-tune a model and publish the result as its ``finetuned`` variant.

    About a tenth of the concepts, whole ISCO unit groups, are held out in every language. The
    pretrained model, the trained model and weights between the two are scored on them. The weights
    with the best mean over all pairs of languages are published, if no pair falls below the
    pretrained model by more than 0.005 in MRR or MAP; otherwise nothing is published. The folder
    gets its final name only when it is complete.

    Args:
        model: short name, directory or Hugging Face id.
        titles: the titles to train on; a part is held out.
        recipe: how the model is trained.
        models_dir: the variant is written to ``<models_dir>/<model>/finetuned``.
        watched: titles in languages that are not trained on, and in training languages to pair them
            with. The mean over the pairs with such a language may not fall by more than 0.005.
        data: descriptions of the data (source, version, sha256 and so on) for the model's card.
        resume: continue an interrupted training of the same recipe.
        replace: replace an existing variant, which is kept as ``finetuned.previous``.
        progress: draw bars on the standard error, if that is a terminal.

    Returns:
        The report; its ``chosen`` is None if nothing was published.

    Raises:
        TrainingError: a variant exists and ``replace`` is False, another training of the model is
            running, there are too few titles, or not enough memory or disk space.
        InvalidInput: the recipe does not fit the model.
        ModelError: the model cannot be loaded, or there is not enough memory for it.
    """
    started = time.perf_counter()
    final = finetuned_path(model, models_dir)
    if final.exists() and not replace:
        raise TrainingError(
            f"{final} exists: `replace=True` replaces it and keeps it as {final.name}.previous"
        )
    with _training_lock(final), _working_folder(final, resume=resume) as working:
        encoder = load_encoder(model, "pretrained", models_dir)
        run = _prepare(encoder, titles, recipe, watched, progress=progress)
        untrained = _copy_of_weights(run.trainee.network)
        epochs = _fit(run, encoder.info, working / "checkpoints", resume=resume, progress=progress)
        choice = _choose(run, untrained)
        report = TrainingReport(
            model=encoder.info.model, recipe=recipe, before=run.before, epochs=epochs,
            candidates=choice.candidates, chosen=choice.best, path=final if choice.best else None,
            concepts=len(titles.concepts), titles=len(titles), held_out=len(run.held_out),
            seconds=time.perf_counter() - started,
        )  # fmt: skip
        if choice.best:
            network = run.trainee.finish()
            if choice.anchors is not None:
                network = SentenceTransformer(modules=[*network, choice.anchors])
            _publish(network, working / "finetuned", final, report, data, encoder.info.model_id)
        return report


@dataclass(frozen=True, slots=True)
class _Run:
    """A prepared training.

    Args:
        trainee: the network in training.
        recipe: how it is trained.
        titles: all titles, also of the held-out concepts.
        held_out: ids of the held-out concepts.
        probe: scores embeddings on the held-out concepts.
        embed: embeds texts with the current weights of the network.
        before: score of the pretrained model.
    """

    trainee: Trainee
    recipe: Recipe
    titles: TrainingTitles
    held_out: frozenset[str]
    probe: HeldOutProbe
    embed: Embed
    before: ProbeScore


@dataclass(frozen=True, slots=True)
class _Choice:
    """All candidates that were scored, and the best one with its anchors, if any."""

    candidates: tuple[Candidate, ...]
    best: Candidate | None
    anchors: ConceptAnchors | None


def _prepare(
    encoder: Encoder,
    titles: TrainingTitles,
    recipe: Recipe,
    watched: TrainingTitles | None,
    *,
    progress: bool,
) -> _Run:
    """Hold out concepts, prepare the network, and score the pretrained model."""
    held_out = held_out_concepts(titles, recipe.held_out, recipe.seed)
    probe = HeldOutProbe(titles, held_out, recipe.seed, watched)
    if not probe.pairs:
        raise TrainingError(
            f"{len(titles.concepts):,} concepts in {', '.join(titles.languages)} are too few to "
            "hold some out and test on them: give more titles"
        )
    learned = training_texts(titles.without(held_out))
    texts = list(dict.fromkeys([*learned, *titles.texts, *probe.texts]))
    with tqdm(
        total=len(texts), desc="read", unit=" titles", disable=None if progress else True
    ) as bar:
        trainee = trainee_for(encoder.network, recipe, texts, bar.update)
    embed = _embedding(trainee.network, encoder.info.model)
    return _Run(trainee, recipe, titles, held_out, probe, embed, before=probe.score(embed))


def _fit(
    run: _Run, info: EncoderInfo, checkpoints: Path, *, resume: bool, progress: bool
) -> tuple[tuple[float, ProbeScore], ...]:
    """Train the network; returns the mean training loss and the score after each epoch."""
    epochs: list[tuple[float, ProbeScore]] = []

    def epoch_ended(epoch: int, loss: float) -> None:
        score = run.probe.score(run.embed)
        epochs.append((loss, score))
        if progress:
            tqdm.write(
                f"epoch {epoch}: loss {loss:.3f}, held-out mean {score.mean:.3f} "
                f"(pretrained {run.before.mean:.3f})",
                file=sys.stderr,
            )

    prompts = {"first": info.query_prompt, "second": info.document_prompt}
    fit(
        run.trainee.network, run.titles.without(run.held_out), run.recipe,
        checkpoints=checkpoints, resume=resume, progress=progress,
        prompts={column: prompt for column, prompt in prompts.items() if prompt},
        epoch_ended=epoch_ended,
    )  # fmt: skip
    run.trainee.network.eval()
    return tuple(epochs)


def _choose(run: _Run, untrained: Mapping[str, Tensor]) -> _Choice:
    """Choose weights and anchors on the held-out concepts; the network keeps the chosen weights."""
    network, probe, embed = run.trainee.network, run.probe, run.embed
    after = _copy_of_weights(network)
    candidates = weights_candidates(network, untrained, after, probe, embed)
    chosen = best(candidates, run.before)
    if chosen is None:
        return _Choice(tuple(candidates), None, None)
    interpolate(network, untrained, after, chosen.alpha)
    round_to_half(network)
    anchors = None
    if run.recipe.anchors:
        titles = run.titles
        with_anchors = anchor_candidates(chosen.alpha, titles, run.held_out, probe, embed)
        candidates += with_anchors
        chosen = best([chosen, *with_anchors], run.before) or chosen
        if chosen.k:
            # The published anchors are made from all concepts, the held-out ones included.
            means = mean_vectors(embed(titles.texts), titles, np.arange(len(titles)))
            anchors = ConceptAnchors(means, k=chosen.k, strength=chosen.strength)
    return _Choice(tuple(candidates), chosen, anchors)


def _copy_of_weights(network: SentenceTransformer) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in trained_weights(network).items()}


def _embedding(network: SentenceTransformer, model: str) -> Embed:
    def embed(texts: Sequence[str]) -> Vectors:
        with memory_errors(model):
            vectors = network.encode_document(
                list(texts),
                batch_size=_EMBED_BATCH_SIZE,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    return embed


def _publish(
    network: SentenceTransformer,
    built: Path,
    final: Path,
    report: TrainingReport,
    data: Sequence[Mapping[str, str]],
    base: str,
) -> None:
    """Write the model and its card to ``built``, then rename the folder to ``final``."""
    shutil.rmtree(built, ignore_errors=True)
    try:
        network.save_pretrained(str(built), create_model_card=False)
        _write_card(built, report.as_dict(), data, base)
        publish_directory(built, final)
    except OSError as error:
        raise TrainingError(
            f"the model could not be written to {final.parent}: {error.strerror or error}; make "
            "room, then continue with `resume=True`"
        ) from error


@contextmanager
def _training_lock(final: Path) -> Iterator[None]:
    """Allow one training of a model at a time."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(final.with_name("training.lock"), timeout=0)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"another training for {final} is running: wait for its end, or give another "
            "`models_dir`"
        ) from error
    except OSError as error:
        raise TrainingError(
            f"{final.parent} cannot be written: {error.strerror or error}; give `models_dir` a "
            "folder that you can write to"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _working_folder(final: Path, *, resume: bool) -> Iterator[Path]:
    """The folder for checkpoints; it is kept if the training does not finish, to be resumed."""
    working = final.with_name("training")
    if not resume:
        shutil.rmtree(working, ignore_errors=True)
    working.mkdir(exist_ok=True)
    yield working
    shutil.rmtree(working, ignore_errors=True)


def _write_card(
    folder: Path, report: Mapping[str, Any], data: Sequence[Mapping[str, str]], base: str
) -> None:
    """Write ``training.json`` and ``README.md`` into the model's folder.

    Args:
        folder: folder of the model.
        report: the report of the training as plain data.
        data: name, version, checksum and licence of each part of the training data.
        base: the pretrained model.
    """
    record = {"base": base, "made_by": f"jobsearch {__version__}", "data": list(data), **report}
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(record), encoding="utf-8")


def _readme(record: Mapping[str, Any]) -> str:
    chosen = record["chosen"]
    anchors = (
        f"{record['concepts']:,} concepts, k {chosen['k']}, strength {chosen['strength']}"
        if chosen["k"]
        else "none"
    )
    sources = "\n".join(
        "- " + ", ".join(f"{name} {value}" for name, value in source.items() if value)
        for source in record["data"]
    )
    settings = "\n".join(f"- {name}: {value}" for name, value in record["recipe"].items())
    return f"""\
# {record["model"]}, fine-tuned for job titles

Base model: {record["base"]}. Made by {record["made_by"]}.
Weights: {chosen["alpha"]:.0%} of the way from the pretrained to the trained weights.
Concept anchors: {anchors}.

## MRR on {record["held_out"]:,} concepts held out from training

{_scores(record)}

## Data

{record["titles"]:,} titles of {record["concepts"]:,} concepts.

{sources}

## Recipe

{settings}

## Limits

{_LIMITS}
"""


def _scores(record: Mapping[str, Any]) -> str:
    """The table of MRR by pair of languages, and a line for each watched language."""
    before, known, unknown = (
        record["before"],
        record["chosen"]["known"],
        record["chosen"]["unknown"],
    )
    table = tabulate(
        [
            (pair, before["mrr"][pair], mrr, unknown["mrr"][pair])
            for pair, mrr in known["mrr"].items()
        ],
        headers=("pair", "pretrained", "fine-tuned", "unknown to anchors"),
        tablefmt="github",
        floatfmt=".3f",
    )
    watched = "".join(
        f"\n\nNo titles in {language} were trained on. Mean of MRR and MAP over all pairs with "
        f"{language}: {score:.3f} pretrained, {known['watched'][language]:.3f} fine-tuned."
        for language, score in before["watched"].items()
    )
    return f"{_TABLE_LEGEND}\n\n{table}{watched}"
