"""A trained model as an ONNX graph, built node by node from its weights, and the proof that the
graph gives what the model gives.

Knows: ONNX's operators and orders of gates. Does not know: files; it gives bytes.

Inputs and outputs, B rows of T tokens, padded at their ends:
    all       ids (B, T) int64, lengths (B) int32, each at least 1
    lm        + hidden (and for the LSTM cell) (layers, B, H): the state before the first token
              + positions (N) int64: which states to predict from, as t * B + b
              + targets (N) int64: the ids whose log-probability is wanted there
              -> logits (N, V), log_probabilities (N), next_hidden, next_cell
    classify  -> logits (B, labels)
    tag       + first, last (N) int64: first and last token of each word, as t * B + b
              -> emissions (N, labels)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from rnntext.config import EncoderConfig
from rnntext.errors import TrainingError
from rnntext.runtime.session import Session
from rnntext.training.model import Classifier, LanguageModel, Model, Tagger

OPSET = 17
IR_VERSION = 8
# What export may change a probability by.
TOLERANCE = 1e-4

Array = npt.NDArray[Any]

# Where each of ONNX's gates stands among PyTorch's: ONNX has input, output, forget, cell and
# update, reset, hidden; PyTorch input, forget, cell, output and reset, update, new.
_GATES = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
_OPERATORS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


@dataclass
class _Graph:
    """Nodes and weights as they are added; each method gives back the name of its result."""

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

    def add(self, operator: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        return self.add_many(operator, inputs, [name or f"n{len(self.nodes)}"], **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def rows(self, table: str, start: int, stop: int, axis: int) -> str:
        """`table[start:stop]` along `axis`."""
        limits = [self.integers(start), self.integers(stop), self.integers(axis)]
        return self.add("Slice", [table, *limits])

    def to_bytes(self) -> bytes:
        graph = helper.make_graph(
            self.nodes, "rnntext", self.inputs, self.outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="rnntext",
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Names of what the encoder gives."""

    states: str  # (T, B, output_size)
    final: str  # (directions, B, H) of the last layer
    next_state: tuple[str, ...]  # each (layers, B, H)


def export(model: Model) -> bytes:
    """The graph of `model` as the content of `model.onnx`."""
    weights = {
        name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()
    }
    graph = _Graph()
    graph.input("ids", TensorProto.INT64, ["B", "T"])
    graph.input("lengths", TensorProto.INT32, ["B"])
    config = model.config.encoder
    if isinstance(model, LanguageModel):
        _language_model(graph, config, weights)
    elif isinstance(model, Classifier):
        _classifier(graph, config, weights)
    else:
        _tagger(graph, config, weights)
    return graph.to_bytes()


def _encoder(
    graph: _Graph, config: EncoderConfig, weights: dict[str, Array], state: Sequence[str] = ()
) -> _Encoded:
    embedding = graph.constant("embedding", weights["encoder.embedding.weight"])
    x = graph.add("Gather", [embedding, graph.add("Transpose", ["ids"], perm=[1, 0])], axis=0)
    finals: list[Sequence[str]] = []
    for index in range(config.num_layers):
        parameters = _recurrent_parameters(config.cell, weights, f"encoder.layers.{index}.")
        names = [graph.constant(f"layer{index}.{name}", a) for name, a in parameters.items()]
        before = [graph.rows(part, index, index + 1, 0) for part in state]
        attributes: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
        outputs = [f"layer{index}.y", f"layer{index}.h", f"layer{index}.c"]
        y, *final = graph.add_many(
            _OPERATORS[config.cell],
            [x, *names, "lengths", *before],
            outputs[: 1 + config.state_parts],
            hidden_size=config.hidden_size,
            direction="bidirectional" if config.bidirectional else "forward",
            **attributes,
        )
        # (T, directions, B, H) -> (T, B, directions * H)
        y = graph.add("Transpose", [y], perm=[0, 2, 1, 3])
        x = graph.add("Reshape", [y, graph.integers(0, 0, config.output_size)])
        finals.append(final)
    next_state = ("next_hidden", "next_cell")[: config.state_parts]
    if state:
        for name, parts in zip(next_state, zip(*finals, strict=True), strict=True):
            graph.add("Concat", parts, name, axis=0)
    return _Encoded(x, finals[-1][0], next_state)


def _recurrent_parameters(cell: str, weights: dict[str, Array], prefix: str) -> dict[str, Array]:
    """W, R and B of ONNX's recurrent operators, each with the directions along axis 0."""
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


def _flat(graph: _Graph, config: EncoderConfig, states: str) -> str:
    # (T, B, H) -> (T * B, H): state t of row b is row t * B + b.
    return graph.add("Reshape", [states, graph.integers(-1, config.output_size)])


def _linear(graph: _Graph, x: str, name: str, weights: dict[str, Array], output: str = "") -> str:
    weight = graph.constant(f"{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{name}.bias", weights[f"{name}.bias"])
    return graph.add("Gemm", [x, weight, bias], output, transB=1)


def _language_model(graph: _Graph, config: EncoderConfig, weights: dict[str, Array]) -> None:
    shape: list[int | str] = [config.num_layers, "B", config.hidden_size]
    parts = ("hidden", "cell")[: config.state_parts]
    state = [graph.input(name, TensorProto.FLOAT, shape) for name in parts]
    graph.input("positions", TensorProto.INT64, ["N"])
    graph.input("targets", TensorProto.INT64, ["N"])
    encoded = _encoder(graph, config, weights, state)
    x = graph.add("Gather", [_flat(graph, config, encoded.states), "positions"], axis=0)
    if "head.projection.weight" in weights:
        x = _linear(graph, x, "head.projection", weights)
    bias = graph.constant("head.bias", weights["head.bias"])
    logits = graph.add("Gemm", [x, "embedding", bias], "logits", transB=1)  # (N, V)
    normalizer = graph.add("ReduceLogSumExp", [logits], axes=[1], keepdims=1)  # (N, 1)
    target = graph.add("Unsqueeze", ["targets", graph.integers(1)])  # (N, 1)
    chosen = graph.add("GatherElements", [logits, target], axis=1)  # (N, 1)
    difference = graph.add("Sub", [chosen, normalizer])
    graph.add("Squeeze", [difference, graph.integers(1)], "log_probabilities")
    graph.output("logits", TensorProto.FLOAT, ["N", config.vocab_size])
    graph.output("log_probabilities", TensorProto.FLOAT, ["N"])
    for name in encoded.next_state:
        graph.output(name, TensorProto.FLOAT, shape)


def _classifier(graph: _Graph, config: EncoderConfig, weights: dict[str, Array]) -> None:
    encoded = _encoder(graph, config, weights)
    # (directions, B, H) -> (B, directions * H): each direction's state when it has read it all.
    last = graph.add("Transpose", [encoded.final], perm=[1, 0, 2])
    last = graph.add("Reshape", [last, graph.integers(0, config.output_size)])
    steps = graph.add("Squeeze", [graph.rows(graph.add("Shape", ["ids"]), 1, 2, 0)])
    zero = graph.constant("zero", np.array(0, np.int64))
    one = graph.constant("one", np.array(1, np.int64))
    step = graph.add("Unsqueeze", [graph.add("Range", [zero, steps, one]), graph.integers(1)])
    lengths = graph.add("Cast", ["lengths"], to=TensorProto.INT64)
    valid = graph.add("Less", [step, lengths])  # (T, B)
    valid = graph.add("Unsqueeze", [valid, graph.integers(2)])
    low = graph.constant("low", np.array(-1e4, np.float32))
    masked = graph.add("Where", [valid, encoded.states, low])
    largest = graph.add("ReduceMax", [masked], axes=[0], keepdims=0)
    # The operator fills padding with zeros, so a plain sum is a sum over the row's own steps.
    total = graph.add("ReduceSum", [encoded.states, graph.integers(0)], keepdims=0)
    count = graph.add("Unsqueeze", [graph.add("Cast", ["lengths"], to=1), graph.integers(1)])
    mean = graph.add("Div", [total, count])
    views = graph.add("Concat", [last, largest, mean], axis=1)  # (B, 3H)
    _linear(graph, views, "head.output", weights, "logits")
    labels = len(weights["head.output.bias"])
    graph.output("logits", TensorProto.FLOAT, ["B", labels])


def _tagger(graph: _Graph, config: EncoderConfig, weights: dict[str, Array]) -> None:
    graph.input("first", TensorProto.INT64, ["N"])
    graph.input("last", TensorProto.INT64, ["N"])
    states = _flat(graph, config, _encoder(graph, config, weights).states)
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


def verify(model: Model, graph: bytes) -> float:
    """The largest difference in a probability between model and graph, over random inputs of
    several lengths. Raises TrainingError where it is above TOLERANCE."""
    model = model.cpu().eval()
    session = Session(graph, threads=1)
    generator = np.random.default_rng(0)
    with torch.no_grad():
        worst = max(
            _difference(model, session, generator, rows, steps)
            for rows, steps in ((1, 1), (1, 2), (3, 7), (2, 40))
        )
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"the exported graph differs from the trained model by {worst:.2g} in probability "
            f"(at most {TOLERANCE:g} is allowed), so nothing was saved: please report this"
        )
    return worst


def _difference(
    model: Model, session: Session, generator: np.random.Generator, rows: int, steps: int
) -> float:
    config = model.config.encoder
    ids = generator.integers(config.vocab_size, size=(rows, steps))
    lengths = generator.integers(1, steps + 1, size=rows)
    lengths[0] = steps
    step, row = np.nonzero(np.arange(steps)[:, None] < lengths)  # of every real token
    feeds: dict[str, Array] = {"ids": ids, "lengths": lengths.astype(np.int32)}
    if isinstance(model, LanguageModel):
        shape = (config.num_layers, rows, config.hidden_size)
        state = [
            generator.uniform(-1, 1, shape).astype(np.float32) for _ in range(config.state_parts)
        ]
        feeds.update(zip(("hidden", "cell"), state, strict=False))
        targets = generator.integers(config.vocab_size, size=len(step))
        feeds.update(positions=step * rows + row, targets=targets)
        expected, _ = model(torch.from_numpy(ids), tuple(map(torch.from_numpy, state)))
        logits = expected.numpy()[row, step]
        found, scores = session.run(["logits", "log_probabilities"], feeds)
        chosen = np.take_along_axis(_softmax(logits), targets[:, None], 1)[:, 0]
        return max(
            float(np.abs(_softmax(found) - _softmax(logits)).max()),
            float(np.abs(np.exp(scores) - chosen).max()),
        )
    lengths_tensor = torch.from_numpy(lengths)
    if isinstance(model, Classifier):
        logits = model(torch.from_numpy(ids), lengths_tensor).numpy()
        (found,) = session.run(["logits"], feeds)
        return float(np.abs(_probabilities(model, found) - _probabilities(model, logits)).max())
    return _tagger_difference(model, session, feeds, lengths_tensor)


def _tagger_difference(
    model: Tagger, session: Session, feeds: dict[str, Array], lengths: torch.Tensor
) -> float:
    ids = feeds["ids"]
    rows, steps = ids.shape
    # Words of two tokens each, the last of an odd row having one.
    first = np.minimum(np.arange(0, steps, 2)[None, :], lengths.numpy()[:, None] - 1)  # (B, W)
    last = np.minimum(first + 1, lengths.numpy()[:, None] - 1)
    row = np.arange(rows)[:, None]
    feeds = {**feeds, "first": (first * rows + row).ravel(), "last": (last * rows + row).ravel()}
    expected = model(*map(torch.from_numpy, (ids, lengths.numpy(), first, last))).numpy()
    (found,) = session.run(["emissions"], feeds)
    labels = expected.shape[-1]
    return float(np.abs(_softmax(found) - _softmax(expected.reshape(-1, labels))).max())


def _probabilities(model: Classifier, logits: Array) -> Array:
    if model.config.multi_label:
        return np.asarray(1 / (1 + np.exp(-logits)))
    return _softmax(logits)


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))
