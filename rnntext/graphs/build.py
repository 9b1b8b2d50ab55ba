"""A trained model as an ONNX graph, built node by node from its weights.

Knows: which parts make a task's graph. Does not know: torch, files, or whether the graph is any
good.

Inputs and outputs, B rows of T tokens, padded at their ends (a state where the encoder reads in
one direction alone: hidden and, for the LSTM, cell):
    all       ids (B, T) int64, lengths (B) int32, each at least 1
              state: hidden, cell (layers, B, H): what was read before
              -> next_hidden, next_cell: what has been read after each row's last token
    lm        + positions (N) int64: which states to predict from, as t * B + b
              + scored, targets (M) int64: which states to score from, and which ids
              -> logits (N, V), log_probabilities (M)
    classify  with a state also largest, total (B, H) and count (B): what was pooled before
              -> logits (B, labels), next_largest, next_total, next_count
    tag       + first, last (N) int64: first and last token of each word, as t * B + b
              -> emissions (N, labels), and of the CRF, if there is one, start (labels),
              transitions (labels, labels; from row to column) and end (labels)

A record's answer is the same whatever else is in its batch. The graph is stored as it is meant to
run: ONNX Runtime's own optimiser, at its extended level, merges none of a language model's nodes,
and what it saved was no quicker to load.
"""

from __future__ import annotations

from rnntext.config import ModelConfig
from rnntext.graphs.common import Weights, task_graph
from rnntext.graphs.graph_builder import ElementType, GraphBuilder


def build_graph(config: ModelConfig, weights: Weights, precision: str) -> GraphBuilder:
    """The graph of `model.onnx`. `weights`: float32, by their names in `model.safetensors`."""
    graph = GraphBuilder()
    graph.input("ids", ElementType.INT64, ["B", "T"])
    graph.input("lengths", ElementType.INT32, ["B"])
    quantized = precision == "int8"
    task_graph(config).add_nodes(graph, config.encoder, weights, quantized=quantized)
    return graph


def inputs_and_outputs() -> str:
    """The inputs and outputs of every task's graph, for readers."""
    assert __doc__ is not None  # noqa: S101
    start, end = __doc__.index("Inputs and outputs"), __doc__.index("A record's answer")
    return __doc__[start:end].rstrip()
