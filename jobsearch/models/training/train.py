"""Fine-tunes a model, checks it on concepts it has not seen, and publishes it if it helps."""

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
from tqdm import tqdm

from jobsearch import __version__
from jobsearch.errors import TrainingError
from jobsearch.models.catalog import CARD_FILE, finetuned_path, load_encoder, publish_directory
from jobsearch.models.encoder import memory_errors
from jobsearch.models.modules import ConceptAnchors
from jobsearch.models.training.choose import (
    Candidate,
    anchor_candidates,
    best,
    interpolate,
    mean_vectors,
    weights_candidates,
)
from jobsearch.models.training.fit import fit, trained, training_texts
from jobsearch.models.training.pairs import Recipe
from jobsearch.models.training.probe import Embed, HeldOutProbe, ProbeScore
from jobsearch.models.training.titles import TrainingTitles, held_out_concepts
from jobsearch.models.training.trainee import round_to_half, trainee_for
from jobsearch.vectors import Vectors

_EMBED_BATCH = 256
_LIMITS = """\
- The figures come from titles of one taxonomy. Measure on titles of your own before relying on it.
- The weights were chosen on the held-out concepts, so their figures are a little too good.
- Only the languages above were looked at: measure in any other before relying on it.
- Anchors know the concepts they were made of: titles of other occupations gain less from them
  (the column "unknown to anchors")."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training did.

    Args:
        model: its short name.
        recipe: how it was trained.
        before: the pretrained model on the held-out concepts.
        epochs: mean training loss and score after each epoch.
        candidates: all that could have been published.
        chosen: what was, None if nothing was fit.
        path: where it was published.
        concepts, titles, held_out: number of concepts, of titles, and of concepts held out.
        seconds: of the whole training.
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
    pretrained and the trained model, and weights between the two, are scored on them by the same
    code; the best mean over all pairs of languages is published, if no pair falls below the
    pretrained model by more than 0.005 in MRR or MAP. Otherwise nothing is. The folder appears
    under its final name only when it is complete.

    Args:
        model: short name, directory or Hugging Face id.
        titles: to train on and to hold out from.
        recipe: how.
        models_dir: the variant is written to ``<models_dir>/<model>/finetuned``.
        watched: titles in languages that are not trained on, beside some that are: the mean over
            the pairs with such a language may not fall either.
        data: what the titles are (source, version, sha256 and so on), for the model's card.
        resume: go on with a training of the same recipe that was broken off.
        replace: put the result in the place of an earlier one, which becomes
            ``finetuned.previous``.
        progress: draw bars on the standard error, if that is a terminal.

    Returns:
        The report; its ``chosen`` is None if nothing was fit to be published.

    Raises:
        TrainingError: a variant is there already, another training of the model runs, there are
            too few titles, no memory or no room.
        ModelError: the model cannot be loaded, or there is not enough memory for it.
    """
    started = time.perf_counter()
    final = finetuned_path(model, models_dir)
    if final.exists() and not replace:
        raise TrainingError(f"{final} exists: use --replace to keep it as {final.name}.previous")
    with _only_training(final), _working_folder(final, resume=resume) as working:
        return _train(
            model, titles, recipe, models_dir, final, working, watched, data, started,
            resume=resume, progress=progress,
        )  # fmt: skip


def _train(
    model: str,
    titles: TrainingTitles,
    recipe: Recipe,
    models_dir: Path,
    final: Path,
    working: Path,
    watched: TrainingTitles | None,
    data: Sequence[Mapping[str, str]],
    started: float,
    *,
    resume: bool,
    progress: bool,
) -> TrainingReport:
    encoder = load_encoder(model, "pretrained", models_dir)
    held_out = held_out_concepts(titles, recipe.held_out, recipe.seed)
    learned = titles.without(held_out)
    probe = HeldOutProbe(titles, held_out, recipe.seed, watched)
    if not probe.pairs:
        raise TrainingError(
            f"{len(titles.concepts):,} concepts in {', '.join(titles.languages)} leave none to "
            "test on: give more titles, or training cannot tell whether it helps"
        )
    texts = list(dict.fromkeys([*training_texts(learned), *titles.texts, *probe.texts]))
    with tqdm(
        total=len(texts), desc="read", unit=" titles", disable=None if progress else True
    ) as bar:
        trainee = trainee_for(encoder.network, recipe, texts, bar.update)
    network = trainee.network
    embed = _embedding(network, model)
    before = probe.score(embed)
    untrained = {name: weight.detach().clone() for name, weight in trained(network).items()}
    epochs: list[tuple[float, ProbeScore]] = []

    def epoch_ended(epoch: int, loss: float) -> None:
        epochs.append((loss, probe.score(embed)))
        if progress:
            score = epochs[-1][1]
            tqdm.write(
                f"epoch {epoch}: loss {loss:.3f}, held-out mean {score.mean:.3f} "
                f"(pretrained {before.mean:.3f})",
                file=sys.stderr,
            )

    info = encoder.info
    prompts = {"first": info.query_prompt, "second": info.document_prompt}
    fit(
        network, learned, recipe,
        checkpoints=working / "checkpoints", resume=resume, progress=progress,
        prompts={column: prompt for column, prompt in prompts.items() if prompt},
        epoch_ended=epoch_ended,
    )  # fmt: skip
    network.eval()
    after = {name: weight.detach().clone() for name, weight in trained(network).items()}
    candidates = weights_candidates(network, untrained, after, probe, embed)
    chosen = best(candidates, before)
    anchors = None
    if chosen:
        interpolate(network, untrained, after, chosen.alpha)
        round_to_half(network)
        if recipe.anchors:
            pulled = anchor_candidates(chosen.alpha, titles, held_out, probe, embed)
            candidates += pulled
            chosen = best([chosen, *pulled], before) or chosen
            if chosen.k:
                means = mean_vectors(embed(titles.texts), titles, np.arange(len(titles)))
                anchors = ConceptAnchors(means, k=chosen.k, strength=chosen.strength)
    report = TrainingReport(
        model=info.model, recipe=recipe, before=before, epochs=tuple(epochs),
        candidates=tuple(candidates), chosen=chosen, path=final if chosen else None,
        concepts=len(titles.concepts), titles=len(titles), held_out=len(held_out),
        seconds=time.perf_counter() - started,
    )  # fmt: skip
    if chosen:
        whole = trainee.finish()
        if anchors is not None:
            whole = SentenceTransformer(modules=[*whole, anchors])
        _publish(whole, working / "finetuned", final, report, data, info.model_id)
    return report


def _embedding(network: SentenceTransformer, model: str) -> Embed:
    def embed(texts: Sequence[str]) -> Vectors:
        with memory_errors(model):
            vectors = network.encode_document(
                list(texts),
                batch_size=_EMBED_BATCH,
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
    shutil.rmtree(built, ignore_errors=True)
    try:
        network.save_pretrained(str(built), create_model_card=False)
        write_card(built, report.as_dict(), data, base)
        publish_directory(built, final)
    except OSError as error:
        raise TrainingError(
            f"the model could not be written to {final.parent}: {error.strerror or error}; make "
            "room, then go on with --resume"
        ) from error


@contextmanager
def _only_training(final: Path) -> Iterator[None]:
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(final.with_name("training.lock"), timeout=0)
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"another training for {final} is running: wait for it, or give another --models-dir"
        ) from error
    except OSError as error:
        raise TrainingError(
            f"{final.parent} cannot be written: {error.strerror or error}; give --models-dir a "
            "folder of your own"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _working_folder(final: Path, *, resume: bool) -> Iterator[Path]:
    """Where checkpoints lie; it stays behind if the training does not reach its end."""
    working = final.with_name("training")
    if not resume:
        shutil.rmtree(working, ignore_errors=True)
    working.mkdir(exist_ok=True)
    yield working
    shutil.rmtree(working, ignore_errors=True)


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
