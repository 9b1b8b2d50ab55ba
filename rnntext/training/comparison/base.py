"""The interface of a task in a comparison: its simpler models, its metric, and how they run.

Knows: what a comparison asks of a task. Does not know: any one task; each implements the interface
in its own module of this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from torch import nn

from rnntext.comparison import Metric, Model, Question
from rnntext.tasks import task_module
from rnntext.training.comparison.networks import Builder
from rnntext.training.setup import Setup

# Reads the validation data with a model that is trained; returns the number of records.
Read = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear model that has learned."""

    value: float  # of the metric
    parameters: int
    seconds: float
    size: int  # bytes on disk
    read: Read


class ComparedTask(ABC):
    """A task whose models are compared. Its module in this package has one instance, `COMPARED`."""

    question: ClassVar[Question]
    networks: ClassVar[Mapping[Model, Builder]]  # beside the recurrent ones
    linear_model: ClassVar[Model]
    # Options of a run without its linear model.
    without_linear: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def metric(self, setup: Setup) -> Metric:
        """Return the metric that is compared."""

    @abstractmethod
    def read(self, setup: Setup, network: nn.Module) -> int:
        """Read validation data with a trained network, as far as its answers; return the number
        of records."""

    @abstractmethod
    def learn_linear(self, setup: Setup) -> Linear | None:
        """Let the linear model learn; None if the data cannot have one."""


def compared_task(name: str) -> ComparedTask:
    """Return the task of this name."""
    return cast("ComparedTask", task_module("training.comparison", name).COMPARED)
