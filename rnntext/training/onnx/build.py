"""A trained model as the content of an ONNX file.

Knows: how the file speaks of itself, and which graphs a checkpoint has. Does not know: torch,
files, or how a graph is built (`graphs/build.py`); it takes arrays and gives bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rnntext.config import ModelConfig
from rnntext.graphs.build import build_graph, inputs_and_outputs
from rnntext.graphs.common import Weights, task_graph
from rnntext.tasks import TASKS
from rnntext.training.onnx.protobuf import to_bytes


def build(
    config: ModelConfig,
    weights: Weights,
    precision: str = "float32",
    description: str = "",
    about: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The content of `model.onnx`. `weights`: float32, by their names in `model.safetensors`;
    `description` and the entries of `about` become the file's doc string and metadata."""
    return to_bytes(build_graph(config, weights, precision), description, about)


def documentation(config: ModelConfig) -> str:
    """A description of the inputs and outputs of this model's graph."""
    return f"A {TASKS[config.task].title} made by rnntext.\n\n{inputs_and_outputs()}\n"


def other_graphs(
    config: ModelConfig, weights: Weights, precision: str = "float32"
) -> dict[str, bytes]:
    """The graphs that a checkpoint has beside `model.onnx`, by file name."""
    graphs = task_graph(config).other_graphs(config, weights, precision)
    return {name: to_bytes(graph) for name, graph in graphs.items()}
