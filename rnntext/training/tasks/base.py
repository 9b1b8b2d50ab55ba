"""A task of training: what a run asks of it.

Knows: the questions that a run, its data, its checkpoint and another model to start from ask.
Does not know: any one task; each answers them in a module of its own in this room.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from torch import Tensor

from rnntext.config import ModelConfig
from rnntext.tasks import task_module
from rnntext.training.data.loading import Data, ExampleSource
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.objective import Objective
from rnntext.training.events import Metrics
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.options import TrainingOptions
from rnntext.training.presets import Recipe, TokenizerDefaults

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel

Examples = TypeVar("Examples")  # a task's encoded training and validation data

# Characters of labelled training text from which on a model is small rather than tiny.
_TINY_EXAMPLES = 100_000


class InitDirection(Enum):
    """Which directions an encoder reads in that starts from another model's (`--init`)."""

    FORWARD = "forward"  # alone: a language model may not see what it predicts
    INHERIT = "inherit"  # those of the other model's encoder
    BOTH = "both"  # the backward direction starts from fresh weights where the other has none


class TaskObjective(Objective, ABC):
    """An objective, and what a run asks of it before the first and after the last step."""

    def state(self) -> dict[str, Tensor]:
        """Nothing: only a language model carries a recurrent state from batch to batch."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from such a state."""

    @abstractmethod
    def valid_tokens(self) -> int:
        """Tokens of the validation data."""

    def final_metrics(self, model: Any, *, quick: bool) -> Metrics:
        """Metrics to report of the finished model, on a part of the validation data if `quick`.
        A classifier is calibrated first, in place."""
        return self.evaluate(model, quick=quick)

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float | None:
        """The temperature to divide a running model's logits by so that its probabilities are
        calibrated on the validation data; None where the task has none to calibrate."""
        return None

    @abstractmethod
    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        """What `evaluate` gives, of a model that runs without PyTorch."""

    def details(self) -> tuple[str, ...]:
        """Short phrases about how the run learns, for the line that announces it."""
        return ()

    def remarks(self) -> tuple[str, ...]:
        """Sentences about the data that a user should know before the run."""
        return ()


class Task(ExampleSource[Examples], ABC, Generic[Examples]):
    """One task. Its module in this room has one instance, `TASK`."""

    name: ClassVar[str]  # as in `rnntext.tasks.TASKS`
    sizes: ClassVar[dict[str, tuple[int, int, int]]]  # preset -> layers, hidden, embed
    tokenizer_defaults: ClassVar[TokenizerDefaults]
    init_direction: ClassVar[InitDirection]

    @abstractmethod
    def validation_digest(self, examples: Examples) -> str:
        """SHA-256 of the encoded validation data."""

    # Defaults

    def choose_preset(self, options: TrainingOptions, characters: int) -> str:
        """The size of model that `characters` of training text can train."""
        return "tiny" if characters < _TINY_EXAMPLES else "small"

    @abstractmethod
    def default_recipe(
        self,
        options: TrainingOptions,
        size: tuple[int, int, int],
        characters: int,
        examples: int,
    ) -> Recipe:
        """The recipe before the user's own choices, for `characters` of training text in
        `examples` lines, documents or sentences; `size` is layers, hidden, embed."""

    def choose_recipe(self, options: TrainingOptions, characters: int, examples: int) -> Recipe:
        """The recipe of a run."""
        preset = options.preset or self.choose_preset(options, characters)
        recipe = self.default_recipe(options, self.sizes[preset], characters, examples)
        return recipe.override(options)

    # Learning

    def build_network(self, config: ModelConfig, recipe: Recipe) -> Network:
        """A network with fresh weights from PyTorch's random state."""
        return build_network(config, recipe.dropout, recipe.token_dropout)

    @abstractmethod
    def objective(
        self,
        options: TrainingOptions,
        data: Data[Examples],
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> TaskObjective:
        """What is learned from the data."""


def get_task(name: str) -> Task[Any]:
    """The task of this name."""
    return cast("Task[Any]", task_module("training.tasks", name).TASK)
