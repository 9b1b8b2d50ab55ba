"""What the three tasks make of an encoder's states.

Knows: each task's inputs and outputs, but for the state and what it is read from. Does not know:
how a text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
from onnx import TensorProto

from rnntext.config import EncoderConfig
from rnntext.training.onnx import bidirectional as two_ways
from rnntext.training.onnx import int8
from rnntext.training.onnx.graph import Graph
from rnntext.training.onnx.unidirectional import unroll

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]


def language_model(graph: Graph, config: EncoderConfig, weights: Weights, *, small: bool) -> None:
    """Scores of every word, or of those that are asked for; `small`: in int8."""
    walked = unroll(graph, config, weights, small=small)
    for name, size in (("positions", "N"), ("scored", "M"), ("targets", "M")):
        graph.input(name, TensorProto.INT64, [size])
    states = _flat(graph, config, walked.states)

    def logits(positions: str, name: str, product: Callable[..., str]) -> str:
        x = graph.add("Gather", [states, positions], axis=0)
        if "head.projection.weight" in weights:
            x = _linear(graph, x, "head.projection", weights)
        if small:
            return _int8_logits(graph, weights, x, name, product)
        bias = graph.constant("head.bias", weights["head.bias"])
        return graph.add("Gemm", [x, "embedding", bias], name, transB=1)

    # Few states are predicted from at once, and many scored.
    logits("positions", "logits", int8.product_of_few)  # (N, V)
    # Three times as fast as ReduceLogSumExp, though it writes a number for each word.
    scores = logits("scored", "scores", int8.product)
    normalized = graph.add("LogSoftmax", [scores], axis=1)  # (M, V)
    target = graph.add("Unsqueeze", ["targets", graph.integers(1)])  # (M, 1)
    chosen = graph.add("GatherElements", [normalized, target], axis=1)  # (M, 1)
    graph.add("Squeeze", [chosen, graph.integers(1)], "log_probabilities")
    graph.output("logits", TensorProto.FLOAT, ["N", config.vocab_size])
    graph.output("log_probabilities", TensorProto.FLOAT, ["M"])


def _int8_logits(
    graph: Graph, weights: Weights, x: str, name: str, product: Callable[..., str]
) -> str:
    """x (N, E) -> (N, V). What a projection made of states is scaled by each row's own largest
    entry."""
    words, bias = weights["encoder.embedding.weight"], weights["head.bias"]
    if "head.projection.weight" not in weights:
        return product(graph, x, "output", words, bias, name)
    largest = graph.add("ReduceMax", [graph.add("Abs", [x])], axes=[1], keepdims=1)  # (N, 1)
    largest = graph.add("Max", [largest, graph.number(1e-8)])
    x = graph.add("Div", [x, largest])
    scaled = product(graph, x, "output", words)
    scaled = graph.add("Mul", [scaled, largest])
    return graph.add("Add", [scaled, graph.constant("head.bias", bias)], name)


def classifier(graph: Graph, config: EncoderConfig, weights: Weights, *, small: bool) -> None:
    """Scores of the labels from three views of the states: last, largest and mean."""
    if config.bidirectional:
        both = two_ways.pooled(graph, config, weights, small=small)
        last, largest, total = (
            graph.add("Concat", [getattr(side, view) for side in both], axis=1)
            for view in ("last", "largest", "total")
        )
    else:
        walked = unroll(graph, config, weights, small=small)
        top = graph.integer(config.num_layers - 1)
        last = graph.add("Gather", [walked.final, top], axis=0)
        largest, total = _pooled(graph, config.hidden_size, walked.states)
    count = graph.add("Cast", ["lengths"], to=TensorProto.FLOAT)  # (B)
    if not config.bidirectional:
        count = _carried(graph, "Add", "count", count, ["B"])
    mean = graph.add("Div", [total, graph.add("Unsqueeze", [count, graph.integers(1)])])
    views = graph.add("Concat", [last, largest, mean], axis=1)  # (B, 3H)
    _linear(graph, views, "head.output", weights, "logits")
    graph.output("logits", TensorProto.FLOAT, ["B", len(weights["head.output.bias"])])


def _pooled(graph: Graph, hidden: int, states: str) -> tuple[str, str]:
    """states (T, B, H) -> the largest and the total (B, H), joined with what was pooled before
    and given out to be carried on."""
    lengths = graph.add("Cast", ["lengths"], to=TensorProto.INT64)
    valid = graph.add("Less", [graph.steps(states), lengths])
    valid = graph.add("Unsqueeze", [valid, graph.integers(2)])  # (T, B, 1)
    masked = graph.add("Where", [valid, states, graph.number(two_ways.LOWEST)])
    # Pooling takes half the time of ReduceMax, which looks at one number after the other.
    rows = graph.add("Transpose", [masked], perm=[1, 2, 0])  # (B, H, T)
    largest = graph.add("Squeeze", [graph.add("GlobalMaxPool", [rows]), graph.integers(2)])
    # The operators fill padding with zeros, so a plain sum is a sum over the row's own steps.
    total = graph.add("ReduceSum", [states, graph.integers(0)], keepdims=0)
    shape: list[int | str] = ["B", hidden]
    return (
        _carried(graph, "Max", "largest", largest, shape),
        _carried(graph, "Add", "total", total, shape),
    )


def _carried(graph: Graph, operator: str, name: str, here: str, shape: Sequence[int | str]) -> str:
    """What was pooled before joined with what is pooled here, given out to be carried on."""
    before = graph.input(name, TensorProto.FLOAT, shape)
    graph.output(f"next_{name}", TensorProto.FLOAT, shape)
    return graph.add(operator, [before, here], f"next_{name}")


def tagger(graph: Graph, config: EncoderConfig, weights: Weights, *, small: bool) -> None:
    """Scores of the tags of each word, and the CRF's parameters."""
    graph.input("first", TensorProto.INT64, ["N"])
    graph.input("last", TensorProto.INT64, ["N"])
    if config.bidirectional:
        # The forward direction at the last token, the backward direction at the first.
        both = two_ways.states(graph, config, weights, small=small)
        parts = [
            graph.add("Gather", [_flat(graph, config, side), places], axis=0)
            for side, places in zip(both, ("last", "first"), strict=True)
        ]
        words = graph.add("Concat", parts, axis=1)
    else:
        states = _flat(graph, config, unroll(graph, config, weights, small=small).states)
        words = graph.add("Gather", [states, "last"], axis=0)
    _linear(graph, words, "head.output", weights, "emissions")
    labels = len(weights["head.output.bias"])
    graph.output("emissions", TensorProto.FLOAT, ["N", labels])
    for name, shape in (("start", [labels]), ("transitions", [labels] * 2), ("end", [labels])):
        graph.add("Identity", [graph.constant(f"crf.{name}", weights[f"head.crf.{name}"])], name)
        graph.output(name, TensorProto.FLOAT, shape)


def _flat(graph: Graph, config: EncoderConfig, states: str) -> str:
    # (T, B, H) -> (T * B, H): state t of row b is row t * B + b.
    return graph.add("Reshape", [states, graph.integers(-1, config.hidden_size)])


def _linear(graph: Graph, x: str, name: str, weights: Weights, output: str = "") -> str:
    weight = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("Gemm", [x, weight, bias], output, transB=1)
