"""The graph in int8: a row's answer is its own, near the float32 one, small, and said to be so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.runtime.session import Session
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.build import build, documentation
from rnntext.training.onnx.classifier import apply_temperature
from rnntext.training.onnx.export import numpy_weights
from rnntext.training.onnx.graph_builder import CONTRIB_DOMAIN
from tests.training.onnx.test_export import CELLS, E, H, V, random_model

torch.set_num_threads(1)

Array = NDArray[Any]

TASKS = ("lm", "classify", "tag")
# Task, cell, layers, both directions.
KINDS = [
    kind
    for kind in product(TASKS, CELLS, (1, 2), (False, True))
    if not (kind[0] == "lm" and kind[3])
]
ONE_WAY = [kind[:3] for kind in KINDS if not kind[3]]
LENGTHS = (3, 7, 1, 5, 2)
ODD = V - 1  # the id whose embedding is far larger than all others


def rows_of(lengths: tuple[int, ...] = LENGTHS) -> list[Array]:
    random = np.random.default_rng(0)
    return [random.integers(ODD, size=length) for length in lengths]


def model_of(task: str, cell: str, layers: int, both: bool) -> Network:
    """A random model; one of two layers needs no projection to meet its embeddings."""
    return random_model(task, cell, layers, both, embed=H if layers == 2 else E)


def weights(task: str, cell: str, layers: int, both: bool) -> tuple[Network, dict[str, Array]]:
    """A random model, one of whose embeddings is eight times as large."""
    model = model_of(task, cell, layers, both)
    found = numpy_weights(model)
    found["encoder.embedding.weight"][ODD] *= 8
    return model, found


def start(model: Network, rows: int) -> dict[str, Array]:
    """What is carried into a graph that has read nothing."""
    config = model.config.encoder
    if config.bidirectional:
        return {}
    shape = (config.num_layers, rows, config.hidden_size)
    parts = ("hidden", "cell")[: config.state_parts]
    state = {part: np.zeros(shape, np.float32) for part in parts}
    if model.config.task != "classify":
        return state
    pooled = np.zeros(shape[1:], np.float32)
    return {**state, "largest": pooled - 1e4, "total": pooled, "count": pooled[:, 0]}


def read(
    session: Session, model: Network, rows: list[Array], before: dict[str, Array] | None = None
) -> tuple[list[Array], dict[str, Array]]:
    """What the graph says of each row, a line for each token or one for all; what it carries on.

    Padding is the odd id, which a graph that looked at it could not overlook.
    """
    lengths = np.array([len(row) for row in rows], np.int32)
    ids = np.full((len(rows), lengths.max()), ODD)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    before = start(model, len(rows)) if before is None else before
    feeds = {"ids": ids, "lengths": lengths, **before}
    # Every token of row 0, of row 1, ...
    places = np.concatenate([np.arange(len(row)) * len(rows) + n for n, row in enumerate(rows)])
    task = model.config.task
    if task == "lm":
        targets = (np.concatenate(rows) + 1) % V
        feeds.update(positions=places, scored=places, targets=targets)
    elif task == "tag":
        feeds.update(first=places, last=places)
    names = {"lm": ["logits", "log_probabilities"], "classify": ["logits"], "tag": ["emissions"]}
    found = session.run([*names[task], *(f"next_{name}" for name in before)], feeds)
    outputs, after = found[: len(names[task])], found[len(names[task]) :]
    columns = np.concatenate([part.reshape(len(part), -1) for part in outputs], axis=1)
    ends = np.cumsum(np.ones_like(lengths) if task == "classify" else lengths)[:-1]
    return np.split(columns, ends), dict(zip(before, after, strict=True))


def assert_same(found: Array, wanted: Array, *, exact: bool) -> None:
    if exact:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers", "both"), KINDS)
def test_a_row_has_the_same_answer_whatever_it_is_among(
    task: str, cell: str, layers: int, both: bool, precision: str
) -> None:
    model, tensors = weights(task, cell, layers, both)
    session = Session(build(model.config, tensors, precision), threads=1)
    # ONNX Runtime's vanilla RNN is the one that multiplies otherwise for other numbers of rows.
    exact = both or cell != "rnn"
    rows = rows_of()
    alone = [read(session, model, [row])[0][0] for row in rows]
    odd = np.full(9, ODD)
    order = [2, 4, 0, 3, 1]
    for batch, places in (
        (rows, range(len(rows))),
        ([rows[i] for i in order], order),
        ([odd, *rows], [None, *range(len(rows))]),
        ([rows[1], odd, odd[:1]], [1, None, None]),
    ):
        answers, _ = read(session, model, batch)
        for answer, place in zip(answers, places, strict=True):
            if place is not None:
                assert_same(answer, alone[place], exact=exact)
    # And it is an answer to this row.
    assert len({answer.tobytes() for answer in alone}) == len(rows)


@pytest.mark.parametrize(("task", "cell", "layers", "both"), KINDS)
def test_int8_is_near_float32_and_is_not_that(
    task: str, cell: str, layers: int, both: bool
) -> None:
    model = model_of(task, cell, layers, both)
    tensors, rows = numpy_weights(model), rows_of()
    exact, rounded = (
        np.concatenate(read(Session(build(model.config, tensors, name), 1), model, rows)[0])
        for name in ("float32", "int8")
    )
    error = np.abs(exact - rounded) / exact.std()
    assert error.max() < 0.15
    assert 2e-4 < error.mean() < 0.03


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers"), ONE_WAY)
def test_reading_on_is_reading_the_whole(task: str, cell: str, layers: int, precision: str) -> None:
    model, tensors = weights(task, cell, layers, False)
    session = Session(build(model.config, tensors, precision), threads=1)
    rows = rows_of((7, 7, 7))
    whole, end = read(session, model, rows)
    carried = start(model, len(rows))
    pieces = []
    for left, right in ((0, 1), (1, 4), (4, 7)):
        found, carried = read(session, model, [row[left:right] for row in rows], carried)
        pieces.append(found)
    joined = pieces[-1]
    if task != "classify":
        joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    # Sums of floating point numbers, of which a classifier has one, are not those of their parts.
    exact = cell == "lstm" and ((precision, task) == ("int8", "lm") or task == "tag")
    for found_row, wanted in zip(joined, whole, strict=True):
        assert_same(found_row, wanted, exact=exact)
    assert list(carried) == list(end)
    for name, part in end.items():
        np.testing.assert_allclose(carried[name], part, atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", TASKS)
def test_weights_of_zero_leave_the_bias_alone(task: str, cell: str) -> None:
    """Nothing is divided by the largest of no weights."""
    model = random_model(task, cell, 1, task != "lm")
    bias = "head.bias" if task == "lm" else "head.output.bias"
    tensors = {
        name: array if name == bias else np.zeros_like(array)
        for name, array in numpy_weights(model).items()
    }
    session = Session(build(model.config, tensors, "int8"), threads=1)
    for answer in read(session, model, rows_of())[0]:
        found = answer[:, : len(tensors[bias])]
        np.testing.assert_allclose(found, np.tile(tensors[bias], (len(found), 1)), atol=1e-7)


# What the file is


def sized(task: str, cell: str) -> tuple[ModelConfig, dict[str, Array]]:
    """A model large enough for its weights to be what the file holds."""
    encoder = EncoderConfig(cell, 211, 72, 96, 2, task != "lm")
    config = ModelConfig(task, encoder, () if task == "lm" else ("a", "b", "c"), False, 99)
    torch.manual_seed(0)
    return config, numpy_weights(build_network(config))


def graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_in(attribute.g)


def arrays(graph: bytes) -> dict[str, Array]:
    tensors = [t for g in graphs_in(onnx.load_from_string(graph).graph) for t in g.initializer]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers", "both"), KINDS)
def test_every_name_is_given_once(
    task: str, cell: str, layers: int, both: bool, precision: str
) -> None:
    """Also across the graphs within a graph, for tools that put them in each other's place."""
    model, tensors = weights(task, cell, layers, both)
    whole = onnx.load_from_string(build(model.config, tensors, precision)).graph
    names = Counter(
        name
        for graph in graphs_in(whole)
        for name in (
            *(value.name for value in graph.input),
            *(tensor.name for tensor in graph.initializer),
            *(output for node in graph.node for output in node.output),
        )
    )
    assert names
    assert max(names.values()) == 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", TASKS)
def test_int8_is_small_and_keeps_seven_bits(task: str, cell: str) -> None:
    config, tensors = sized(task, cell)
    graph, whole = (build(config, tensors, name) for name in ("int8", "float32"))
    assert len(graph) < 0.45 * len(whole)
    assert build(config, tensors, "int8") == graph
    found = {name: array for name, array in arrays(graph).items() if array.dtype == np.int8}
    matrices = {name: array for name, array in found.items() if array.any()}
    embedding = matrices.pop("embedding.int8")
    assert len(embedding) == config.encoder.vocab_size
    assert np.abs(embedding[:, :72].astype(int)).max() == 127
    # W and R of each layer and direction, and the output where it is large.
    assert len(matrices) == 4 * config.encoder.directions + (task == "lm")
    for array in matrices.values():
        assert np.abs(array.astype(int)).max() == 63
    assert not any(array.dtype == np.int8 for array in arrays(whole).values())


@pytest.mark.parametrize(("task", "cell", "layers", "both"), KINDS)
def test_only_int8_needs_onnx_runtime_s_own_operators(
    task: str, cell: str, layers: int, both: bool
) -> None:
    model, tensors = weights(task, cell, layers, both)
    whole = onnx.load_from_string(build(model.config, tensors))
    assert {opset.domain for opset in whole.opset_import} == {""}
    assert {node.domain for g in graphs_in(whole.graph) for node in g.node} == {""}
    small = onnx.load_from_string(build(model.config, tensors, "int8"))
    own = Counter(
        node.op_type
        for g in graphs_in(small.graph)
        for node in g.node
        if node.domain == CONTRIB_DOMAIN
    )
    if both:
        # Each direction multiplies its states, and from the second layer on what it reads.
        wanted = {"MatMulIntegerToFloat": 2 * layers + 2 * (layers - 1)}
    else:
        wanted = {
            "DynamicQuantizeLSTM": layers if cell == "lstm" else 0,
            "MatMulIntegerToFloat": 2 if task == "lm" else 0,
        }
    assert own == Counter(wanted)
    domains = {"", CONTRIB_DOMAIN} if own else {""}
    assert {opset.domain for opset in small.opset_import} == domains


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers", "both"), KINDS)
def test_the_description_names_all_that_goes_in_and_out(
    task: str, cell: str, layers: int, both: bool, precision: str
) -> None:
    model = random_model(task, cell, layers, both)
    text = documentation(model.config)
    name = {"lm": "language model", "classify": "classifier", "tag": "tagger"}[task]
    assert text.startswith(f"A {name} made by rnntext.\n")
    graph = onnx.load_from_string(build(model.config, numpy_weights(model), precision, text))
    assert graph.doc_string == text
    # The paragraph of every graph, and the task's own.
    parts = re.split(r"^    (?=[a-z])", text, flags=re.MULTILINE)
    own = " ".join(part for part in parts if part.startswith(("all ", f"{task} ")))
    values = [*graph.graph.input, *graph.graph.output]
    assert {"ids", "lengths"} < {value.name for value in values}
    for value in values:
        assert re.search(rf"\b{value.name}\b", own), value.name
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.graph.input}
    assert kinds.pop("ids") == TensorProto.INT64
    assert kinds.pop("lengths") == TensorProto.INT32
    state = {"hidden", "cell", "largest", "total", "count"} & set(kinds)
    assert bool(state) == (not both)
    assert all((kinds[n] == TensorProto.FLOAT) == (n in state) for n in kinds)


def test_facts_are_carried_as_metadata() -> None:
    model = random_model("classify", "gru")
    about = {"rnntext.labels": '["naïve", "café 你好 🙂"]', "b": ""}
    graph = onnx.load_from_string(build(model.config, numpy_weights(model), "int8", about=about))
    assert {entry.key: entry.value for entry in graph.metadata_props} == about
    bare = onnx.load_from_string(build(model.config, numpy_weights(model)))
    assert not bare.metadata_props
    assert not bare.doc_string


# Calibration


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_cooled_classifier_s_logits_are_divided(precision: str) -> None:
    model, tensors = weights("classify", "lstm", 2, True)
    before = {name: array.copy() for name, array in tensors.items()}

    def logits(some: dict[str, Array]) -> Array:
        session = Session(build(model.config, some, precision), threads=1)
        return np.concatenate(read(session, model, rows_of())[0])

    plain = logits(tensors)
    # A power of two changes no digit.
    for temperature, tolerance in ((2.0, 0.0), (0.25, 0.0), (1.7, 1e-6)):
        found = logits(apply_temperature(tensors, temperature))
        np.testing.assert_allclose(found, plain / temperature, rtol=tolerance, atol=tolerance)
    # What was given is left as it was.
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, before[name])
