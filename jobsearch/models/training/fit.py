"""One run of sentence-transformers' trainer over drawn pairs."""

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
from jobsearch.models.training.pairs import Recipe, draw_epoch, lowercased
from jobsearch.models.training.titles import TrainingTitles
from jobsearch.text import normalize_title

#: Told the epoch (from 1) and its mean training loss when it has ended.
EpochEnded = Callable[[int, float], None]
_STATE, _BEST = "trained.safetensors", "best.safetensors"


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

    Same titles, recipe and machine: the same weights, whether the run was broken off or not.

    Args:
        network: what is trained, in place.
        titles: to draw the pairs from.
        recipe: how.
        checkpoints: folder for what a resumed run needs: weights, optimiser and random state.
        prompts: of the ``first`` and the ``second`` title of each pair, where they have one.
        resume: go on from the last checkpoint there, if there is one.
        progress: draw a bar on the standard error, if that is a terminal.
        epoch_ended: called after each epoch.

    Raises:
        TrainingError: too few pairs for one batch, no memory, or no room for a checkpoint.
    """
    pairs = _pairs(titles, recipe)
    steps = len(pairs) // recipe.batch_size // recipe.epochs
    if not steps:
        raise TrainingError(
            f"{len(pairs) // recipe.epochs:,} pairs an epoch do not fill one batch of "
            f"{recipe.batch_size:,}: give more titles or a lower --batch-size"
        )
    if recipe.gradient_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    pairs = pairs.select(range(steps * recipe.batch_size * recipe.epochs))
    # Examples for a model card that is not written; anything there keeps them from being made.
    network.model_card_data.widget = [{}]
    watch = _Watch(
        network,
        steps,
        steps * recipe.epochs,
        epoch_ended,
        best=checkpoints / _BEST if recipe.keep == "best-loss" else None,
        progress=progress,
    )
    trainer = _Trainer(
        model=network,
        args=_arguments(recipe, steps, checkpoints, prompts),
        train_dataset=pairs,
        loss=_loss(network, titles, recipe),
        callbacks=[watch],
    )
    last = _last_checkpoint(checkpoints) if resume else None
    trainer.remove_callback(PrinterCallback)
    with _out_of_room(recipe, checkpoints):
        trainer.train(resume_from_checkpoint=last)
    if recipe.keep == "best-loss":
        _load(network, load_file(checkpoints / _BEST))


def trained(network: SentenceTransformer) -> dict[str, torch.Tensor]:
    """The parameters that training changes, by name."""
    return {name: weight for name, weight in network.named_parameters() if weight.requires_grad}


def training_texts(titles: TrainingTitles) -> list[str]:
    """Every text that a pair may hold."""
    lower = (normalize_title(text.lower()) for text in titles.texts)
    return list(dict.fromkeys([*titles.texts, *lower]))


def _pairs(titles: TrainingTitles, recipe: Recipe) -> Dataset:
    """The pairs of all epochs, one after the other."""
    random = np.random.default_rng(recipe.seed)
    epochs = [draw_epoch(titles, recipe.mix, random) for _ in range(recipe.epochs)]
    # Epochs of one length, so that each ends at a whole step.
    size = min(map(len, epochs), default=0) // recipe.batch_size * recipe.batch_size
    rows = titles.text_of[np.concatenate([epoch[:size] for epoch in epochs])].reshape(-1, 2)
    lower = lowercased(rows.size, recipe.mix.lowercase, random).reshape(rows.shape)
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
        # The pairs of all epochs stand in one list, since each epoch draws its own.
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
    found: str | None = get_last_checkpoint(str(checkpoints))  # type: ignore[no-untyped-call]
    return found


class _Trainer(SentenceTransformerTrainer):
    """Takes the pairs in their order; its checkpoints hold only what is trained."""

    def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> DefaultBatchSampler:
        batch_size = kwargs.pop("batch_size", None) or args[0]
        return DefaultBatchSampler(SequentialSampler(dataset), batch_size=batch_size, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(str(output_dir or self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        _save(self.model, folder / _STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        _load(self.model, load_file(Path(resume_from_checkpoint, _STATE)))


class _Watch(TrainerCallback):
    """Draws the bar, tells of every epoch, and remembers the best one by training loss."""

    def __init__(
        self,
        network: SentenceTransformer,
        steps: int,
        total: int,
        epoch_ended: EpochEnded,
        *,
        best: Path | None,
        progress: bool,
    ) -> None:
        self._network, self._best = network, best
        self._best_loss = float("inf")
        self._steps, self._epoch_ended = steps, epoch_ended
        self._sum, self._seen = 0.0, 0
        disable = None if progress else True
        self._bar = tqdm(total=total, desc="train", unit=" steps", disable=disable, file=sys.stderr)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.update(state.global_step)
        self._seen = state.global_step
        if self._seen and self._best and self._best.exists():
            with safe_open(self._best, "pt") as stored:
                self._best_loss = float(stored.metadata()["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._bar.update(1)
        control.should_log = control.should_log or state.global_step % self._steps == 0
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}):
            return
        self._sum += logs["loss"] * (state.global_step - self._seen)
        self._seen = state.global_step
        self._bar.set_postfix(loss=f"{logs['loss']:.3f}")
        if state.global_step % self._steps == 0:
            loss, self._sum = self._sum / self._steps, 0.0
            if self._best and loss < self._best_loss:
                self._best_loss = loss
                _save(self._network, self._best, loss)
            was_training = self._network.training
            self._epoch_ended(state.global_step // self._steps, loss)
            self._network.train(was_training)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()


def _save(network: SentenceTransformer, path: Path, loss: float = float("nan")) -> None:
    weights = {n: w.detach().cpu().contiguous() for n, w in trained(network).items()}
    save_file(weights, path, {"loss": repr(loss)})


@torch.no_grad()
def _load(network: SentenceTransformer, weights: dict[str, torch.Tensor]) -> None:
    for name, weight in trained(network).items():
        weight.copy_(weights[name])


@contextmanager
def _out_of_room(recipe: Recipe, checkpoints: Path) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"out of memory with {recipe.mini_batch_size} titles at once: try --mini-batch-size "
            f"{max(1, recipe.mini_batch_size // 2)}, which changes nothing but memory and time"
        ) from error
    except OSError as error:
        raise TrainingError(
            f"a checkpoint could not be written to {checkpoints}: {error.strerror or error}; "
            "make room, then go on with --resume"
        ) from error
