"""The interface of a training task: its examples, defaults, network and objective.

Knows: the methods that a run and its data loading call. Does not know: any one task; each
implements the interface in its own module of this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from torch import Tensor

from rnntext.checkpoint_config import DistillationRecord, LineBits
from rnntext.config import ModelConfig
from rnntext.tasks import task_module
from rnntext.training.data.loading import Data, ExampleSource
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.objective import Objective
from rnntext.training.events import Learned, Metrics
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.search_space import Dimension

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel

Examples = TypeVar("Examples")  # a task's encoded training and validation data

# From this many characters of labelled training text on, a model is small rather than tiny.
_TINY_EXAMPLES = 100_000


class InitDirection(Enum):
    """Direction of an encoder that is initialized from another model's (`--init`)."""

    FORWARD = "forward"  # only: a language model may not see the tokens that it predicts
    INHERIT = "inherit"  # the same as the other model's encoder
    BOTH = "both"  # the backward direction has random weights if the other model has none


class TaskObjective(Objective, ABC):
    """An objective, with what a run needs before its first step and after its last one."""

    def state(self) -> dict[str, Tensor]:
        """Return no tensors: only a language model carries a state from batch to batch."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from the tensors that `state` returned."""

    def prepare(self, files: Mapping[str, bytes]) -> Iterator[Learned]:
        """Let a teacher answer, and learn what does not take part in the steps, before the first of
        them, or take it from the files of a run that continues. Only the main rank is asked."""
        return iter(())

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the files of the checkpoint, besides those of the network, that belong to a model
        on the way with these metrics: name and content."""
        return {}

    def finished_files(self) -> dict[str, bytes]:
        """Return, after `final_metrics`, the files of the finished model. What is not trained in
        steps has learned from the validation data too, if these were held out of the data: the
        metrics stay those of a model that has not seen them."""
        return {}

    def learns_from_validation(self) -> bool:
        """Return True if a part of the model in `finished_files` learns from validation data."""
        return False

    def restore_halves(self, halves: Mapping[str, float]) -> None:
        """Let `finished_files` and the methods for an ONNX model be about another finished run of
        the same data, whose objective returned these `halves`."""

    def learn_once(self) -> None:
        """Let `finished_files` return what was learned before the first step: nothing is learned
        again at the end, as a trial of a search does not need it."""

    def seconds_to_finish(self) -> float:
        """Return how long `finished_files` is expected to take."""
        return 0.0

    @abstractmethod
    def answers(self, target: str) -> int:
        """Return how many answers the metric `target` of an evaluation on the way is about, which
        says how much of it is chance."""

    @abstractmethod
    def valid_tokens(self) -> int:
        """Return the number of tokens of the validation data."""

    def final_metrics(self, model: Any, *, quick: bool) -> Metrics:
        """Return the metrics of the finished model, on a part of the validation data if `quick`.
        A classifier is calibrated first, in place."""
        return self.evaluate(model, quick=quick)

    def halves(self) -> dict[str, float]:
        """Return, after `final_metrics`, what the parts of a model that is a sum of two reach by
        themselves, and what is needed to add them; nothing for other models."""
        return {}

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float | None:
        """Return the temperature that calibrates an ONNX model on the validation data: its logits
        are divided by it. None for a task whose probabilities are not calibrated."""
        return None

    @abstractmethod
    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        """Return the same metrics as `evaluate`, of an ONNX model."""

    def line_bits(self, model: TrainedModel) -> LineBits | None:
        """Return the quantiles of the lines of the validation text under an ONNX model; None for a
        task that is not about lines."""
        return None

    def distilled(self) -> DistillationRecord | None:
        """Return from which teacher the model is distilled; None if there is none."""
        return None

    def details(self) -> tuple[str, ...]:
        """Return short phrases about how the model is trained, shown before the first step."""
        return ()

    def remarks(self) -> tuple[str, ...]:
        """Return sentences about the data that a user should know before the run."""
        return ()


class Task(ExampleSource[Examples], ABC, Generic[Examples]):
    """A training task. Its module in this package has one instance, `TASK`."""

    name: ClassVar[str]  # as in `rnntext.tasks.TASKS`
    sizes: ClassVar[dict[str, tuple[int, int, int]]]  # preset -> layers, hidden, embed
    tokenizer_defaults: ClassVar[TokenizerDefaults]
    init_direction: ClassVar[InitDirection]
    search_space: ClassVar[tuple[Dimension, ...]]  # of `--tune`
    # Metrics of an evaluation, of which a search without `--select` compares the first there is.
    search_targets: ClassVar[tuple[str, ...]]

    def check(self, options: TrainingOptions, ranks: Ranks) -> None:
        """Raise RnntextError for options that the task cannot serve, before the data are read."""

    @abstractmethod
    def validation_digest(self, examples: Examples) -> str:
        """Return the SHA-256 of the encoded validation data."""

    # Defaults

    def choose_preset(self, options: TrainingOptions, characters: int) -> str:
        """Return the preset for `characters` of training text."""
        return "tiny" if characters < _TINY_EXAMPLES else "small"

    @abstractmethod
    def default_recipe(
        self,
        options: TrainingOptions,
        size: tuple[int, int, int],
        characters: int,
        examples: int,
    ) -> Recipe:
        """Return the recipe before the user's options override it, for `characters` of training
        text in `examples` lines, documents or sentences. `size`: layers, hidden, embed."""

    def choose_recipe(self, options: TrainingOptions, characters: int, examples: int) -> Recipe:
        """Return the recipe of a run."""
        preset = options.preset or self.choose_preset(options, characters)
        recipe = self.default_recipe(options, self.sizes[preset], characters, examples)
        return recipe.override(options)

    def targets(self, options: TrainingOptions) -> tuple[str, ...]:
        """Return the metrics of which a search compares the first that an evaluation has."""
        selected = options.selected_metric
        return self.search_targets if selected is None else (selected,)

    def complete(self, config: ModelConfig, options: TrainingOptions) -> ModelConfig:
        """Return the configuration with what only this task chooses by its labels."""
        return config

    # Training

    def build_network(self, config: ModelConfig, recipe: Recipe) -> Network:
        """Build the network, initialized from PyTorch's random state."""
        return build_network(config, recipe.dropout, recipe.token_dropout)

    @abstractmethod
    def objective(
        self,
        options: TrainingOptions,
        data: Data[Examples],
        config: ModelConfig,
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> TaskObjective:
        """Make the training objective on the data, of a model of this configuration."""


def get_task(name: str) -> Task[Any]:
    """Return the task of this name."""
    return cast("Task[Any]", task_module("training.tasks", name).TASK)
