"""Small parts that the graphs of several tasks share.

Knows: a linear layer, the flat order of a batch's states, and how padding enters max pooling. Does
not know: any task.
"""

from __future__ import annotations

from collections.abc import Mapping

from rnntext.config import EncoderConfig
from rnntext.training.onnx.graph_builder import Array, GraphBuilder

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
