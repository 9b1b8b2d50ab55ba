"""An encoder of one direction, by ONNX's own recurrent operators.

Knows: ONNX's order of gates, states that go in and come out, and what holds the range of an int8
layer still. Does not know: what is made of the states.

A model that reads on where it stopped may have one short text to read, step after step, so a step
has to be quick however few rows it has.

int8: ONNX Runtime's dynamically quantised LSTM takes the range of its inputs over the whole batch.
Two units more in each layer (RANGE) hold that range still: one is always 1, one always -1, which
no state of an LSTM exceeds, and none of the others listens to them. So the scale is the same for
every batch and a record's answer the same to the bit. The embeddings, which the first layer reads,
carry two such columns. There is no such kernel for the GRU and the vanilla RNN: their weights are
stored as int8 and multiplied out when the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from rnntext.config import EncoderConfig
from rnntext.training.onnx import int8
from rnntext.training.onnx.graph import CONTRIBUTED, Graph

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

# Where each of ONNX's gates stands among PyTorch's: ONNX has input, output, forget, cell and
# update, reset, hidden; PyTorch input, forget, cell, output and reset, update, new.
_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}

_RANGE = 2
_SATURATED = 40.0  # what saturates a gate or cell of a unit of the range


@dataclass(frozen=True, slots=True)
class EncoderOutputs:
    """Names of what the encoder's last layer gives."""

    states: str  # (T, B, H), zero past a row's end
    final: str  # (layers, B, H), after each row's last step


def unroll(graph: Graph, config: EncoderConfig, weights: Weights, *, small: bool) -> EncoderOutputs:
    """Read `ids` on from the state that is given, and give out the state after; `small`: in
    int8."""
    shape: list[int | str] = [config.num_layers, "B", config.hidden_size]
    parts = config.state_names
    for part in parts:
        graph.input(part, TensorProto.FLOAT, shape)
    with_range = small and config.cell == "lstm"
    x = _embeddings(graph, weights["encoder.embedding.weight"], small, with_range)
    starts = [_wide(graph, part, config.hidden_size) for part in parts] if with_range else parts
    befores = [_by_layer(graph, start, config.num_layers) for start in starts]
    y = ""
    finals: list[Sequence[str]] = []
    for index in range(config.num_layers):
        layer = _int8_lstm if with_range else partial(_layer, small=small)
        before = [layers[index] for layers in befores]
        y, final = layer(graph, config, weights, index, x, before)
        x = y = graph.add("Squeeze", [y, graph.integers(1)])  # (T, B, H)
        finals.append(final)
    if with_range:
        y = graph.rows(y, 0, config.hidden_size, 2)
    for part, states in zip(parts, zip(*finals, strict=True), strict=False):
        name = f"next_{part}"
        if with_range:
            graph.rows(graph.add("Concat", states, axis=0), 0, config.hidden_size, 2, name)
        else:
            graph.add("Concat", states, name, axis=0)
        graph.output(name, TensorProto.FLOAT, shape)
    return EncoderOutputs(y, f"next_{parts[0]}")


def _by_layer(graph: Graph, part: str, layers: int) -> Sequence[str]:
    """(layers, B, H) -> (1, B, H) for each layer."""
    if layers == 1:
        return [part]
    return graph.add_many("Split", [part], [f"{part}{index}" for index in range(layers)], axis=0)


def _wide(graph: Graph, part: str, hidden: int) -> str:
    """A part of the state with the range's units: (layers, B, H + 2)."""
    # tanh of a saturated cell is 1: the state that the range's units have at every step.
    end = {"hidden": 1.0, "cell": _SATURATED}[part]
    units = np.zeros(hidden + _RANGE, np.float32)
    units[hidden:] = end, -end
    room = graph.add("Pad", [part, graph.integers(0, 0, 0, 0, 0, _RANGE)])
    return graph.add("Add", [room, graph.constant(f"range.{part}", units)])


def _embeddings(graph: Graph, table: Array, small: bool, with_range: bool) -> str:
    """(T, B, E), with the range's columns (T, B, E + 2)."""
    steps = graph.add("Transpose", ["ids"], perm=[1, 0])
    if not small:
        return graph.add("Gather", [graph.constant("embedding", table), steps], axis=0)
    # One scale for the whole table, because the layer that reads it has one scale as well.
    scale = max(float(np.abs(table).max()), 1e-8) / int8.LARGEST
    quantized = np.round(table / scale).astype(np.int8)
    if with_range:
        # 255 steps of one scale: the layer's own rounding then changes nothing.
        ends = np.array([int8.LARGEST, -int8.LARGEST - 1], np.int8)
        quantized = np.concatenate([quantized, np.tile(ends, (len(table), 1))], axis=1)
    found = graph.add("Gather", [graph.constant("embedding.int8", quantized), steps], axis=0)
    scales = graph.constant("embedding.scale", np.array(scale, np.float32))
    return graph.add("Mul", [graph.add("Cast", [found], to=TensorProto.FLOAT), scales])


def _layer(
    graph: Graph,
    config: EncoderConfig,
    weights: Weights,
    index: int,
    x: str,
    before: Sequence[str],
    small: bool,
) -> tuple[str, Sequence[str]]:
    """x (T, B, I) -> states (T, 1, B, H), the state after (1, B, H) each."""
    names = []
    for name, array in _parameters(config.cell, weights, index).items():
        if small and name != "B":
            names.append(int8.stored(graph, f"layer{index}.{name}", array))
        else:
            names.append(graph.constant(f"layer{index}.{name}", array))
    attributes: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
    y, *final = graph.add_many(
        _OPERATORS[config.cell],
        [x, *names, "lengths", *before],
        [f"layer{index}.y", f"layer{index}.h", f"layer{index}.c"][: 1 + config.state_parts],
        hidden_size=config.hidden_size,
        **attributes,
    )
    return y, final


def _int8_lstm(
    graph: Graph,
    config: EncoderConfig,
    weights: Weights,
    index: int,
    x: str,
    before: Sequence[str],
) -> tuple[str, Sequence[str]]:
    """What `_layer` does, but x and the states have the range's columns and units."""
    name = f"layer{index}"
    input_weights, state_weights, bias = _with_range(_parameters("lstm", weights, index))
    inputs = [x]
    scales = []
    for letter, matrix in (("W", input_weights), ("R", state_weights)):
        # (1, 4 * H, I): a scale for each row; the operator wants (1, I, 4 * H).
        quantized, scale = int8.quantize(matrix)
        inputs.append(graph.constant(f"{name}.{letter}.int8", quantized.transpose(0, 2, 1)))
        scales += [
            graph.constant(f"{name}.{letter}.scale", scale),
            graph.constant(f"{name}.zero", np.zeros(scale.shape, np.int8)),
        ]
    y, *final = graph.add_many(
        "DynamicQuantizeLSTM",
        [*inputs, graph.constant(f"{name}.B", bias), "lengths", *before, "", *scales],
        [f"{name}.y", f"{name}.h", f"{name}.c"],
        domain=CONTRIBUTED,
        hidden_size=config.hidden_size + _RANGE,
    )
    return y, final


def _parameters(cell: str, weights: Weights, index: int) -> dict[str, Array]:
    """W, R and B of ONNX's recurrent operators, with an axis 0 of one direction."""
    prefix = f"encoder.layers.{index}.forward_cell."

    def ordered(name: str) -> Array:
        gates = np.split(weights[f"{prefix}{name}_l0"], len(_GATES[cell]))
        return np.concatenate([gates[index] for index in _GATES[cell]])

    return {
        "W": ordered("weight_ih")[None],
        "R": ordered("weight_hh")[None],
        "B": np.concatenate([ordered("bias_ih"), ordered("bias_hh")])[None],
    }


def _with_range(parameters: dict[str, Array]) -> tuple[Array, Array, Array]:
    """An LSTM layer's parameters with two units more whose states are 1 and -1 for ever."""
    hidden = parameters["R"].shape[-1]
    more = [(0, 0), (0, _RANGE), (0, _RANGE)]
    # Gates apart, so that each gets its two units: (gates, H, ...).
    rows = np.pad(parameters["W"].reshape(4, hidden, -1), more)
    recurrent = np.pad(parameters["R"].reshape(4, hidden, hidden), more)
    gates = np.pad(parameters["B"].reshape(8, hidden), more[:2])
    # ONNX's order: input, output, forget, cell. Nothing comes in, nothing is forgotten.
    for gate, value in enumerate((-_SATURATED, _SATURATED, _SATURATED)):
        gates[gate, hidden:] = value
    wide = 4 * (hidden + _RANGE)
    return (
        rows.reshape(1, wide, -1),
        recurrent.reshape(1, wide, -1),
        gates.reshape(1, 2 * wide),
    )
