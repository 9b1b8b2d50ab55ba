"""The graph of a tagger: emissions of each word, and the parameters of the CRF if it has one.

Knows: which hidden states represent a word. Does not know: how a text is read, or how tags are
decoded.
"""

from __future__ import annotations

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs import bidirectional, common, unidirectional
from rnntext.graphs.common import TaskGraph, Weights
from rnntext.graphs.graph_builder import ElementType, GraphBuilder
from rnntext.tag_parts import composition


def add_nodes(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> None:
    """Add the encoder, the output layer and the CRF's parameters, and their inputs and outputs;
    `ids` and `lengths` are already there."""
    graph.input("first", ElementType.INT64, ["N"])
    graph.input("last", ElementType.INT64, ["N"])
    if config.bidirectional:
        # The forward direction at the last token, the backward direction at the first.
        directions = bidirectional.encode(graph, config, weights, quantized=quantized)
        halves = [
            graph.add("Gather", [common.flatten_steps(graph, config, states), positions], axis=0)
            for states, positions in zip(directions, ("last", "first"), strict=True)
        ]
        words = graph.add("Concat", halves, axis=1)
    else:
        encoded = unidirectional.encode(graph, config, weights, quantized=quantized)
        states = common.flatten_steps(graph, config, encoded.states)
        words = graph.add("Gather", [states, "last"], axis=0)
    common.linear(graph, words, "head.output", weights, "emissions")
    labels = len(weights["head.output.bias"])
    graph.output("emissions", ElementType.FLOAT, ["N", labels])
    if "head.crf.start" not in weights:
        return
    for name, shape in (("start", [labels]), ("transitions", [labels] * 2), ("end", [labels])):
        graph.add("Identity", [graph.constant(f"crf.{name}", weights[f"head.crf.{name}"])], name)
        graph.output(name, ElementType.FLOAT, shape)


def _head_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    labels, inputs = len(config.labels), config.encoder.output_size
    parts = composition(config)
    shapes: dict[str, tuple[int, ...]] = {
        "head.output.weight": (labels if parts is None else len(parts), inputs),
        "head.output.bias": (labels,),
    }
    if parts is not None:
        shapes["head.output.parts"] = parts.shape
    if config.crf:
        shapes["head.crf.transitions"] = (labels, labels)
        shapes["head.crf.start"] = shapes["head.crf.end"] = (labels,)
    return shapes


GRAPH = TaskGraph(add_nodes, _head_shapes)
