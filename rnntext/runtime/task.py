"""What the runtime asks of a task.

Knows: the questions that opening and evaluating a model ask. Does not know: any one task; each
answers them in its module of this room, as `RUNTIME`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnntext.config import ModelConfig
from rnntext.tasks import task_module

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel
    from rnntext.text.formats import DataOptions


def _no_temperature(model: Any, paths: Sequence[str], options: Any) -> None:
    return None


@dataclass(frozen=True, slots=True)
class RuntimeTask:
    """What the module of a task provides in this room."""

    # The output of the graph that has a column for each label or token of the vocabulary.
    scores: str
    # A name among the graph's inputs and outputs that no other task's graph has.
    signature: str
    # The metrics of a model that are single numbers.
    metric_names: Callable[[ModelConfig], tuple[str, ...]]
    # Metrics on labelled data or text; rates are fractions from 0 to 1. Raises DataError.
    evaluate: Callable[[TrainedModel, Sequence[str], DataOptions], dict[str, Any]]
    # The temperature that calibrates the model on some data; None where there is none to fit.
    fit_temperature: Callable[[TrainedModel, Sequence[str], DataOptions], float | None] = (
        _no_temperature
    )


def runtime_task(config: ModelConfig) -> RuntimeTask:
    """The runtime's side of the configuration's task."""
    task: RuntimeTask = task_module("runtime", config.task).RUNTIME
    return task
