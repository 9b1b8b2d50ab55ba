"""Parts that the graphs of all tasks share, and the interface of a task's module.

Knows: a linear layer, the flat order of a batch's states, and random inputs to compare a graph
with its network. Does not know: any task. PyTorch is imported only where networks are compared,
so that a checkpoint is exported without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.tasks import task_module
from rnntext.training.onnx.graph_builder import Array, GraphBuilder

if TYPE_CHECKING:
    from torch import Tensor

    from rnntext.runtime.session import Session

# The largest difference in a probability that an exported graph may make.
TOLERANCE = 1e-4

# Float32 arrays by their names in `model.safetensors`.
Weights = Mapping[str, Array]


def linear(graph: GraphBuilder, x: str, name: str, weights: Weights, output: str = "") -> str:
    """The linear layer whose weights are `name`.weight and `name`.bias, in float32."""
    weight = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("Gemm", [x, weight, bias], output, transB=1)


def flatten_steps(graph: GraphBuilder, config: EncoderConfig, states: str) -> str:
    """states (T, B, H) -> (T * B, H): step t of row b is at t * B + b."""
    return graph.add("Reshape", [states, graph.int_vector(-1, config.hidden_size)])


class AddNodes(Protocol):
    """Adds a task's encoder and head, and their inputs and outputs."""

    def __call__(
        self, graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
    ) -> None: ...


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


def _no_files(config: ModelConfig, weights: Weights, precision: str) -> dict[str, bytes]:
    return {}


def _no_difference(model: Any, generator: np.random.Generator) -> float:
    return 0.0


def _same_weights(weights: Weights, temperature: float) -> Weights:
    return weights


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """The interface of a task's module in this package: its object `GRAPH`."""

    add_nodes: AddNodes
    # The largest difference in a probability between the network and its graph.
    difference: Callable[[Any, Session, RandomBatch], float]
    # Other graphs of a checkpoint by file name, and their largest difference to the network.
    other_graphs: Callable[[ModelConfig, Weights, str], dict[str, bytes]] = _no_files
    difference_of_others: Callable[[Any, np.random.Generator], float] = _no_difference
    # Weights that divide the logits by a temperature.
    apply_temperature: Callable[[Weights, float], Weights] = _same_weights


def task_graph(config: ModelConfig) -> TaskGraph:
    """The graph of the configuration's task."""
    graph: TaskGraph = task_module("training.onnx", config.task).GRAPH
    return graph
