"""How a task's graph is compared with its network: the interface, and random inputs for both.

Knows: how far a graph may differ. Does not know: any task, or how a graph is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs.common import Weights
from rnntext.graphs.graph_builder import Array
from rnntext.tasks import task_module
from rnntext.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from rnntext.runtime.session import Session

__all__ = ["TOLERANCE", "GraphCheck", "RandomBatch", "Weights", "graph_check"]

# The largest difference in a probability that an exported graph may make.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class RandomBatch:
    """Random inputs that a graph and its network both read: B rows of T tokens."""

    feeds: dict[str, Array]  # ids, lengths and, for an encoder of one direction, its state
    state: tuple[Tensor, ...] | None  # the same state for the network
    generator: np.random.Generator

    @property
    def ids(self) -> Tensor:
        """(B, T)"""
        import torch

        return torch.from_numpy(self.feeds["ids"])

    @property
    def lengths(self) -> Tensor:
        """(B)"""
        import torch

        return torch.from_numpy(self.feeds["lengths"].astype(np.int64))


def _no_difference(model: Any, generator: np.random.Generator) -> float:
    return 0.0


def _nothing_pooled(config: EncoderConfig) -> dict[str, Carried]:
    return {}


def _no_scores(config: ModelConfig) -> tuple[str, ...]:
    return ()


def _nothing_more(config: ModelConfig) -> dict[str, object]:
    return {}


def _no_id(tokenizer: Tokenizer) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Carried:
    """An input that carries what was read before: its shape for one row, its first value."""

    shape: tuple[int, ...]
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class SidecarParts:
    """What a task adds to the sidecar of its graph (see `sidecar.py`): its object `SIDECAR`."""

    # Of an encoder of one direction, the inputs that carry on what its head has pooled.
    pooled: Callable[[EncoderConfig], dict[str, Carried]] = _nothing_pooled
    # The id that is read in place of a record, or a word, without tokens.
    empty: Callable[[Tokenizer], int | None] = _no_id
    # Outputs with the scores of paths through the labels.
    path_scores: Callable[[ModelConfig], tuple[str, ...]] = _no_scores
    # What must be known of the linear half beside its weights.
    linear: Callable[[ModelConfig], Mapping[str, object]] = _nothing_more


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """The interface of a task's module in this package: its object `CHECK`."""

    # The largest difference in a probability between the network and its graph.
    difference: Callable[[Any, Session, RandomBatch], float]
    # The same of the other graphs of a checkpoint.
    difference_of_others: Callable[[Any, np.random.Generator], float] = _no_difference


def graph_check(config: ModelConfig) -> GraphCheck:
    """How the graph of the configuration's task is compared."""
    check: GraphCheck = task_module("training.onnx", config.task).CHECK
    return check


def sidecar_parts(config: ModelConfig) -> SidecarParts:
    """What the configuration's task adds to a sidecar."""
    parts: SidecarParts = task_module("training.onnx", config.task).SIDECAR
    return parts
