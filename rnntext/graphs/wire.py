"""Reads the structure of an ONNX file from its bytes, with or without the data of its weights.

Knows: the wire format of Protocol Buffers and the numbers of ONNX's fields (onnx.proto). Does not
know: what a graph computes, or which graphs are allowed (`expected.py`).

The package `onnx` would take a fifth of a second to import and a copy of every weight. This reads
only what rnntext writes: a field that it never writes, a number that no file of this size can have,
and a tensor whose data are not as long as its shape says are errors. So nothing that ONNX Runtime
may find in the file is unknown here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnntext.graphs.graph_builder import DTYPES, ElementType, Graph, Node, Tensor, Value

# Of all messages together: 64 layers in two directions have a tenth of it.
_MOST_FIELDS = 1_000_000
_DEEPEST = 2  # graphs inside each other: the body of a loop has no loop

_VARINT, _BYTES = 0, 2  # kinds of fields; rnntext writes no other
_SMALL = 1 << 16
_EXTERNAL = 1  # the value of `data_location`

Data = bytes | memoryview
Fields = dict[int, list[Any]]


class WireError(ValueError):
    """The bytes are not those of an ONNX file that rnntext writes; the message says why."""


class Model(NamedTuple):
    """The structure of an ONNX file."""

    graph: Graph
    operator_sets: Mapping[str, int]
    metadata: Mapping[str, str]


def read_model(content: Data, *, with_weights: bool = False) -> Model:
    """Read the structure of an ONNX file, with `with_weights` also the values of all tensors, as
    views of `content`. Raises WireError."""
    return _Reader(with_weights).model(memoryview(content))


class _Reader:
    def __init__(self, with_weights: bool) -> None:
        self._left = _MOST_FIELDS
        self._with_weights = with_weights

    def model(self, data: Data) -> Model:
        fields = self._fields(data, "a model", {1: 1, 2: 1, 6: 1, 7: 1, 8: 2, 14: 1000})
        opsets: dict[str, int] = {}
        for entry in fields.get(8, []):
            opset = self._fields(entry, "an operator set", {1: 1, 2: 1})
            opsets[_text(opset, 1)] = _number(opset, 2)
        metadata: dict[str, str] = {}
        for entry in fields.get(14, []):
            pair = self._fields(entry, "an entry of the metadata", {1: 1, 2: 1})
            metadata[_text(pair, 1)] = _text(pair, 2)
        if 7 not in fields:
            raise WireError("it has no graph")
        return Model(self._graph(_message(fields, 7), 1), opsets, metadata)

    def _graph(self, data: Data, depth: int) -> Graph:
        if depth > _DEEPEST:
            raise WireError("its loops have loops")
        many = _MOST_FIELDS
        fields = self._fields(data, "a graph", {1: many, 2: 1, 5: many, 11: many, 12: many})
        return Graph(
            _text(fields, 2),
            [self._node(node, depth) for node in fields.get(1, [])],
            [self._tensor(tensor) for tensor in fields.get(5, [])],
            [self._value(value) for value in fields.get(11, [])],
            [self._value(value) for value in fields.get(12, [])],
        )

    def _node(self, data: Data, depth: int) -> Node:
        fields = self._fields(data, "a node", {1: 1000, 2: 1000, 3: 1, 4: 1, 5: 20, 7: 1})
        attributes: dict[str, Any] = {}
        for entry in fields.get(5, []):
            attribute = self._fields(
                entry, "an attribute", {1: 1, 3: 1, 5: 1, 6: 1, 8: 1000, 20: 1}
            )
            name = _text(attribute, 1)
            attributes[name] = self._attribute(name, attribute, depth)
        inputs, outputs = (tuple(map(_decoded, fields.get(number, []))) for number in (1, 2))
        return Node(_text(fields, 4), inputs, outputs, _text(fields, 7), attributes)

    def _attribute(self, name: str, fields: Fields, depth: int) -> Any:
        kinds: dict[int, tuple[int, Callable[[], Any]]] = {
            2: (3, lambda: _signed(_number(fields, 3))),
            4: (5, lambda: self._tensor(_message(fields, 5))),
            5: (6, lambda: self._graph(_message(fields, 6), depth + 1)),
            7: (8, lambda: tuple(_signed(number) for number in _numbers(fields, 8))),
        }
        kind, read = kinds.get(_number(fields, 20), (0, None))
        if read is None or set(fields) - {1, 20, kind}:
            raise WireError(f"the attribute {name[:40]} is of a type that no graph of rnntext has")
        return read()

    def _tensor(self, data: Data) -> Tensor:
        fields = self._fields(data, "a tensor", {1: 8, 2: 1, 8: 1, 9: 1, 13: 1, 14: 1})
        name, element_type = _text(fields, 8), _number(fields, 2)
        dtype = DTYPES.get(element_type)
        shape = tuple(_numbers(fields, 1))
        external = 14 in fields or 13 in fields
        if external:
            place = self._fields(_message(fields, 13), "a place of data", {1: 1, 2: 1})
            if (
                _number(fields, 14) != _EXTERNAL
                or 9 in fields
                or (_text(place, 1), _text(place, 2)) != ("location", "model.safetensors")
            ):
                raise WireError(f"{name[:40]} names another file")
        raw = b"" if external else _message(fields, 9)
        if (
            dtype is None
            or any(extent >= 1 << 32 for extent in shape)
            or not (external or math.prod(shape) * dtype.itemsize == len(raw))
        ):
            raise WireError(f"{name[:40]} has not the data that its shape needs")
        is_read = self._with_weights or element_type == ElementType.INT64
        value = np.frombuffer(raw, dtype).reshape(shape) if is_read and not external else None
        return Tensor(name, element_type, shape, value, external)

    def _value(self, data: Data) -> Value:
        fields = self._fields(data, "an input or output", {1: 1, 2: 1})
        about = self._fields(_message(fields, 2), "a type", {1: 1})
        tensor = self._fields(_message(about, 1), "a type", {1: 1, 2: 1})
        shape: list[int | str] = []
        if 2 in tensor:
            for axis in self._fields(_message(tensor, 2), "a shape", {1: 8}).get(1, []):
                extent = self._fields(axis, "an axis", {1: 1, 2: 1})
                shape.append(_text(extent, 2) if 2 in extent else _number(extent, 1))
        return Value(_text(fields, 1), _number(tensor, 1), tuple(shape))

    def _fields(self, data: Data, what: str, allowed: Mapping[int, int]) -> Fields:
        """The values of a message by the numbers of their fields. `allowed`: how often each may
        occur."""
        if isinstance(data, int):
            raise WireError(f"{what} is a number")
        # Most messages are small, and bytes are quicker to walk through than a view of them.
        if len(data) < _SMALL:
            data = bytes(data)
        fields: Fields = {}
        place, end = 0, len(data)
        while place < end:
            tag = data[place]
            place += 1
            if tag >= 0x80:
                tag, place = _varint(data, place - 1)
            number, kind = tag >> 3, tag & 7
            value: Any
            if kind == _VARINT:
                value, place = _varint(data, place)
            elif kind == _BYTES:
                length, place = _varint(data, place)
                if length > end - place:
                    raise WireError("it is cut short")
                value = data[place : place + length]
                place += length
            else:
                raise WireError("it is not in the format of ONNX")
            values = fields.setdefault(number, [])
            values.append(value)
            self._left -= 1
            if len(values) > allowed.get(number, 0):
                raise WireError(f"{what} has a field {number} that rnntext does not write")
            if self._left < 0:
                raise WireError("it has too many parts")
        return fields


def _varint(data: Data, place: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    if place < len(data) and data[place] < 0x80:
        return data[place], place + 1
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise WireError("it is cut short")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise WireError("it is not in the format of ONNX")


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[0]
    if not isinstance(value, int):
        raise WireError("it is not in the format of ONNX")
    return value


def _numbers(fields: Fields, number: int) -> list[int]:
    values = fields.get(number, [])
    if not all(isinstance(value, int) for value in values):
        raise WireError("it is not in the format of ONNX")
    return values


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _message(fields: Fields, number: int) -> Data:
    value: int | Data = fields.get(number, [b""])[0]
    if isinstance(value, int):
        raise WireError("it is not in the format of ONNX")
    return value


def _text(fields: Fields, number: int) -> str:
    return _decoded(_message(fields, number))


def _decoded(value: int | Data) -> str:
    try:
        if not isinstance(value, int):
            return str(value, "utf-8")
    except UnicodeDecodeError:
        pass
    raise WireError("a name in it is not text")
