"""Parts that the graphs of all tasks share, and the interface of a task's module.

Knows: a linear layer, and the flat order of a batch's states. Does not know: any task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs.graph_builder import Array, GraphBuilder
from rnntext.tasks import task_module

# Float32 arrays by their names in `model.safetensors`.
Weights = Mapping[str, Array]


def linear(graph: GraphBuilder, x: str, name: str, weights: Weights, output: str = "") -> str:
    """The linear layer whose weights are `name`.weight and `name`.bias, in float32. With
    `name`.parts (P, L) it gives the scores of P parts, of which those of L labels are sums."""
    weight = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    if f"{name}.parts" in weights:
        scores = graph.add("Gemm", [x, weight], transB=1)
        parts = graph.constant(f"{name}.parts", weights[f"{name}.parts"])
        return graph.add("Gemm", [scores, parts, bias], output)
    return graph.add("Gemm", [x, weight, bias], output, transB=1)


def flatten_steps(graph: GraphBuilder, config: EncoderConfig, states: str) -> str:
    """states (T, B, H) -> (T * B, H): step t of row b is at t * B + b."""
    return graph.add("Reshape", [states, graph.int_vector(-1, config.hidden_size)])


class AddNodes(Protocol):
    """Adds a task's encoder and head, and their inputs and outputs."""

    def __call__(
        self, graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
    ) -> None: ...


def _no_files(config: ModelConfig, weights: Weights, precision: str) -> dict[str, GraphBuilder]:
    return {}


def _same_weights(weights: Weights, temperature: float) -> Weights:
    return weights


class TaskGraph(NamedTuple):
    """The interface of a task's module in this package: its object `GRAPH`."""

    add_nodes: AddNodes
    # The shapes of the head's weights, by their names in a checkpoint.
    head_shapes: Callable[[ModelConfig], dict[str, tuple[int, ...]]]
    # Other graphs of a checkpoint, by file name.
    other_graphs: Callable[[ModelConfig, Weights, str], dict[str, GraphBuilder]] = _no_files
    # Weights that divide the logits by a temperature.
    apply_temperature: Callable[[Weights, float], Weights] = _same_weights


def task_graph(config: ModelConfig) -> TaskGraph:
    """The graph of the configuration's task."""
    graph: TaskGraph = task_module("graphs", config.task).GRAPH
    return graph
