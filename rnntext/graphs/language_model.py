"""The graph of a language model: logits of the next token and log-probabilities of given tokens.

Knows: the output layer, whose weights are the embeddings, in float32 and int8. Does not know: how
a text is read, or how text is generated (`generation.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs import common, generation, int8, unidirectional
from rnntext.graphs.common import TaskGraph, Weights
from rnntext.graphs.graph_builder import ElementType, GraphBuilder


def add_nodes(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> None:
    """Add the encoder, the output layer, and their inputs and outputs; `ids` and `lengths` are
    already there. A caller asks for logits at `positions`, and for the log-probabilities of
    `targets` at the positions `scored`."""
    encoded = unidirectional.encode(graph, config, weights, quantized=quantized)
    for name, size in (("positions", "N"), ("scored", "M"), ("targets", "M")):
        graph.input(name, ElementType.INT64, [size])
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
    graph.output("logits", ElementType.FLOAT, ["N", config.vocab_size])
    graph.output("log_probabilities", ElementType.FLOAT, ["M"])


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


def _head_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    encoder = config.encoder
    shapes: dict[str, tuple[int, ...]] = {"head.bias": (encoder.vocab_size,)}
    if encoder.output_size != encoder.embed_size:
        shapes["head.projection.weight"] = (encoder.embed_size, encoder.output_size)
        shapes["head.projection.bias"] = (encoder.embed_size,)
    return shapes


GRAPH = TaskGraph(add_nodes, _head_shapes, other_graphs=generation.generation_graphs)
