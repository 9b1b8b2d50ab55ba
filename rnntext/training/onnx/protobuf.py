"""A graph as the bytes of an ONNX file.

Knows: how the records of a graph become ONNX's own, and that ONNX's checker must accept them. Does
not know: what any graph computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnntext.checkpoint import WEIGHTS
from rnntext.graphs.graph_builder import (
    DTYPES,
    IR_VERSION,
    OPSET_VERSIONS,
    Graph,
    GraphBuilder,
    Tensor,
    Value,
)


def to_bytes(
    graph: GraphBuilder,
    description: str = "",
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The content of an ONNX file. The same graph always gives the same bytes."""
    model = helper.make_model(
        _graph(graph.body()),
        opset_imports=[helper.make_opsetid(d, OPSET_VERSIONS[d]) for d in sorted(graph.domains)],
        ir_version=IR_VERSION,
        producer_name="rnntext",
        doc_string=description,
    )
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    external = {tensor.name for tensor in graph.tensors.values() if tensor.external}
    for tensor in model.graph.initializer:
        if tensor.name in external:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            # ONNX requires a file name here. The file is never opened, because the session
            # receives the data.
            tensor.external_data.add(key="location", value=WEIGHTS)
    return bytes(model.SerializeToString(deterministic=True))


def _graph(graph: Graph) -> onnx.GraphProto:
    nodes = [
        helper.make_node(
            node.operator,
            node.inputs,
            node.outputs,
            domain=node.domain or None,
            **{name: _attribute(value) for name, value in node.attributes.items()},
        )
        for node in graph.nodes
    ]
    inputs, outputs = (list(map(_value, values)) for values in (graph.inputs, graph.outputs))
    return helper.make_graph(nodes, graph.name, inputs, outputs, list(map(_tensor, graph.tensors)))


def _attribute(value: Any) -> Any:
    if isinstance(value, Graph):
        return _graph(value)
    return _tensor(value) if isinstance(value, Tensor) else value


def _tensor(tensor: Tensor) -> onnx.TensorProto:
    value = tensor.value
    if value is None:  # the checker wants data
        value = np.zeros(tensor.shape, DTYPES[tensor.element_type])
    return numpy_helper.from_array(np.asarray(value, order="C"), tensor.name)


def _value(value: Value) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(value.name, value.element_type, value.shape)
