"""The graphs of all tasks: results that do not depend on the batch, int8 compared with float32,
file size, names and documentation."""

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
from rnntext.graphs.classifier import apply_temperature
from rnntext.graphs.graph_builder import CONTRIB_DOMAIN
from rnntext.runtime.session import Session
from rnntext.training.networks.build import build_network
from rnntext.training.networks.encoder import Network
from rnntext.training.onnx.build import build, documentation
from rnntext.training.onnx.from_network import numpy_weights
from tests.training.onnx.test_from_network import CELLS, E, H, V, random_model

torch.set_num_threads(1)

Array = NDArray[Any]

TASKS = ("lm", "classify", "tag")
# Task, cell, layers, bidirectional.
KINDS = [
    kind
    for kind in product(TASKS, CELLS, (1, 2), (False, True))
    if not (kind[0] == "lm" and kind[3])
]
UNIDIRECTIONAL = [kind[:3] for kind in KINDS if not kind[3]]
LENGTHS = (3, 7, 1, 5, 2)
OUTLIER = V - 1  # an id whose embedding is far larger than all others


def random_rows(lengths: tuple[int, ...] = LENGTHS) -> list[Array]:
    random = np.random.default_rng(0)
    return [random.integers(OUTLIER, size=length) for length in lengths]


def model_of(task: str, cell: str, layers: int, bidirectional: bool) -> Network:
    """A random model. With two layers, states are as wide as embeddings, so that a language model
    has no projection."""
    return random_model(task, cell, layers, bidirectional, embed=H if layers == 2 else E)


def model_with_outlier(
    task: str, cell: str, layers: int, bidirectional: bool
) -> tuple[Network, dict[str, Array]]:
    """A random model and its weights, in which the embedding of OUTLIER is eight times as large."""
    model = model_of(task, cell, layers, bidirectional)
    tensors = numpy_weights(model)
    tensors["encoder.embedding.weight"][OUTLIER] *= 8
    return model, tensors


def initial_state(model: Network, rows: int) -> dict[str, Array]:
    """The inputs that carry the state, before any token is read."""
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
    """The outputs of each row, (tokens, width) or in a classifier (1, width), and the next state.

    Padding has the id OUTLIER, so that a graph that reads padding gives a clearly different result.
    """
    lengths = np.array([len(row) for row in rows], np.int32)
    ids = np.full((len(rows), lengths.max()), OUTLIER)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    before = initial_state(model, len(rows)) if before is None else before
    feeds = {"ids": ids, "lengths": lengths, **before}
    # Every token of row 0, of row 1, ...
    positions = np.concatenate([np.arange(len(row)) * len(rows) + n for n, row in enumerate(rows)])
    task = model.config.task
    if task == "lm":
        targets = (np.concatenate(rows) + 1) % V
        feeds.update(positions=positions, scored=positions, targets=targets)
    elif task == "tag":
        feeds.update(first=positions, last=positions)
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
@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_the_result_of_a_row_does_not_depend_on_the_batch(
    task: str, cell: str, layers: int, bidirectional: bool, precision: str
) -> None:
    model, tensors = model_with_outlier(task, cell, layers, bidirectional)
    session = Session(build(model.config, tensors, precision), threads=1)
    # Only in ONNX Runtime's vanilla RNN the order of additions depends on the number of rows.
    exact = bidirectional or cell != "rnn"
    rows = random_rows()
    alone = [read(session, model, [row])[0][0] for row in rows]
    outliers = np.full(9, OUTLIER)
    order = [2, 4, 0, 3, 1]
    for batch, places in (
        (rows, range(len(rows))),
        ([rows[i] for i in order], order),
        ([outliers, *rows], [None, *range(len(rows))]),
        ([rows[1], outliers, outliers[:1]], [1, None, None]),
    ):
        answers, _ = read(session, model, batch)
        for answer, place in zip(answers, places, strict=True):
            if place is not None:
                assert_same(answer, alone[place], exact=exact)
    # The rows have different results.
    assert len({answer.tobytes() for answer in alone}) == len(rows)


@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_int8_is_close_to_float32_but_not_equal(
    task: str, cell: str, layers: int, bidirectional: bool
) -> None:
    model = model_of(task, cell, layers, bidirectional)
    tensors, rows = numpy_weights(model), random_rows()
    exact, rounded = (
        np.concatenate(read(Session(build(model.config, tensors, name), 1), model, rows)[0])
        for name in ("float32", "int8")
    )
    error = np.abs(exact - rounded) / exact.std()
    assert error.max() < 0.15
    assert 2e-4 < error.mean() < 0.03


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_embedding_does_not_widen_the_range_of_an_int8_lstm(sign: int) -> None:
    model, tensors = model_with_outlier("tag", "lstm", 1, False)
    outlier = tensors["encoder.embedding.weight"][OUTLIER]
    outlier[:] = sign * np.abs(outlier)
    session = Session(build(model.config, tensors, "int8"), threads=1)
    for row in random_rows():
        (alone,), _ = read(session, model, [row])
        (found, _), _ = read(session, model, [row, np.full(9, OUTLIER)])
        np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", ["classify", "tag"])
def test_each_embedding_of_a_bidirectional_encoder_has_its_own_scale(task: str, cell: str) -> None:
    model, with_outlier = model_with_outlier(task, cell, 1, True)
    answers = [
        read(Session(build(model.config, tensors, "int8"), 1), model, random_rows())[0]
        for tensors in (with_outlier, numpy_weights(model_of(task, cell, 1, True)))
    ]
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers"), UNIDIRECTIONAL)
def test_reading_in_pieces_equals_reading_at_once(
    task: str, cell: str, layers: int, precision: str
) -> None:
    model, tensors = model_with_outlier(task, cell, layers, False)
    session = Session(build(model.config, tensors, precision), threads=1)
    rows = random_rows((7, 7, 7))
    whole, end = read(session, model, rows)
    carried = initial_state(model, len(rows))
    pieces = []
    for left, right in ((0, 1), (1, 4), (4, 7)):
        found, carried = read(session, model, [row[left:right] for row in rows], carried)
        pieces.append(found)
    joined = pieces[-1]
    if task != "classify":
        joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    # A classifier sums states, and floating-point sums depend on the order.
    exact = cell == "lstm" and ((precision, task) == ("int8", "lm") or task == "tag")
    for found_row, wanted in zip(joined, whole, strict=True):
        assert_same(found_row, wanted, exact=exact)
    assert list(carried) == list(end)
    for name, part in end.items():
        np.testing.assert_allclose(carried[name], part, atol=2e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", TASKS)
def test_weights_of_zero_give_the_bias(task: str, cell: str) -> None:
    """No scale is zero, so nothing is divided by zero."""
    model = random_model(task, cell, 1, task != "lm")
    bias = "head.bias" if task == "lm" else "head.output.bias"
    tensors = {
        name: array if name == bias else np.zeros_like(array)
        for name, array in numpy_weights(model).items()
    }
    session = Session(build(model.config, tensors, "int8"), threads=1)
    for answer in read(session, model, random_rows())[0]:
        found = answer[:, : len(tensors[bias])]
        np.testing.assert_allclose(found, np.tile(tensors[bias], (len(found), 1)), atol=1e-7)


# The content of the file


def large_model(task: str, cell: str) -> tuple[ModelConfig, dict[str, Array]]:
    """A model whose weights take most of the space in the file."""
    encoder = EncoderConfig(cell, 211, 72, 96, 2, task != "lm")
    config = ModelConfig(task, encoder, () if task == "lm" else ("a", "b", "c"), False, 99)
    torch.manual_seed(0)
    return config, numpy_weights(build_network(config))


def graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all its subgraphs."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_in(attribute.g)


def arrays(graph: bytes) -> dict[str, Array]:
    tensors = [t for g in graphs_in(onnx.load_from_string(graph).graph) for t in g.initializer]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_every_name_is_unique(
    task: str, cell: str, layers: int, bidirectional: bool, precision: str
) -> None:
    """Also across subgraphs, for tools that inline them."""
    model, tensors = model_with_outlier(task, cell, layers, bidirectional)
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


@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_declared_shapes_agree_with_those_that_onnx_infers(
    task: str, cell: str, layers: int, bidirectional: bool
) -> None:
    model, tensors = model_with_outlier(task, cell, layers, bidirectional)
    onnx.checker.check_model(onnx.load_from_string(build(model.config, tensors)), full_check=True)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("task", TASKS)
def test_int8_files_are_small_and_weights_have_seven_bits(task: str, cell: str) -> None:
    config, tensors = large_model(task, cell)
    graph, float32 = (build(config, tensors, name) for name in ("int8", "float32"))
    assert len(graph) < 0.45 * len(float32)
    assert build(config, tensors, "int8") == graph
    found = {name: array for name, array in arrays(graph).items() if array.dtype == np.int8}
    matrices = {name: array for name, array in found.items() if array.any()}
    embedding = matrices.pop("embedding.int8")
    assert len(embedding) == config.encoder.vocab_size
    assert np.abs(embedding[:, :72].astype(int)).max() == 127
    # W and R of each layer and direction, and the output layer of a language model.
    assert len(matrices) == 4 * config.encoder.directions + (task == "lm")
    for array in matrices.values():
        assert np.abs(array.astype(int)).max() == 63
    assert not any(array.dtype == np.int8 for array in arrays(float32).values())


@pytest.mark.parametrize("embed", [E, H])
def test_only_projected_states_are_normalized_in_int8(embed: int) -> None:
    """Hidden states have a fixed scale."""
    model = random_model("lm", "gru", embed=embed)
    graph = onnx.load_from_string(build(model.config, numpy_weights(model), "int8")).graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("ReduceMax") == (0 if embed == H else 2)


@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_only_embeddings_and_matrices_are_int8(
    task: str, cell: str, layers: int, bidirectional: bool
) -> None:
    model, tensors = model_with_outlier(task, cell, layers, bidirectional)
    found = arrays(build(model.config, tensors, "int8"))
    weights = {name for name, array in found.items() if array.dtype == np.int8 and array.any()}
    assert {name.removesuffix(".int8").rsplit(".")[-1] for name in weights} == {
        *("embedding", "W", "R"),
        *(["output"] if task == "lm" else []),
    }


@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_only_int8_uses_contributed_operators(
    task: str, cell: str, layers: int, bidirectional: bool
) -> None:
    model, tensors = model_with_outlier(task, cell, layers, bidirectional)
    float32 = onnx.load_from_string(build(model.config, tensors))
    assert {opset.domain for opset in float32.opset_import} == {""}
    assert {node.domain for g in graphs_in(float32.graph) for node in g.node} == {""}
    quantized = onnx.load_from_string(build(model.config, tensors, "int8"))
    contributed = Counter(
        node.op_type
        for g in graphs_in(quantized.graph)
        for node in g.node
        if node.domain == CONTRIB_DOMAIN
    )
    if bidirectional:
        # Each direction has a product with the hidden state, and from the second layer on also
        # an input projection in int8.
        wanted = {"MatMulIntegerToFloat": 2 * layers + 2 * (layers - 1)}
    else:
        wanted = {
            "DynamicQuantizeLSTM": layers if cell == "lstm" else 0,
            "MatMulIntegerToFloat": 2 if task == "lm" else 0,
        }
    assert contributed == Counter(wanted)
    domains = {"", CONTRIB_DOMAIN} if contributed else {""}
    assert {opset.domain for opset in quantized.opset_import} == domains


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(("task", "cell", "layers", "bidirectional"), KINDS)
def test_the_description_names_all_inputs_and_outputs(
    task: str, cell: str, layers: int, bidirectional: bool, precision: str
) -> None:
    model = random_model(task, cell, layers, bidirectional)
    text = documentation(model.config)
    name = {"lm": "language model", "classify": "classifier", "tag": "tagger"}[task]
    assert text.startswith(f"A {name} made by rnntext.\n")
    graph = onnx.load_from_string(build(model.config, numpy_weights(model), precision, text))
    assert graph.doc_string == text
    # The paragraph for all tasks, and that of this task.
    parts = re.split(r"^    (?=[a-z])", text, flags=re.MULTILINE)
    paragraphs = " ".join(part for part in parts if part.startswith(("all ", f"{task} ")))
    values = [*graph.graph.input, *graph.graph.output]
    assert {"ids", "lengths"} < {value.name for value in values}
    for value in values:
        assert re.search(rf"\b{value.name}\b", paragraphs), value.name
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.graph.input}
    assert kinds.pop("ids") == TensorProto.INT64
    assert kinds.pop("lengths") == TensorProto.INT32
    state = {"hidden", "cell", "largest", "total", "count"} & set(kinds)
    assert bool(state) == (not bidirectional)
    assert all((kinds[n] == TensorProto.FLOAT) == (n in state) for n in kinds)


def test_metadata_are_stored_in_the_file() -> None:
    model = random_model("classify", "gru")
    about = {"rnntext.labels": '["naïve", "café 你好 🙂"]', "b": ""}
    graph = onnx.load_from_string(build(model.config, numpy_weights(model), "int8", about=about))
    assert {entry.key: entry.value for entry in graph.metadata_props} == about
    plain = onnx.load_from_string(build(model.config, numpy_weights(model)))
    assert not plain.metadata_props
    assert not plain.doc_string


# Calibration


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_temperature_divides_the_logits_of_a_classifier(precision: str) -> None:
    model, tensors = model_with_outlier("classify", "lstm", 2, True)
    before = {name: array.copy() for name, array in tensors.items()}

    def logits(weights: dict[str, Array]) -> Array:
        session = Session(build(model.config, weights, precision), threads=1)
        return np.concatenate(read(session, model, random_rows())[0])

    plain = logits(tensors)
    # Division by a power of two is exact.
    for temperature, tolerance in ((2.0, 0.0), (0.25, 0.0), (1.7, 1e-6)):
        found = logits(apply_temperature(tensors, temperature))
        np.testing.assert_allclose(found, plain / temperature, rtol=tolerance, atol=tolerance)
    # The arguments are not changed.
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, before[name])
