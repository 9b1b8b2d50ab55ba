"""A trained model as an ONNX graph, built node by node from its weights.

Knows: which parts make a task's graph, and how the file speaks of itself. Does not know: torch,
files, or whether the graph is any good; it takes arrays and gives bytes.

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
              -> emissions (N, labels), and of the CRF start (labels), transitions (labels,
              labels; from row to column) and end (labels)

A record's answer is the same whatever else is in its batch. The graph is stored as it is meant to
run: ONNX Runtime's own optimiser, at its extended level, merges none of a language model's nodes,
and what it saved was no quicker to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from onnx import TensorProto

from rnntext.config import ModelConfig
from rnntext.tasks import TASKS
from rnntext.training.onnx.common import Weights, task_graph
from rnntext.training.onnx.graph_builder import GraphBuilder


def build(
    config: ModelConfig,
    weights: Weights,
    precision: str = "float32",
    description: str = "",
    about: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The content of `model.onnx`. `weights`: float32, by their names in `model.safetensors`;
    `description` and the entries of `about` become the file's doc string and metadata."""
    graph = GraphBuilder()
    graph.input("ids", TensorProto.INT64, ["B", "T"])
    graph.input("lengths", TensorProto.INT32, ["B"])
    quantized = precision == "int8"
    task_graph(config).add_nodes(graph, config.encoder, weights, quantized=quantized)
    return graph.to_bytes(description, about)


def documentation(config: ModelConfig) -> str:
    """A description of the inputs and outputs of this model's graph."""
    assert __doc__ is not None  # noqa: S101
    start, end = __doc__.index("Inputs and outputs"), __doc__.index("A record's answer")
    return f"A {TASKS[config.task].title} made by rnntext.\n\n{__doc__[start:end].rstrip()}\n"


def other_graphs(
    config: ModelConfig, weights: Weights, precision: str = "float32"
) -> dict[str, bytes]:
    """The graphs that a checkpoint has beside `model.onnx`, by file name."""
    return task_graph(config).other_graphs(config, weights, precision)
