"""The one graph that a configuration implies, and whether a file holds it.

Knows: that the builders of this package determine a graph from the configuration and the shapes of
the weights, all but the values of the weights. Does not know: what a graph computes, or how it is
run.

A graph is a program, and a stranger's could loop for ever, fill memory, or answer what it likes. So
a file is accepted only if it is, node by node, what our own builders make of its configuration:
operators, attributes, names, connections, loops and their bodies, inputs and outputs, element types
and shapes of all tensors, and the values of those that shapes and axes consist of. Only the values
of weights are free. The builders run here on weights of zeros without memory, so a comparison takes
milliseconds. A list of allowed operators would not do: an outer product of two vectors as long as
the vocabulary is made of operators that every graph has.

A change of a builder makes graphs that were written before it unknown. Whoever changes one keeps
the old form beside it, or raises the format version and says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from rnntext.config import ModelConfig
from rnntext.errors import CheckpointError
from rnntext.graphs.build import build_graph
from rnntext.graphs.common import Weights, task_graph
from rnntext.graphs.graph_builder import (
    OPSET_VERSIONS,
    ElementType,
    Graph,
    GraphBuilder,
    Node,
    Tensor,
)
from rnntext.graphs.int8 import outline
from rnntext.graphs.wire import Model, WireError


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights that graphs are made of, by their names in `model.safetensors`."""
    encoder = config.encoder
    return {
        "encoder.embedding.weight": (encoder.vocab_size, encoder.embed_size),
        **encoder.weight_shapes(),
        **task_graph(config).head_shapes(config),
    }


def expected_graph(config: ModelConfig, precision: str) -> GraphBuilder:
    """The main graph of this configuration, without the values of its weights."""
    return build_graph(config, _outlines(config), precision)


def expected_others(config: ModelConfig, precision: str) -> dict[str, GraphBuilder]:
    """The other graphs of this configuration, by file name."""
    return task_graph(config).other_graphs(config, _outlines(config), precision)


def precision_of(model: Model) -> str:
    """The precision of a graph that does not say it."""
    types = {tensor.element_type for tensor in model.graph.tensors}
    return "int8" if ElementType.INT8 in types else "float32"


def compare(found: Model, expected: GraphBuilder) -> None:
    """Raise WireError, which names the first difference, unless a file holds this graph."""
    if found.operator_sets != {domain: OPSET_VERSIONS[domain] for domain in expected.domains}:
        raise WireError("its operators are of another version")
    for difference in _differences(found.graph, expected.body()):
        raise WireError(difference)


def check_graph(path: Path, read: Callable[[], Model], expected: GraphBuilder | None) -> None:
    """Raise CheckpointError, which names the file, unless it holds the graph that its configuration
    implies; None: a model of its task has no such graph."""
    try:
        if expected is None:
            raise WireError("a model of this task has none")
        compare(read(), expected)
    except WireError as error:
        raise not_the_graph(path, error) from None


def not_the_graph(path: Path, why: WireError) -> CheckpointError:
    """Return the error for a file that does not hold the graph of its configuration."""
    return CheckpointError(
        f"{path} is not the graph of the model that its configuration describes ({why}): "
        "restore it, write it anew with `rnntext export`, or train the model again"
    )


def _outlines(config: ModelConfig) -> Weights:
    return {name: outline(shape) for name, shape in weight_shapes(config).items()}


def _differences(found: Graph, expected: Graph) -> Iterator[str]:
    if found.name != expected.name:
        yield f"a graph is called {found.name[:40]}"
    for kind, ours, theirs in (
        ("input", expected.inputs, found.inputs),
        ("output", expected.outputs, found.outputs),
    ):
        for wanted, value in zip_longest(ours, theirs):
            if wanted != value:
                yield f"the {kind} {_name(wanted or value)} is another"
    tensors = {tensor.name: tensor for tensor in found.tensors}
    if len(tensors) < len(found.tensors) or tensors.keys() != {t.name for t in expected.tensors}:
        yield "it has other weights"
        return
    for tensor in expected.tensors:
        if not _is_same(tensors[tensor.name], tensor):
            yield f"the weight {_name(tensor)} is another"
    for node, other in zip_longest(expected.nodes, found.nodes):
        if node is None or other is None:
            yield f"it has {len(found.nodes)} nodes in place of {len(expected.nodes)}"
        else:
            yield from _node_differences(other, node)


def _node_differences(found: Node, expected: Node) -> Iterator[str]:
    for name in ("operator", "domain", "inputs", "outputs"):
        if getattr(found, name) != getattr(expected, name):
            yield f"the {name} of {expected.outputs[0]} are others"
    if found.attributes.keys() != expected.attributes.keys():
        yield f"the attributes of {expected.outputs[0]} are others"
        return
    for name, value in expected.attributes.items():
        other = found.attributes[name]
        if isinstance(value, Graph) and isinstance(other, Graph):
            yield from _differences(other, value)
        elif not _is_same(other, value):
            yield f"the attribute {name} of {expected.outputs[0]} is another"


def _is_same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        expected = tuple(expected)
    if not isinstance(expected, Tensor) or not isinstance(found, Tensor):
        return not isinstance(found, Graph | Tensor) and bool(found == expected)
    about = ("name", "element_type", "shape", "external")
    if any(getattr(found, name) != getattr(expected, name) for name in about):
        return False
    # Only structure is of int64; what a stranger's weights are is theirs.
    is_structure = expected.element_type == ElementType.INT64 and not expected.external
    return not is_structure or bool(np.array_equal(found.value, expected.value))  # type: ignore[arg-type]


def _name(part: Any) -> str:
    return str(part.name)[:40]
