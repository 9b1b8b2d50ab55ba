"""The graph of a tagger: emissions of each word, and the parameters of the CRF.

Knows: which hidden states represent a word. Does not know: how a text is read, or how tags are
decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from rnntext.config import EncoderConfig
from rnntext.probabilities import softmax
from rnntext.training.onnx import bidirectional, common, unidirectional
from rnntext.training.onnx.common import RandomBatch, TaskGraph, Weights
from rnntext.training.onnx.graph_builder import GraphBuilder

if TYPE_CHECKING:
    from rnntext.runtime.session import Session
    from rnntext.training.networks.tagger import Tagger


def add_nodes(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> None:
    """Add the encoder, the output layer and the CRF's parameters, and their inputs and outputs;
    `ids` and `lengths` are already there."""
    graph.input("first", TensorProto.INT64, ["N"])
    graph.input("last", TensorProto.INT64, ["N"])
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
    graph.output("emissions", TensorProto.FLOAT, ["N", labels])
    for name, shape in (("start", [labels]), ("transitions", [labels] * 2), ("end", [labels])):
        graph.add("Identity", [graph.constant(f"crf.{name}", weights[f"head.crf.{name}"])], name)
        graph.output(name, TensorProto.FLOAT, shape)


def _difference(model: Tagger, session: Session, batch: RandomBatch) -> float:
    import torch

    rows, steps = batch.feeds["ids"].shape
    # Words of two tokens each; the last word of an odd row has one.
    end = batch.feeds["lengths"][:, None] - 1  # (B, 1)
    first = np.minimum(np.arange(0, steps, 2)[None, :], end)  # (B, W)
    last = np.minimum(first + 1, end)
    row = np.arange(rows)[:, None]
    feeds = {
        **batch.feeds,
        "first": (first * rows + row).ravel(),
        "last": (last * rows + row).ravel(),
    }
    states, _ = model.encoder(batch.ids, batch.lengths, batch.state)
    expected = model.head(states, torch.from_numpy(first), torch.from_numpy(last)).numpy()
    found, *crf = session.run(["emissions", "start", "transitions", "end"], feeds)
    parameters = (model.head.crf.start, model.head.crf.transitions, model.head.crf.end)
    return max(
        float(np.abs(softmax(found) - softmax(expected.reshape(found.shape))).max()),
        *(
            float(np.abs(given - parameter.numpy()).max())
            for given, parameter in zip(crf, parameters, strict=True)
        ),
    )


GRAPH = TaskGraph(add_nodes, _difference)
