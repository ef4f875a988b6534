"""Runs sentence-transformers' trainer on pairs of titles."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import (
    SentenceTransformerTrainingArguments,
)
from torch.utils.data import SequentialSampler
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from jobsearch.errors import TrainingError
from jobsearch.models.encoder import is_out_of_memory
from jobsearch.models.training.loss import AlignedLoss
from jobsearch.models.training.pairs import Recipe, draw_epoch
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.text import normalize_title

#: Called after each epoch with its number, from 1, and its mean training loss.
EpochEnded = Callable[[int, float], None]
# Weights in a checkpoint, and those of the epoch with the lowest training loss.
_WEIGHTS_FILE, _BEST_FILE = "trained.safetensors", "best.safetensors"


def fit(
    network: SentenceTransformer,
    titles: TrainingTitles,
    recipe: Recipe,
    *,
    checkpoints: Path,
    prompts: dict[str, str],
    resume: bool,
    progress: bool,
    epoch_ended: EpochEnded,
) -> None:
    """Train the parameters of ``network`` that require a gradient.

    The same titles, recipe and machine give the same weights, even if the run was interrupted and
    resumed.

    Args:
        network: the network; it is changed.
        titles: the titles to draw pairs from.
        recipe: how the network is trained.
        checkpoints: folder for the state of a resumed run: weights, optimiser and random state.
        prompts: prompts of the ``first`` and the ``second`` titles of the pairs, if they have any.
        resume: continue from the last checkpoint in ``checkpoints``, if there is one.
        progress: draw a bar on the standard error, if that is a terminal.
        epoch_ended: called after each epoch.

    Raises:
        TrainingError: there are too few pairs for one batch, or not enough memory or disk space.
    """
    pairs = _pairs(titles, recipe)
    steps = len(pairs) // recipe.batch_size // recipe.epochs
    if recipe.gradient_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    # Not empty, so that the trainer computes no examples for a model card that is never written.
    network.model_card_data.widget = [{}]
    best = checkpoints / _BEST_FILE if recipe.keep == "best-loss" else None
    watch = _Watch(network, steps, recipe.epochs, epoch_ended, best=best, progress=progress)
    trainer = _Trainer(
        model=network,
        args=_arguments(recipe, steps, checkpoints, prompts),
        train_dataset=pairs,
        loss=_loss(network, titles, recipe),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    last = _last_checkpoint(checkpoints) if resume else None
    with _memory_and_disk_errors(recipe, checkpoints):
        trainer.train(resume_from_checkpoint=last)
    if best:
        _load(network, load_file(best))


def trained_weights(network: SentenceTransformer) -> dict[str, torch.Tensor]:
    """The parameters of a network that training changes, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def training_texts(titles: TrainingTitles) -> list[str]:
    """All texts that pairs may contain: the titles and their lower-cased forms."""
    lower = (normalize_title(text.lower()) for text in titles.texts)
    return list(dict.fromkeys([*titles.texts, *lower]))


def _pairs(titles: TrainingTitles, recipe: Recipe) -> Dataset:
    """The pairs of all epochs in sequence, an equal number of full batches per epoch."""
    random = np.random.default_rng(recipe.seed)
    epochs = [draw_epoch(titles, recipe.mix, random) for _ in range(recipe.epochs)]
    smallest = min(map(len, epochs))
    if smallest < recipe.batch_size:
        raise TrainingError(
            f"{smallest:,} pairs per epoch do not fill one batch of {recipe.batch_size:,}: give "
            "more titles, or lower `batch_size`"
        )
    size = smallest // recipe.batch_size * recipe.batch_size
    rows = titles.text_of[np.concatenate([epoch[:size] for epoch in epochs])].reshape(-1, 2)
    lower = random.random(rows.shape) < recipe.mix.lowercase
    columns = [
        [
            normalize_title(titles.texts[row].lower()) if low else titles.texts[row]
            for row, low in zip(rows[:, side], lower[:, side], strict=True)
        ]
        for side in (0, 1)
    ]
    return Dataset.from_dict({"first": columns[0], "second": columns[1], "label": rows.tolist()})


def _arguments(
    recipe: Recipe, steps: int, checkpoints: Path, prompts: dict[str, str]
) -> SentenceTransformerTrainingArguments:
    gpu = torch.cuda.is_available()
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        # One pass over the pairs of all epochs: each epoch has pairs of its own.
        num_train_epochs=1,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=round(recipe.warmup * steps * recipe.epochs),
        weight_decay=recipe.weight_decay,
        adam_epsilon=recipe.adam_epsilon,
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        prompts=prompts or None,
        logging_steps=max(1, steps // 10),
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=1,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=gpu,
    )


def _loss(network: SentenceTransformer, titles: TrainingTitles, recipe: Recipe) -> torch.nn.Module:
    if recipe.loss == "mnrl":
        return MultipleNegativesRankingLoss(network, scale=recipe.scale)
    return AlignedLoss(
        network,
        titles,
        scale=recipe.scale,
        graded=recipe.graded,
        mini_batch_size=recipe.mini_batch_size,
    )


def _last_checkpoint(checkpoints: Path) -> str | None:
    if not checkpoints.is_dir():
        return None
    last: str | None = get_last_checkpoint(str(checkpoints))  # type: ignore[no-untyped-call]
    return last


class _Trainer(SentenceTransformerTrainer):
    """Keeps the order of the pairs; its checkpoints contain only the trained weights."""

    def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> DefaultBatchSampler:
        batch_size = kwargs.pop("batch_size", None) or args[0]
        return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(str(output_dir or self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        _save(self.model, folder / _WEIGHTS_FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        _load(self.model, load_file(Path(resume_from_checkpoint, _WEIGHTS_FILE)))


class _Watch(TrainerCallback):
    """Draws the bar, reports each epoch, and saves the weights with the lowest training loss."""

    def __init__(
        self,
        network: SentenceTransformer,
        steps_per_epoch: int,
        epochs: int,
        epoch_ended: EpochEnded,
        *,
        best: Path | None,
        progress: bool,
    ) -> None:
        self._network, self._best = network, best
        self._best_loss = float("inf")
        self._steps, self._epoch_ended = steps_per_epoch, epoch_ended
        # Loss of the current epoch, summed over the steps that are logged so far.
        self._loss_sum, self._logged_step = 0.0, 0
        self._bar = tqdm(
            total=steps_per_epoch * epochs,
            desc="train",
            unit=" steps",
            disable=None if progress else True,
            file=sys.stderr,
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update(state.global_step)
        self._logged_step = state.global_step
        if self._logged_step and self._best and self._best.exists():
            with safe_open(self._best, "pt") as stored:
                self._best_loss = float(stored.metadata()["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._bar.update(1)
        control.should_log = control.should_log or state.global_step % self._steps == 0
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}):
            return
        self._loss_sum += logs["loss"] * (state.global_step - self._logged_step)
        self._logged_step = state.global_step
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}")
        if state.global_step % self._steps == 0:
            loss, self._loss_sum = self._loss_sum / self._steps, 0.0
            if self._best and loss < self._best_loss:
                self._best_loss = loss
                _save(self._network, self._best, loss)
            was_training = self._network.training
            self._epoch_ended(state.global_step // self._steps, loss)
            self._network.train(was_training)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()


def _save(network: SentenceTransformer, path: Path, loss: float = float("nan")) -> None:
    weights = {n: w.detach().cpu().contiguous() for n, w in trained_weights(network).items()}
    save_file(weights, path, {"loss": repr(loss)})


@torch.no_grad()
def _load(network: SentenceTransformer, weights: dict[str, torch.Tensor]) -> None:
    for name, weight in trained_weights(network).items():
        weight.copy_(weights[name])


@contextmanager
def _memory_and_disk_errors(recipe: Recipe, checkpoints: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(_memory_advice(recipe)) from error
    except OSError as error:
        raise TrainingError(
            f"a checkpoint could not be written to {checkpoints}: {error.strerror or error}; "
            "make room, then continue with `resume=True`"
        ) from error


def _memory_advice(recipe: Recipe) -> str:
    if recipe.loss == "mnrl":  # this loss has no mini-batches
        return (
            f"out of memory with {recipe.batch_size} pairs at once: use "
            f"`batch_size={max(2, recipe.batch_size // 2)}`, which also changes the result"
        )
    return (
        f"out of memory with {recipe.mini_batch_size} titles at once: use "
        f"`mini_batch_size={max(1, recipe.mini_batch_size // 2)}`, which changes memory and time "
        "but not the result"
    )
