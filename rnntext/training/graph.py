"""A trained model as an ONNX graph, built node by node from its weights.

Knows: ONNX's operators and orders of gates, and how a graph is made that gives the same answer
for a record whatever else is in its batch. Does not know: torch, files, or whether the graph is
any good; it takes arrays and gives bytes.

Inputs and outputs, B rows of T tokens, padded at their ends (a state where the encoder reads in
one direction alone: hidden and, for the LSTM, cell):
    all       ids (B, T) int64, lengths (B) int32, each at least 1
              state: hidden, cell (layers, B, H): what was read before
              -> next_hidden, next_cell: what has been read after each row's last token
    lm        + positions (N) int64: which states to predict from, as t * B + b
              + scored, targets (M) int64: which states to score from, and which ids
              -> logits (N, V), log_probabilities (M)
    classify  with a state also largest, total (B, H) and count (B): what was pooled before
              -> logits (B, labels), next_largest, next_total, next_count
    tag       + first, last (N) int64: first and last token of each word, as t * B + b
              -> emissions (N, labels), and of the CRF start (labels), transitions (labels,
              labels; from row to column) and end (labels)

The graph is stored as it is meant to run: ONNX Runtime's own optimiser, at its extended level,
finds next to nothing to merge in it (none of a language model's 18 nodes, 3 of a tagger's 14), and
what it saved was no quicker to load.

int8
    One record must not change another's answer, and ONNX Runtime's dynamically quantised LSTM
    takes the range of its inputs over the whole batch. Two units more in each layer (RANGE) hold
    that range still: one is always 1, one always -1, which no state of an LSTM exceeds, and none
    of the others listens to them. So the scale is the same for every batch and a record's answer
    the same to the bit. The embeddings, which the first layer reads, carry two such columns.
    There is no such kernel for the GRU and the vanilla RNN: their weights are stored as int8 and
    multiplied out when the graph is loaded. The product with the vocabulary takes states as they
    are, between -1 and 1, and scales a row that a projection made by its own largest entry. Weights
    keep 7 bits, a scale for each row of the matrix: products of 8-bit weights overflow the 16-bit
    sums of x86 processors without VNNI, and the answer would depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from rnntext.config import TASK_NAMES, EncoderConfig, ModelConfig
from rnntext.training.nodes import CONTRIBUTED, Graph

PRECISIONS = ("float32", "int8")

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

# Where each of ONNX's gates stands among PyTorch's: ONNX has input, output, forget, cell and
# update, reset, hidden; PyTorch input, forget, cell, output and reset, update, new.
_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}

# Lower than any state, which is at least -1.
_LOWEST = -1e4
# Units that hold the range of an int8 layer still, and what saturates a gate or cell of theirs.
_RANGE = 2
_SATURATED = 40.0
_LARGEST_WEIGHT = 63  # 7 bits
_LARGEST_ACTIVATION = 127
_MIDDLE = 128  # the uint8 that stands for 0


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Names of what the encoder's last layer gives."""

    states: str  # (T, directions, B, H), zero past a row's end
    final: str  # (directions, B, H)


def build(
    config: ModelConfig,
    weights: Weights,
    precision: str = "float32",
    description: str = "",
    about: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The content of `model.onnx`: `weights` are named as in `model.safetensors`, float32; the
    file carries a description and facts `about` it by name."""
    graph = Graph()
    graph.input("ids", TensorProto.INT64, ["B", "T"])
    graph.input("lengths", TensorProto.INT32, ["B"])
    heads = {"lm": _language_model, "classify": _classifier, "tag": _tagger}
    int8 = precision == "int8"
    encoded = _encoder(graph, config.encoder, weights, int8)
    heads[config.task](graph, config.encoder, weights, encoded, int8)
    return graph.to_bytes(description, about)


def documentation(config: ModelConfig) -> str:
    """What the inputs and outputs of this model's graph are."""
    assert __doc__ is not None  # noqa: S101
    start, end = __doc__.index("Inputs and outputs"), __doc__.index("The graph is stored")
    return f"A {TASK_NAMES[config.task]} made by rnntext.\n\n{__doc__[start:end].rstrip()}\n"


def cooled(weights: Weights, temperature: float) -> dict[str, Array]:
    """A classifier's weights, its logits divided by `temperature`."""
    head = ("head.output.weight", "head.output.bias")
    return {**weights, **{name: weights[name] / np.float32(temperature) for name in head}}


# The encoder


def _encoder(graph: Graph, config: EncoderConfig, weights: Weights, int8: bool) -> _Encoded:
    parts: tuple[str, ...] = ()
    shape: list[int | str] = [config.num_layers, "B", config.hidden_size]
    if not config.bidirectional:
        parts = config.state_names
        for part in parts:
            graph.input(part, TensorProto.FLOAT, shape)
    with_range = int8 and config.cell == "lstm"
    x = _embeddings(graph, config, weights, int8, with_range)
    width = config.output_size + config.directions * (_RANGE if with_range else 0)
    starts = _wide_states(graph, config) if with_range else parts
    befores = [_by_layer(graph, start, config) for start in starts]
    y = ""
    finals: list[Sequence[str]] = []
    for index in range(config.num_layers):
        before = [layers[index] for layers in befores]
        if index:
            x = _side_by_side(graph, y, config.directions, width)
        layer = _int8_lstm if with_range else partial(_layer, int8=int8)
        y, final = layer(graph, config, weights, index, x, before)
        finals.append(final)
    last = finals[-1][0]
    if with_range:
        y = graph.rows(y, 0, config.hidden_size, 3)
        last = graph.rows(last, 0, config.hidden_size, 2)
    for part, states in zip(parts, zip(*finals, strict=True), strict=False):
        name = f"next_{part}"
        if with_range:
            graph.rows(graph.add("Concat", states, axis=0), 0, config.hidden_size, 2, name)
        else:
            graph.add("Concat", states, name, axis=0)
        graph.output(name, TensorProto.FLOAT, shape)
    return _Encoded(y, last)


def _by_layer(graph: Graph, part: str, config: EncoderConfig) -> Sequence[str]:
    """(layers, B, H) -> (1, B, H) for each layer; each layer's own where there are two directions,
    which all start from the same."""
    layers = config.num_layers
    if layers == 1 or config.bidirectional:
        return [part] * layers
    return graph.add_many("Split", [part], [f"{part}{index}" for index in range(layers)], axis=0)


def _wide_states(graph: Graph, config: EncoderConfig) -> Sequence[str]:
    """The states that an int8 LSTM starts from, with the range's units: (layers, B, H + 2), or
    where nothing is read before (directions, B, H + 2), the same for every layer."""
    before = () if config.bidirectional else config.state_names
    count = config.num_layers if before else config.directions
    width = _RANGE if before else config.hidden_size + _RANGE
    rows = graph.add("Shape", ["lengths"])
    shape = graph.add("Concat", [graph.integers(count), rows, graph.integers(width)], axis=0)
    wide = []
    # tanh of a saturated cell is 1: the state that the range's units have at every step.
    for part, end in enumerate((1.0, _SATURATED)):
        units = np.zeros(width, np.float32)
        units[-_RANGE:] = end, -end
        state = graph.add("Expand", [graph.constant(f"range{part}", units), shape])
        wide.append(graph.add("Concat", [before[part], state], axis=2) if before else state)
    return wide


def _side_by_side(graph: Graph, y: str, directions: int, width: int) -> str:
    """(T, directions, B, H) -> (T, B, directions * H)"""
    if directions == 1:
        return graph.add("Squeeze", [y, graph.integers(1)])
    y = graph.add("Transpose", [y], perm=[0, 2, 1, 3])
    return graph.add("Reshape", [y, graph.integers(0, 0, width)])


def _embeddings(
    graph: Graph, config: EncoderConfig, weights: Weights, int8: bool, with_range: bool
) -> str:
    """(T, B, E), with the range's columns (T, B, E + 2)."""
    table = weights["encoder.embedding.weight"]
    steps = graph.add("Transpose", ["ids"], perm=[1, 0])
    if not int8:
        return graph.add("Gather", [graph.constant("embedding", table), steps], axis=0)
    # One scale for the whole table, because the layer that reads it has one scale as well.
    scale = max(float(np.abs(table).max()), 1e-8) / _LARGEST_ACTIVATION
    quantized = np.round(table / scale).astype(np.int8)
    if with_range:
        # 255 steps of one scale: the layer's own rounding then changes nothing.
        ends = np.array([_LARGEST_ACTIVATION, -_LARGEST_ACTIVATION - 1], np.int8)
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
    int8: bool,
) -> tuple[str, Sequence[str]]:
    """x (T, B, I) -> states (T, directions, B, H), the state after (directions, B, H) each."""
    names = []
    for name, array in _parameters(config.cell, weights, index).items():
        if int8 and name != "B":
            names.append(_stored_as_int8(graph, f"layer{index}.{name}", array))
        else:
            names.append(graph.constant(f"layer{index}.{name}", array))
    attributes: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
    y, *final = graph.add_many(
        _OPERATORS[config.cell],
        [x, *names, "lengths", *before],
        [f"layer{index}.y", f"layer{index}.h", f"layer{index}.c"][: 1 + config.state_parts],
        hidden_size=config.hidden_size,
        direction="bidirectional" if config.bidirectional else "forward",
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
    input_weights, state_weights, bias = _with_range(_parameters("lstm", weights, index), index)
    inputs = [x]
    scales = []
    for letter, matrix in (("W", input_weights), ("R", state_weights)):
        # (directions, 4 * H, I): a scale for each row; the operator wants (directions, I, 4 * H).
        quantized, scale = _quantize(matrix)
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
        direction="bidirectional" if config.bidirectional else "forward",
    )
    return y, final


def _parameters(cell: str, weights: Weights, index: int) -> dict[str, Array]:
    """W, R and B of ONNX's recurrent operators, each with the directions along axis 0."""
    prefix = f"encoder.layers.{index}."
    directions = [d for d in ("forward", "backward") if f"{prefix}{d}_cell.weight_ih_l0" in weights]

    def ordered(name: str, direction: str) -> Array:
        gates = np.split(weights[f"{prefix}{direction}_cell.{name}_l0"], len(_GATES[cell]))
        return np.concatenate([gates[index] for index in _GATES[cell]])

    return {
        "W": np.stack([ordered("weight_ih", d) for d in directions]),
        "R": np.stack([ordered("weight_hh", d) for d in directions]),
        "B": np.stack(
            [np.concatenate([ordered("bias_ih", d), ordered("bias_hh", d)]) for d in directions]
        ),
    }


def _with_range(parameters: dict[str, Array], index: int) -> tuple[Array, Array, Array]:
    """An LSTM layer's parameters with two units more whose states are 1 and -1 for ever."""
    bias = parameters["B"]
    directions, hidden = len(bias), bias.shape[1] // 8
    # Gates apart, so that each gets its two units: (directions, gates, H, ...).
    rows = parameters["W"].reshape(directions, 4, hidden, -1)
    recurrent = parameters["R"].reshape(directions, 4, hidden, hidden)
    # Before the first layer stand the embeddings, before the others a layer of each direction.
    groups = 1 if index == 0 else directions
    rows = rows.reshape(directions, 4, hidden, groups, -1)
    rows = np.pad(rows, [(0, 0), (0, 0), (0, _RANGE), (0, 0), (0, _RANGE)])
    recurrent = np.pad(recurrent, [(0, 0), (0, 0), (0, _RANGE), (0, _RANGE)])
    gates = np.pad(bias.reshape(directions, 8, hidden), [(0, 0), (0, 0), (0, _RANGE)])
    # ONNX's order: input, output, forget, cell. Nothing comes in, nothing is forgotten.
    for gate, value in enumerate((-_SATURATED, _SATURATED, _SATURATED)):
        gates[:, gate, hidden:] = value
    wide = 4 * (hidden + _RANGE)
    return (
        rows.reshape(directions, wide, -1),
        recurrent.reshape(directions, wide, -1),
        gates.reshape(directions, 2 * wide),
    )


def _quantize(matrix: Array) -> tuple[Array, Array]:
    """(..., rows, K) -> int8 of 7 bits, and the scale of each row (..., rows)."""
    scale = np.abs(matrix).max(axis=-1) / _LARGEST_WEIGHT
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.round(matrix / scale[..., None]).astype(np.int8), scale


def _stored_as_int8(graph: Graph, name: str, matrix: Array) -> str:
    """float32 again when the graph is loaded, which folds what is made of constants alone."""
    quantized, scale = _quantize(matrix)
    whole = graph.add("Cast", [graph.constant(f"{name}.int8", quantized)], to=TensorProto.FLOAT)
    return graph.add("Mul", [whole, graph.constant(f"{name}.scale", scale[..., None])])


# The heads


def _flat(graph: Graph, config: EncoderConfig, states: str) -> str:
    # (T, directions, B, H) -> (T * B, directions * H): state t of row b is row t * B + b.
    if config.bidirectional:
        states = graph.add("Transpose", [states], perm=[0, 2, 1, 3])
    return graph.add("Reshape", [states, graph.integers(-1, config.output_size)])


def _linear(graph: Graph, x: str, name: str, weights: Weights, output: str = "") -> str:
    weight = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("Gemm", [x, weight, bias], output, transB=1)


def _language_model(
    graph: Graph, config: EncoderConfig, weights: Weights, encoded: _Encoded, int8: bool
) -> None:
    for name, size in (("positions", "N"), ("scored", "M"), ("targets", "M")):
        graph.input(name, TensorProto.INT64, [size])
    states = _flat(graph, config, encoded.states)

    def logits(positions: str, name: str) -> str:
        x = graph.add("Gather", [states, positions], axis=0)
        if "head.projection.weight" in weights:
            x = _linear(graph, x, "head.projection", weights)
        if int8:
            return _int8_logits(graph, weights, x, name)
        bias = graph.constant("head.bias", weights["head.bias"])
        return graph.add("Gemm", [x, "embedding", bias], name, transB=1)

    logits("positions", "logits")  # (N, V)
    # Three times as fast as ReduceLogSumExp, though it writes a number for each word.
    normalized = graph.add("LogSoftmax", [logits("scored", "scores")], axis=1)  # (M, V)
    target = graph.add("Unsqueeze", ["targets", graph.integers(1)])  # (M, 1)
    chosen = graph.add("GatherElements", [normalized, target], axis=1)  # (M, 1)
    graph.add("Squeeze", [chosen, graph.integers(1)], "log_probabilities")
    graph.output("logits", TensorProto.FLOAT, ["N", config.vocab_size])
    graph.output("log_probabilities", TensorProto.FLOAT, ["M"])


def _int8_logits(graph: Graph, weights: Weights, x: str, name: str) -> str:
    """x (N, E) -> (N, V). States lie between -1 and 1, and so does their scale; what a projection
    made of them is scaled by each row's own largest entry."""
    quantized, scale = _quantize(weights["encoder.embedding.weight"])
    step = graph.constant("step", np.array(1 / _LARGEST_ACTIVATION, np.float32))
    middle = graph.constant("middle", np.array(_MIDDLE, np.uint8))
    constants = [
        step,
        graph.constant("output.scale", scale),
        middle,
        graph.constant("output.zero", np.zeros(len(scale), np.int8)),
    ]
    words = graph.constant("output.int8", quantized.T)
    bias = graph.constant("head.bias", weights["head.bias"])
    multiply = partial(graph.add, "MatMulIntegerToFloat", domain=CONTRIBUTED)
    if "head.projection.weight" not in weights:
        rows = graph.add("QuantizeLinear", [x, step, middle])
        return multiply([rows, words, *constants, bias], name)
    largest = graph.add("ReduceMax", [graph.add("Abs", [x])], axes=[1], keepdims=1)  # (N, 1)
    largest = graph.add("Max", [largest, graph.number(1e-8)])
    rows = graph.add("QuantizeLinear", [graph.add("Div", [x, largest]), step, middle])
    product = graph.add("Mul", [multiply([rows, words, *constants]), largest])
    return graph.add("Add", [product, bias], name)


def _classifier(
    graph: Graph, config: EncoderConfig, weights: Weights, encoded: _Encoded, int8: bool
) -> None:

    def view(pooled: str) -> str:
        # (directions, B, H) -> (B, directions * H)
        pooled = graph.add("Transpose", [pooled], perm=[1, 0, 2])
        return graph.add("Reshape", [pooled, graph.integers(0, config.output_size)])

    # Each direction's state when it has read it all.
    last = view(encoded.final)
    width = graph.rows(graph.add("Shape", ["ids"]), 1, 2, 0)  # T, as a vector
    steps = graph.add("Squeeze", [width])
    zero = graph.constant("zero", np.array(0, np.int64))
    one = graph.constant("one", np.array(1, np.int64))
    step = graph.add("Unsqueeze", [graph.add("Range", [zero, steps, one]), graph.integers(1)])
    valid = graph.add("Less", [step, graph.add("Cast", ["lengths"], to=TensorProto.INT64)])
    valid = graph.add("Unsqueeze", [valid, graph.integers(1, 3)])  # (T, 1, B, 1)
    masked = graph.add("Where", [valid, encoded.states, graph.number(_LOWEST)])
    # Pooling takes half the time of ReduceMax, which looks at one number after the other.
    rows = graph.add("Transpose", [masked], perm=[1, 2, 3, 0])  # (directions, B, H, T)
    shape = graph.add("Concat", [graph.integers(-1, config.hidden_size), width], axis=0)
    rows = graph.add("Reshape", [rows, shape])
    largest = graph.add("GlobalMaxPool", [rows])  # (directions * B, H, 1)
    shape = graph.integers(config.directions, -1, config.hidden_size)
    largest = view(graph.add("Reshape", [largest, shape]))
    # The operators fill padding with zeros, so a plain sum is a sum over the row's own steps.
    total = view(graph.add("ReduceSum", [encoded.states, graph.integers(0)], keepdims=0))
    count = graph.add("Cast", ["lengths"], to=TensorProto.FLOAT)  # (B)
    if not config.bidirectional:
        largest = _pooled(graph, "Max", "largest", largest, ["B", config.hidden_size])
        total = _pooled(graph, "Add", "total", total, ["B", config.hidden_size])
        count = _pooled(graph, "Add", "count", count, ["B"])
    mean = graph.add("Div", [total, graph.add("Unsqueeze", [count, graph.integers(1)])])
    views = graph.add("Concat", [last, largest, mean], axis=1)  # (B, 3H)
    _linear(graph, views, "head.output", weights, "logits")
    graph.output("logits", TensorProto.FLOAT, ["B", len(weights["head.output.bias"])])


def _pooled(graph: Graph, operator: str, name: str, here: str, shape: Sequence[int | str]) -> str:
    """What was pooled before joined with what is pooled here, given out to be carried on."""
    before = graph.input(name, TensorProto.FLOAT, shape)
    graph.output(f"next_{name}", TensorProto.FLOAT, shape)
    return graph.add(operator, [before, here], f"next_{name}")


def _tagger(
    graph: Graph, config: EncoderConfig, weights: Weights, encoded: _Encoded, int8: bool
) -> None:
    graph.input("first", TensorProto.INT64, ["N"])
    graph.input("last", TensorProto.INT64, ["N"])
    states = _flat(graph, config, encoded.states)
    words = graph.add("Gather", [states, "last"], axis=0)
    if config.bidirectional:
        # The forward direction at the last token, the backward direction at the first.
        forward = graph.rows(words, 0, config.hidden_size, 1)
        backward = graph.add("Gather", [states, "first"], axis=0)
        backward = graph.rows(backward, config.hidden_size, config.output_size, 1)
        words = graph.add("Concat", [forward, backward], axis=1)
    _linear(graph, words, "head.output", weights, "emissions")
    labels = len(weights["head.output.bias"])
    graph.output("emissions", TensorProto.FLOAT, ["N", labels])
    for name, shape in (("start", [labels]), ("transitions", [labels] * 2), ("end", [labels])):
        graph.add("Identity", [graph.constant(f"crf.{name}", weights[f"head.crf.{name}"])], name)
        graph.output(name, TensorProto.FLOAT, shape)
