"""Named ways to fine-tune, with all that decides their outcome."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from jobsearch.errors import InvalidInput
from jobsearch.models.training.pairs import PairMix

Part = Literal["head", "all", "adapter"]
PARTS: tuple[Part, ...] = ("head", "all", "adapter")

#: Shown by the command line's help; the figures of each are in ``docs/training.md``.
RECIPES = ("aligned", "paper")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained. Optimiser: AdamW, linear warm-up.

    Args:
        name: of the recipe.
        part: what is trained: what follows the token sum of ``builtin`` (head), every weight, or
            low-rank adapters that are merged into the weights at the end (LoRA, Hu et al. 2021).
        loss: ``mnrl`` (sentence-transformers' Multiple Negatives Ranking Loss, one direction) or
            ``aligned`` (:class:`jobsearch.models.training.loss.AlignedLoss`).
        mix: what pairs are drawn.
        epochs: times that every title is drawn.
        batch_size: pairs that are told apart at once.
        mini_batch_size: titles that pass the network at once; changes memory, not the outcome.
        learning_rate: its highest value.
        schedule: how it falls after the warm-up.
        warmup: share of the steps.
        weight_decay, adam_epsilon: of AdamW.
        scale: inverse temperature of the cosines.
        graded: weight of a title in the same ISCO-08 unit group; ``aligned`` only.
        dropout: share of the token sum's 1,280 features that are dropped; ``head`` only.
        gradient_checkpointing: compute activations a second time instead of keeping them: less
            memory, the same outcome; transformers only.
        keep: the weights at the end, or those of the epoch with the lowest training loss.
        anchors: whether concept anchors may close the model.
        held_out: share of the concepts that are kept out of training, to test on.
        seed: of the held-out concepts, the pairs and the optimiser.
    """

    name: str
    part: Part
    loss: Literal["mnrl", "aligned"]
    mix: PairMix
    epochs: int
    batch_size: int
    mini_batch_size: int
    learning_rate: float
    schedule: Literal["linear", "cosine"]
    warmup: float = 0.1
    weight_decay: float = 0.01
    adam_epsilon: float = 1e-8
    scale: float = 20.0
    graded: float = 0.0
    dropout: float = 0.0
    gradient_checkpointing: bool = False
    keep: Literal["last", "best-loss"] = "last"
    anchors: bool = False
    held_out: float = 0.1
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


_PAPER = Recipe(
    name="paper",
    part="all",
    loss="mnrl",
    mix=PairMix(monolingual=1.0, crosslingual=0.0, gendered=0.0, cap=1000, lowercase=0.0),
    epochs=5,
    batch_size=32,
    mini_batch_size=32,
    learning_rate=1e-6,
    schedule="linear",
    adam_epsilon=2e-5,
    keep="best-loss",
)
_ALIGNED = Recipe(
    name="aligned",
    part="all",
    loss="aligned",
    mix=PairMix(monolingual=0.4, crosslingual=0.45, gendered=0.15, cap=20, lowercase=0.5),
    epochs=1,
    batch_size=1024,
    mini_batch_size=64,
    learning_rate=3e-5,
    schedule="cosine",
    graded=0.02,
    anchors=True,
)


def recipe(name: str, part: Part, **changes: Any) -> Recipe:
    """A named recipe for what is trained, with some of its values changed.

    Args:
        name: ``aligned`` or ``paper``.
        part: head, all or adapter.
        changes: fields of :class:`Recipe` by name; None leaves a value as it is.

    Raises:
        InvalidInput: there is no such recipe.
    """
    if name not in RECIPES:
        raise InvalidInput(f"no recipe {name!r}: there are {', '.join(RECIPES)}")
    chosen = replace(_PAPER if name == "paper" else _ALIGNED, part=part)
    if name == "aligned" and part == "head":
        # No network below the head runs, so a batch passes at once and small steps cost nothing.
        chosen = replace(
            chosen, epochs=8, learning_rate=1e-3, dropout=0.2, mini_batch_size=chosen.batch_size
        )
    elif name == "aligned" and part == "adapter":
        chosen = replace(chosen, learning_rate=2e-4)
    return replace(
        chosen, **{field: value for field, value in changes.items() if value is not None}
    )
