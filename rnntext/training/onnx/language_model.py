"""The graph of a language model: logits of the next token and log-probabilities of given tokens.

Knows: the output layer, whose weights are the embeddings, in float32 and int8. Does not know: how
a text is read, or how text is generated (`generation.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from rnntext.config import EncoderConfig
from rnntext.probabilities import softmax
from rnntext.training.onnx import common, generation, int8, unidirectional
from rnntext.training.onnx.common import RandomBatch, TaskGraph, Weights
from rnntext.training.onnx.graph_builder import GraphBuilder

if TYPE_CHECKING:
    from rnntext.runtime.session import Session
    from rnntext.training.networks.language_model import LanguageModel


def add_nodes(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> None:
    """Add the encoder, the output layer, and their inputs and outputs; `ids` and `lengths` are
    already there. A caller asks for logits at `positions`, and for the log-probabilities of
    `targets` at the positions `scored`."""
    encoded = unidirectional.encode(graph, config, weights, quantized=quantized)
    for name, size in (("positions", "N"), ("scored", "M"), ("targets", "M")):
        graph.input(name, TensorProto.INT64, [size])
    states = common.flatten_steps(graph, config, encoded.states)

    def logits(positions: str, name: str, int8_linear: Callable[..., str]) -> str:
        x = graph.add("Gather", [states, positions], axis=0)
        if "head.projection.weight" in weights:
            x = common.linear(graph, x, "head.projection", weights)
        if quantized:
            return _int8_logits(graph, weights, x, name, int8_linear)
        bias = graph.constant("head.bias", weights["head.bias"])
        return graph.add("Gemm", [x, "embedding", bias], name, transB=1)

    # There are few positions to predict from, but many to score.
    logits("positions", "logits", int8.linear_small_batch)  # (N, V)
    scored_logits = logits("scored", "scores", int8.linear)  # (M, V)
    # Three times as fast as ReduceLogSumExp, although it writes a value for each id.
    log_softmax = graph.add("LogSoftmax", [scored_logits], axis=1)  # (M, V)
    target = graph.add("Unsqueeze", ["targets", graph.int_vector(1)])  # (M, 1)
    chosen = graph.add("GatherElements", [log_softmax, target], axis=1)  # (M, 1)
    graph.add("Squeeze", [chosen, graph.int_vector(1)], "log_probabilities")
    graph.output("logits", TensorProto.FLOAT, ["N", config.vocab_size])
    graph.output("log_probabilities", TensorProto.FLOAT, ["M"])


def _int8_logits(
    graph: GraphBuilder, weights: Weights, x: str, name: str, int8_linear: Callable[..., str]
) -> str:
    """x (N, E) -> (N, V).

    `generation.py` has its own version: there the bias and the scale of x come from the inputs of
    the graph, and the scales of the vocabulary are multiplied in last.
    """
    embeddings, bias = weights["encoder.embedding.weight"], weights["head.bias"]
    if "head.projection.weight" not in weights:
        return int8_linear(graph, x, "output", embeddings, bias, name)
    x, largest = int8.normalize_rows(graph, x)
    normalized = int8_linear(graph, x, "output", embeddings)
    scaled = graph.add("Mul", [normalized, largest])
    return graph.add("Add", [scaled, graph.constant("head.bias", bias)], name)


def _difference(model: LanguageModel, session: Session, batch: RandomBatch) -> float:
    rows, steps = batch.feeds["ids"].shape
    # Every token that is not padding.
    step, row = np.nonzero(np.arange(steps)[:, None] < batch.feeds["lengths"])
    targets = batch.generator.integers(model.config.encoder.vocab_size, size=len(step))
    positions = step * rows + row
    expected, _ = model(batch.ids, batch.state)
    logits = expected.numpy()[row, step]
    found, scores = session.run(
        ["logits", "log_probabilities"],
        {**batch.feeds, "positions": positions, "scored": positions, "targets": targets},
    )
    chosen = np.take_along_axis(softmax(logits), targets[:, None], 1)[:, 0]
    return max(
        float(np.abs(softmax(found) - softmax(logits)).max()),
        float(np.abs(np.exp(scores) - chosen).max()),
    )


GRAPH = TaskGraph(
    add_nodes,
    _difference,
    other_graphs=generation.generation_files,
    difference_of_others=generation.difference,
)
