"""The graph of a classifier: logits of the labels from pooled hidden states.

Knows: concat pooling (last, maximum and mean; Howard and Ruder 2018), and how a unidirectional
classifier pools a text that arrives in pieces. Does not know: how a text is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnntext.config import POOLING_FLOOR, EncoderConfig, ModelConfig
from rnntext.graphs import bidirectional, common, unidirectional
from rnntext.graphs.common import TaskGraph, Weights
from rnntext.graphs.graph_builder import Array, ElementType, GraphBuilder


def add_nodes(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> None:
    """Add the encoder, the pooling and the output layer, and their inputs and outputs; `ids` and
    `lengths` are already there."""
    if config.bidirectional:
        directions = bidirectional.encode_pooled(graph, config, weights, quantized=quantized)
        last, largest, total = (
            graph.add("Concat", [getattr(pooled, view) for pooled in directions], axis=1)
            for view in ("last", "largest", "total")
        )
    else:
        encoded = unidirectional.encode(graph, config, weights, quantized=quantized)
        top = graph.int_scalar(config.num_layers - 1)
        last = graph.add("Gather", [encoded.final_hidden, top], axis=0)
        largest, total = _pool(graph, config.hidden_size, encoded.states)
    count = graph.add("Cast", ["lengths"], to=ElementType.FLOAT)  # (B)
    if not config.bidirectional:
        count = _accumulate(graph, "Add", "count", count, ["B"])
    mean = graph.add("Div", [total, graph.add("Unsqueeze", [count, graph.int_vector(1)])])
    views = graph.add("Concat", [last, largest, mean], axis=1)  # (B, 3H)
    common.linear(graph, views, "head.output", weights, "logits")
    graph.output("logits", ElementType.FLOAT, ["B", len(weights["head.output.bias"])])


def _pool(graph: GraphBuilder, hidden: int, states: str) -> tuple[str, str]:
    """states (T, B, H) -> the maximum and the total (B, H) over all pieces so far."""
    lengths = graph.add("Cast", ["lengths"], to=ElementType.INT64)
    valid = graph.add("Less", [graph.step_numbers(states), lengths])
    valid = graph.add("Unsqueeze", [valid, graph.int_vector(2)])  # (T, B, 1)
    masked = graph.add("Where", [valid, states, graph.float_scalar(POOLING_FLOOR)])
    # Takes half the time of ReduceMax, which compares the values one after the other.
    rows = graph.add("Transpose", [masked], perm=[1, 2, 0])  # (B, H, T)
    largest = graph.add("Squeeze", [graph.add("GlobalMaxPool", [rows]), graph.int_vector(2)])
    # The states of the recurrent operators are zero at padding, so the sum needs no mask.
    total = graph.add("ReduceSum", [states, graph.int_vector(0)], keepdims=0)
    shape: list[int | str] = ["B", hidden]
    return (
        _accumulate(graph, "Max", "largest", largest, shape),
        _accumulate(graph, "Add", "total", total, shape),
    )


def _accumulate(
    graph: GraphBuilder, operator: str, name: str, pooled: str, shape: Sequence[int | str]
) -> str:
    """Combine a pooled value with that of the pieces before, the input `name`. The result is the
    output `next_name`."""
    before = graph.input(name, ElementType.FLOAT, shape)
    graph.output(f"next_{name}", ElementType.FLOAT, shape)
    return graph.add(operator, [before, pooled], f"next_{name}")


def apply_temperature(weights: Weights, temperature: float) -> dict[str, Array]:
    """The weights with those of the output layer divided by `temperature`, and so the logits."""
    head = ("head.output.weight", "head.output.bias")
    return {**weights, **{name: weights[name] / np.float32(temperature) for name in head}}


def _head_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    labels = len(config.labels)
    return {
        "head.output.weight": (labels, 3 * config.encoder.output_size),
        "head.output.bias": (labels,),
    }


GRAPH = TaskGraph(add_nodes, _head_shapes, apply_temperature=apply_temperature)
