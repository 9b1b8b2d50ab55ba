"""A unidirectional encoder, built from ONNX's own recurrent operators.

Knows: ONNX's order of gates, the state as input and output, and how an int8 layer keeps a fixed
quantization range. Does not know: what is computed from the hidden states.

A model that resumes from a saved state may have a single short text to read, step after step, so a
step has to be fast with few rows.

int8: ONNX Runtime's dynamically quantized LSTM computes the quantization range of its input over
the whole batch. Each layer therefore has two sentinel units, which pin that range: the hidden state
of one is always 1, of the other always -1, which no state of an LSTM exceeds. Their outgoing
weights are zero. So the scale is the same for every batch, and the answer to a record is the same
to the bit. The embeddings, which the first layer reads, have two such columns. ONNX Runtime has no
such kernel for the GRU and the vanilla RNN: their weights are stored as int8 and dequantized when
the graph is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rnntext.config import EncoderConfig
from rnntext.graphs import int8
from rnntext.graphs.common import Weights
from rnntext.graphs.graph_builder import CONTRIB_DOMAIN, Array, ElementType, GraphBuilder

# The index of each of ONNX's gates in PyTorch's order. ONNX: input, output, forget, cell and
# update, reset, hidden. PyTorch: input, forget, cell, output and reset, update, new.
GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}

SENTINELS = 2
_SATURATED = 40.0  # saturates the gates and the cell state of a sentinel unit


class EncoderOutputs(NamedTuple):
    """Names of the encoder's outputs in the graph."""

    states: str  # (T, B, H): hidden states of the last layer, zero at padding
    final_hidden: str  # (layers, B, H): hidden states after the last token of each row


def encode(
    graph: GraphBuilder, config: EncoderConfig, weights: Weights, *, quantized: bool
) -> EncoderOutputs:
    """Read `ids`, starting from the state in the inputs `hidden` and `cell`. The state after the
    last step becomes the outputs `next_hidden` and `next_cell`."""
    shape: list[int | str] = [config.num_layers, "B", config.hidden_size]
    parts = config.state_names
    for part in parts:
        graph.input(part, ElementType.FLOAT, shape)
    sentinels = quantized and config.cell == "lstm"
    x = _embeddings(graph, weights["encoder.embedding.weight"], quantized, sentinels)
    starts = (
        [_append_sentinels(graph, p, config.hidden_size) for p in parts] if sentinels else parts
    )
    starts_by_layer = [_split_layers(graph, start, config.num_layers) for start in starts]
    states = ""
    finals: list[Sequence[str]] = []
    for index in range(config.num_layers):
        layer = _int8_lstm if sentinels else partial(_layer, quantized=quantized)
        state = [layers[index] for layers in starts_by_layer]
        states, final = layer(graph, config, weights, index, x, state)
        x = states = graph.add("Squeeze", [states, graph.int_vector(1)])  # (T, B, H)
        finals.append(final)
    if sentinels:
        states = graph.slice(states, 0, config.hidden_size, 2)
    for part, layers in zip(parts, zip(*finals, strict=True), strict=False):
        name = f"next_{part}"
        if sentinels:
            graph.slice(graph.add("Concat", layers, axis=0), 0, config.hidden_size, 2, name)
        else:
            graph.add("Concat", layers, name, axis=0)
        graph.output(name, ElementType.FLOAT, shape)
    return EncoderOutputs(states, f"next_{parts[0]}")


def _split_layers(graph: GraphBuilder, part: str, layers: int) -> Sequence[str]:
    """(layers, B, H) -> (1, B, H) for each layer."""
    if layers == 1:
        return [part]
    names = [f"{part}{index}" for index in range(layers)]
    return graph.add_with_outputs("Split", [part], names, axis=0)


def _append_sentinels(graph: GraphBuilder, part: str, hidden: int) -> str:
    """Append the sentinel units to `hidden` or `cell`: (layers, B, H + 2)."""
    # tanh of a saturated cell state is 1, the sentinels' hidden state at every step.
    value = {"hidden": 1.0, "cell": _SATURATED}[part]
    units = np.zeros(hidden + SENTINELS, np.float32)
    units[hidden:] = value, -value
    padded = graph.add("Pad", [part, graph.int_vector(0, 0, 0, 0, 0, SENTINELS)])
    return graph.add("Add", [padded, graph.constant(f"range.{part}", units)])


def _embeddings(graph: GraphBuilder, table: Array, quantized: bool, sentinels: bool) -> str:
    """The embeddings of `ids` (T, B, E), with sentinel columns (T, B, E + 2)."""
    ids = graph.add("Transpose", ["ids"], perm=[1, 0])  # (T, B)
    if not quantized:
        return graph.add("Gather", [graph.constant("embedding", table), ids], axis=0)
    # One scale for the whole table, because the layer that reads it also has only one.
    rounded, scale = int8.quantize_embeddings(table)
    table_int8 = rounded.astype(np.int8)
    if sentinels:
        # The range is then 255 steps of this scale, so that the layer's own quantization changes
        # nothing.
        limits = np.array([int8.MAX_INT8, -int8.MAX_INT8 - 1], np.int8)
        table_int8 = np.concatenate([table_int8, np.tile(limits, (len(table), 1))], axis=1)
    rows = graph.add("Gather", [graph.constant("embedding.int8", table_int8), ids], axis=0)
    scale_name = graph.constant("embedding.scale", np.array(scale, np.float32))
    return int8.dequantize(graph, rows, scale_name)


def _layer(
    graph: GraphBuilder,
    config: EncoderConfig,
    weights: Weights,
    index: int,
    x: str,
    state: Sequence[str],
    quantized: bool,
) -> tuple[str, Sequence[str]]:
    """x (T, B, I) -> hidden states (T, 1, B, H), and the final state (1, B, H) each."""
    names = []
    for name, array in _parameters(config.cell, weights, index).items():
        if quantized and name != "B":
            names.append(int8.add_dequantized(graph, f"layer{index}.{name}", array))
        else:
            names.append(graph.constant(f"layer{index}.{name}", array))
    attributes: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
    states, *final = graph.add_with_outputs(
        _OPERATORS[config.cell],
        [x, *names, "lengths", *state],
        [f"layer{index}.y", f"layer{index}.h", f"layer{index}.c"][: 1 + config.state_parts],
        hidden_size=config.hidden_size,
        **attributes,
    )
    return states, final


def _int8_lstm(
    graph: GraphBuilder,
    config: EncoderConfig,
    weights: Weights,
    index: int,
    x: str,
    state: Sequence[str],
) -> tuple[str, Sequence[str]]:
    """The same as `_layer`, in int8; x and the states have the sentinel units."""
    name = f"layer{index}"
    input_weights, recurrent_weights, bias = _add_sentinels(_parameters("lstm", weights, index))
    inputs = [x]
    scales = []
    for letter, matrix in (("W", input_weights), ("R", recurrent_weights)):
        # The scales are those of the rows of (1, 4 * H, I), but the operator wants (1, I, 4 * H).
        weights_int8, scale = int8.quantize(matrix)
        inputs.append(graph.constant(f"{name}.{letter}.int8", weights_int8.transpose(0, 2, 1)))
        scales += [
            graph.constant(f"{name}.{letter}.scale", scale),
            graph.constant(f"{name}.zero", np.zeros(scale.shape, np.int8)),
        ]
    states, *final = graph.add_with_outputs(
        "DynamicQuantizeLSTM",
        [*inputs, graph.constant(f"{name}.B", bias), "lengths", *state, "", *scales],
        [f"{name}.y", f"{name}.h", f"{name}.c"],
        domain=CONTRIB_DOMAIN,
        hidden_size=config.hidden_size + SENTINELS,
    )
    return states, final


def _parameters(cell: str, weights: Weights, index: int) -> dict[str, Array]:
    """W, R and B of ONNX's recurrent operators; axis 0 is the direction, of size 1."""
    prefix = f"encoder.layers.{index}.forward_cell."

    def reorder_gates(name: str) -> Array:
        gates = np.split(weights[f"{prefix}{name}_l0"], len(GATES[cell]))
        return np.concatenate([gates[gate] for gate in GATES[cell]])

    return {
        "W": reorder_gates("weight_ih")[None],
        "R": reorder_gates("weight_hh")[None],
        "B": np.concatenate([reorder_gates("bias_ih"), reorder_gates("bias_hh")])[None],
    }


def _add_sentinels(parameters: dict[str, Array]) -> tuple[Array, Array, Array]:
    """W, R and B of an LSTM layer with two more units, whose states stay 1 and -1."""
    hidden = parameters["R"].shape[-1]
    padding = [(0, 0), (0, SENTINELS), (0, SENTINELS)]
    # One axis for the gates, so that each gate gets two units: (gates, H, ...).
    input_weights = np.pad(parameters["W"].reshape(4, hidden, -1), padding)
    recurrent_weights = np.pad(parameters["R"].reshape(4, hidden, hidden), padding)
    bias = np.pad(parameters["B"].reshape(8, hidden), padding[:2])
    # ONNX's order: input, output, forget, cell. The input gate is closed, the others are open.
    for gate, value in enumerate((-_SATURATED, _SATURATED, _SATURATED)):
        bias[gate, hidden:] = value
    rows = 4 * (hidden + SENTINELS)
    return (
        input_weights.reshape(1, rows, -1),
        recurrent_weights.reshape(1, rows, -1),
        bias.reshape(1, 2 * rows),
    )
