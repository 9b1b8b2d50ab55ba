"""Builds an ONNX graph node by node.

Knows: how nodes, initializers, inputs and outputs become the bytes of a model, and how a subgraph
becomes the body of a node. Does not know: what any graph computes.
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
CONTRIB_DOMAIN = "com.microsoft"  # ONNX Runtime's contributed operators

Array = npt.NDArray[Any]


@dataclass
class GraphBuilder:
    """Collects nodes and weights. Most methods return the name of the value that they add.

    `prefix` begins every name in a subgraph, so that no name appears in two graphs.
    """

    prefix: str = ""
    domains: set[str] = field(default_factory=lambda: {""})
    external: set[str] = field(default_factory=set)  # names of external initializers
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    parent: GraphBuilder | None = None  # holds this graph's constants; None: this graph holds them

    def subgraph(self, name: str, *, share_constants: bool = False) -> GraphBuilder:
        """An empty graph for the body of one of this graph's nodes. Its nodes may use any value
        that this graph already has. `share_constants`: store constants in this graph, so that
        several bodies use the same ones."""
        parent = self if share_constants else None
        return GraphBuilder(f"{self.prefix}{name}.", self.domains, parent=parent)

    def input(self, name: str, dtype: int, shape: Sequence[int | str]) -> str:
        name = self.prefix + name
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: int, shape: Sequence[int | str]) -> None:
        """Declare the value called `name` an output of the graph."""
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name: str, value: Array) -> str:
        """Add an initializer, unless there is already one of this name."""
        if self.parent is not None:
            return self.parent.constant(name, value)
        name = self.prefix + name
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def external_constant(self, name: str, value: Array) -> str:
        """Add an external initializer: its data are not in the file, but are passed to the
        session together with the graph."""
        self.external.add(name)
        return self.constant(name, value)

    def int_vector(self, *values: int) -> str:
        """An int64 constant with one dimension."""
        return self.constant("_".join(["i", *map(str, values)]), np.array(values, np.int64))

    def int_scalar(self, value: int) -> str:
        """An int64 constant with no dimension."""
        return self.constant(f"s_{value}", np.array(value, np.int64))

    def float_scalar(self, value: float) -> str:
        """A float32 constant with no dimension."""
        return self.constant(f"f_{value:g}", np.array(value, np.float32))

    def add(self, operator: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node with one output, called `name`."""
        name = name or f"{self.prefix}n{len(self.nodes)}"
        return self.add_with_outputs(operator, inputs, [name], **attributes)[0]

    def add_with_outputs(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        """Add a node with several outputs, called `names`."""
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        self.domains.add(attributes.get("domain", ""))
        return names

    def split(self, x: str, name: str, count: int) -> Sequence[str]:
        """Split x (N, K) into `count` equal parts (N, K / count)."""
        names = [f"{self.prefix}{name}{index}" for index in range(count)]
        return self.add_with_outputs("Split", [x], names, axis=1)

    def slice(self, x: str, start: int, stop: int, axis: int, name: str = "") -> str:
        """`x[start:stop]` along `axis`."""
        limits = [self.int_vector(start), self.int_vector(stop), self.int_vector(axis)]
        return self.add("Slice", [x, *limits], name)

    def step_numbers(self, x: str) -> str:
        """The numbers 0 to T - 1 of the time steps of x (T, ...): (T, 1)."""
        count = self.add("Squeeze", [self.add("Shape", [x], start=0, end=1)])
        numbers = self.add("Range", [self.int_scalar(0), count, self.int_scalar(1)])
        return self.add("Unsqueeze", [numbers, self.int_vector(1)])

    def body(self) -> onnx.GraphProto:
        """This graph as an attribute of a node."""
        return helper.make_graph(
            self.nodes,
            self.prefix.rstrip(".") or "rnntext",
            self.inputs,
            self.outputs,
            list(self.initializers.values()),
        )

    def to_bytes(self, description: str, metadata: Mapping[str, str]) -> bytes:
        """The content of an ONNX file. The same graph always gives the same bytes."""
        versions = {"": OPSET, CONTRIB_DOMAIN: 1}
        model = helper.make_model(
            self.body(),
            opset_imports=[helper.make_opsetid(d, versions[d]) for d in sorted(self.domains)],
            ir_version=IR_VERSION,
            producer_name="rnntext",
            doc_string=description,
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        for tensor in model.graph.initializer:
            if tensor.name in self.external:
                tensor.ClearField("raw_data")
                tensor.data_location = onnx.TensorProto.EXTERNAL
                # ONNX requires a file name here. The file is never opened, because the session
                # receives the data.
                tensor.external_data.add(key="location", value="model.safetensors")
        return bytes(model.SerializeToString(deterministic=True))
