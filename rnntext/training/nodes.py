"""An ONNX graph, node by node.

Knows: how nodes, constants, inputs and outputs become a model's bytes. Does not know: what any
graph computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

OPSET = 17
IR_VERSION = 8
CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators

Array = npt.NDArray[Any]


@dataclass
class Graph:
    """Nodes and weights as they are added; most methods give back the name of their result."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, name: str, value: Array) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, *values: int) -> str:
        return self.constant("_".join(["i", *map(str, values)]), np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"f_{value:g}", np.array(value, np.float32))

    def add(self, operator: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        return self.add_many(operator, inputs, [name or f"n{len(self.nodes)}"], **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def rows(self, table: str, start: int, stop: int, axis: int, name: str = "") -> str:
        """`table[start:stop]` along `axis`."""
        limits = [self.integers(start), self.integers(stop), self.integers(axis)]
        return self.add("Slice", [table, *limits], name)

    def to_bytes(self, documentation: str, about: Mapping[str, str]) -> bytes:
        domains = {("", OPSET), *((CONTRIBUTED, 1) for node in self.nodes if node.domain)}
        graph = helper.make_graph(
            self.nodes, "rnntext", self.inputs, self.outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(*domain) for domain in sorted(domains)],
            ir_version=IR_VERSION,
            producer_name="rnntext",
            doc_string=documentation,
        )
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
