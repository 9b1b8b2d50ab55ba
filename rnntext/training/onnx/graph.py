"""An ONNX graph, node by node.

Knows: how nodes, constants, inputs and outputs become a model's bytes, and a graph within a graph
the body of a node. Does not know: what any graph computes.
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
    """Nodes and weights as they are added; most methods give back the name of their result.

    `name` begins every name of a graph within another, whose own names it must not repeat.
    """

    name: str = ""
    domains: set[str] = field(default_factory=lambda: {""})
    outside: set[str] = field(default_factory=set)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    keeper: Graph | None = None  # of its constants, where that is not the graph itself

    def subgraph(self, name: str, *, sharing: bool = False) -> Graph:
        """An empty graph that may be the body of one of this graph's nodes, and may use all
        that this graph has by then. `sharing`: its constants are this graph's, and so those of
        other bodies."""
        keeper = self if sharing else None
        return Graph(f"{self.name}{name}.", self.domains, keeper=keeper)

    def input(self, name: str, kind: int, shape: Sequence[int | str]) -> str:
        name = self.name + name
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        """`name` is that of a result."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, name: str, value: Array) -> str:
        if self.keeper is not None:
            return self.keeper.constant(name, value)
        name = self.name + name
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def given(self, name: str, value: Array) -> str:
        """A weight that is handed to the session together with the graph: its numbers stay out of
        the file."""
        self.outside.add(name)
        return self.constant(name, value)

    def integers(self, *values: int) -> str:
        return self.constant("_".join(["i", *map(str, values)]), np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Without a dimension."""
        return self.constant(f"s_{value}", np.array(value, np.int64))

    def number(self, value: float) -> str:
        return self.constant(f"f_{value:g}", np.array(value, np.float32))

    def add(self, operator: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        name = name or f"{self.name}n{len(self.nodes)}"
        return self.add_many(operator, inputs, [name], **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        self.domains.add(attributes.get("domain", ""))
        return names

    def split(self, x: str, name: str, count: int) -> Sequence[str]:
        """`count` equal parts along the last axis of x (N, ...)."""
        names = [f"{self.name}{name}{index}" for index in range(count)]
        return self.add_many("Split", [x], names, axis=1)

    def rows(self, table: str, start: int, stop: int, axis: int, name: str = "") -> str:
        """`table[start:stop]` along `axis`."""
        limits = [self.integers(start), self.integers(stop), self.integers(axis)]
        return self.add("Slice", [table, *limits], name)

    def steps(self, x: str) -> str:
        """The number of each step of x (T, ...): (T, 1)."""
        count = self.add("Squeeze", [self.add("Shape", [x], start=0, end=1)])
        numbers = self.add("Range", [self.integer(0), count, self.integer(1)])
        return self.add("Unsqueeze", [numbers, self.integers(1)])

    def body(self) -> onnx.GraphProto:
        """This graph as an attribute of a node."""
        return helper.make_graph(
            self.nodes,
            self.name.rstrip(".") or "rnntext",
            self.inputs,
            self.outputs,
            list(self.initializers.values()),
        )

    def to_bytes(self, documentation: str, about: Mapping[str, str]) -> bytes:
        versions = {"": OPSET, CONTRIBUTED: 1}
        model = helper.make_model(
            self.body(),
            opset_imports=[helper.make_opsetid(d, versions[d]) for d in sorted(self.domains)],
            ir_version=IR_VERSION,
            producer_name="rnntext",
            doc_string=documentation,
        )
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model)
        for tensor in model.graph.initializer:
            if tensor.name in self.outside:
                tensor.ClearField("raw_data")
                tensor.data_location = onnx.TensorProto.EXTERNAL
                # A file has to be named. It is never opened, for a session is given the numbers.
                tensor.external_data.add(key="location", value="model.safetensors")
        return bytes(model.SerializeToString(deterministic=True))
