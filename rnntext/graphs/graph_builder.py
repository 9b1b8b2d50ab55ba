"""Builds an ONNX graph node by node, as plain records.

Knows: nodes, initializers, inputs and outputs, and how a subgraph becomes the body of a node. Does
not know: what any graph computes, how a graph becomes the bytes of a file
(`training/onnx/protobuf.py`) or how it is read from them (`wire.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

OPSET = 17
IR_VERSION = 8
CONTRIB_DOMAIN = "com.microsoft"  # ONNX Runtime's contributed operators
OPSET_VERSIONS = {"": OPSET, CONTRIB_DOMAIN: 1}

Array = npt.NDArray[Any]


class ElementType(IntEnum):
    """Types of elements, by their numbers in ONNX."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    INT32 = 6
    INT64 = 7
    BOOL = 9
    DOUBLE = 11


DTYPES: dict[int, np.dtype[Any]] = {
    ElementType.FLOAT: np.dtype("<f4"),
    ElementType.UINT8: np.dtype("u1"),
    ElementType.INT8: np.dtype("i1"),
    ElementType.INT32: np.dtype("<i4"),
    ElementType.INT64: np.dtype("<i8"),
    ElementType.BOOL: np.dtype("?"),
    ElementType.DOUBLE: np.dtype("<f8"),
}
_ELEMENT_TYPES = {dtype: ElementType(element_type) for element_type, dtype in DTYPES.items()}


# Records of this package are named tuples, because every command makes their classes as it starts:
# that takes a sixth of the time that dataclasses take.


class Tensor(NamedTuple):
    """An initializer, or the value of an attribute."""

    name: str
    element_type: int
    shape: tuple[int, ...]
    # Its elements; None if they are passed to the session and are not in the file (`external`), or
    # if the tensor was read from a file without its weights and is no int64, of which shapes and
    # axes consist.
    value: Array | None
    external: bool = False

    @classmethod
    def of(cls, name: str, value: Array) -> Tensor:
        value = np.asarray(value)
        return cls(name, _ELEMENT_TYPES[value.dtype.newbyteorder("<")], value.shape, value)


class Value(NamedTuple):
    """An input or an output: a dynamic axis has a name."""

    name: str
    element_type: int
    shape: tuple[int | str, ...]


class Node(NamedTuple):
    """An operator with the names of what it reads and gives. An attribute is an integer, a tuple of
    them, a tensor or a graph."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str
    attributes: Mapping[str, Any]


class Graph(NamedTuple):
    """A graph, or the body of a node."""

    name: str
    nodes: Sequence[Node]
    tensors: Sequence[Tensor]
    inputs: Sequence[Value]
    outputs: Sequence[Value]


@dataclass
class GraphBuilder:
    """Collects nodes and weights. Most methods return the name of the value that they add.

    `prefix` begins every name in a subgraph, so that no name appears in two graphs.
    """

    prefix: str = ""
    domains: set[str] = field(default_factory=lambda: {""})
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)  # initializers
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    parent: GraphBuilder | None = None  # holds this graph's constants; None: this graph holds them

    def subgraph(self, name: str, *, share_constants: bool = False) -> GraphBuilder:
        """An empty graph for the body of one of this graph's nodes. Its nodes may use any value
        that this graph already has. `share_constants`: store constants in this graph, so that
        several bodies use the same ones."""
        parent = self if share_constants else None
        return GraphBuilder(f"{self.prefix}{name}.", self.domains, parent=parent)

    def input(self, name: str, element_type: int, shape: Sequence[int | str]) -> str:
        name = self.prefix + name
        self.inputs.append(Value(name, element_type, tuple(shape)))
        return name

    def output(self, name: str, element_type: int, shape: Sequence[int | str]) -> None:
        """Declare the value called `name` an output of the graph."""
        self.outputs.append(Value(name, element_type, tuple(shape)))

    def constant(self, name: str, value: Array, *, external: bool = False) -> str:
        """Add an initializer, unless there is already one of this name. `external`: its data are
        not in the file, but are passed to the session together with the graph."""
        if self.parent is not None:
            return self.parent.constant(name, value, external=external)
        name = self.prefix + name
        if name not in self.tensors:
            tensor = Tensor.of(name, value)
            self.tensors[name] = (
                Tensor(name, tensor.element_type, tensor.shape, None, True) if external else tensor
            )
        return name

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
        self,
        operator: str,
        inputs: Sequence[str],
        names: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> Sequence[str]:
        """Add a node with several outputs, called `names`."""
        self.nodes.append(Node(operator, tuple(inputs), tuple(names), domain, attributes))
        self.domains.add(domain)
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

    def body(self) -> Graph:
        """This graph as an attribute of a node."""
        name = self.prefix.rstrip(".") or "rnntext"
        return Graph(name, self.nodes, list(self.tensors.values()), self.inputs, self.outputs)
