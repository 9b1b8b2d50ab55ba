"""A stranger's graphs: whatever our builders do not make of `config.json` is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import rnntext
from rnntext.graphs.expected import (
    compare,
    expected_graph,
    expected_others,
    precision_of,
    weight_shapes,
)
from rnntext.graphs.wire import WireError, read_model
from rnntext.training.onnx.build import build, other_graphs
from tests.hostile.directories import (
    LABELS,
    change_config,
    configuration,
    copied,
    fixed_weights,
    forge,
    write_model,
)
from tests.hostile.running import answered, command, refused, use

Change = Callable[[onnx.ModelProto], object]


def endless_loop(model: onnx.ModelProto) -> None:
    """Adds a loop of 2**60 rounds."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    rounds = numpy_helper.from_array(np.array(1 << 60, np.int64), "rounds")
    model.graph.initializer.append(rounds)
    model.graph.node.append(helper.make_node("Loop", ["rounds", ""], [], body=body))


def outer_product(model: onnx.ModelProto) -> None:
    size = numpy_helper.from_array(np.array([1 << 16, 1 << 16], np.int64), "size")
    model.graph.initializer.append(size)
    model.graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["huge"]))
    model.graph.node.append(helper.make_node("ReduceSum", ["huge"], ["total"]))


def emptied(model: onnx.ModelProto) -> None:
    for part in ("node", "initializer", "input", "output"):
        model.graph.ClearField(part)


def elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def as_float_data(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT)
    values = numpy_helper.to_array(tensor).ravel().tolist()
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values)


def set_shape(model: onnx.ModelProto, shape: list[int], data: bytes | None = None) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("dims")
    tensor.dims.extend(shape)
    if data is not None:
        tensor.raw_data = data


def structure(model: onnx.ModelProto) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.data_type == TensorProto.INT64)


CHANGES: dict[str, Change] = {
    "a loop of 2**60 rounds": endless_loop,
    "a constant of 16 GB": outer_product,
    "nothing": emptied,
    "no node": lambda model: model.graph.ClearField("node"),
    "no weight": lambda model: model.graph.ClearField("initializer"),
    "no input": lambda model: model.graph.ClearField("input"),
    "no output": lambda model: model.graph.ClearField("output"),
    "an input of another type": lambda model: setattr(
        model.graph.input[0].type.tensor_type, "elem_type", TensorProto.UINT8
    ),
    "an input of text": lambda model: setattr(
        model.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING
    ),
    "an output of another type": lambda model: setattr(
        model.graph.output[0].type.tensor_type, "elem_type", TensorProto.DOUBLE
    ),
    "an input more": lambda model: model.graph.input.append(
        helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])
    ),
    "an output twice": lambda model: model.graph.output.append(model.graph.output[0]),
    "a weight twice": lambda model: model.graph.initializer.append(model.graph.initializer[0]),
    "data in another file": elsewhere,
    "data in another field": as_float_data,
    "a huge shape": lambda model: set_shape(model, [1 << 40, 1 << 40]),
    "a negative shape": lambda model: set_shape(model, [-1, -1]),
    "an empty weight": lambda model: set_shape(model, [0, 1 << 60], b""),
    "many dimensions": lambda model: set_shape(model, [1] * 100),
    "data cut short": lambda model: setattr(model.graph.initializer[0], "raw_data", b"1234"),
    "another number in a shape": lambda model: structure(model).MergeFrom(
        numpy_helper.from_array(np.full(tuple(structure(model).dims), 1 << 40, np.int64))
    ),
    "another set of operators": lambda model: setattr(model.opset_import[0], "version", 7),
    "operators of a stranger": lambda model: model.opset_import.append(
        helper.make_opsetid("stranger", 1)
    ),
    "a function": lambda model: model.functions.append(
        helper.make_function("stranger", "f", [], [], [], [helper.make_opsetid("", 17)])
    ),
    "training": lambda model: model.training_info.add(),
    "a sparse weight": lambda model: model.graph.sparse_initializer.add(),
    "types of values": lambda model: model.graph.value_info.append(model.graph.output[0]),
}


def changed(content: bytes, change: Change) -> bytes:
    model = onnx.load_from_string(content)
    change(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module", params=["lm", "classify", "tag"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = request.param
    directory = tmp_path_factory.mktemp("graphs") / task
    return write_model(directory, task, bidirectional=task == "tag", precision="int8")


@pytest.mark.parametrize("change", CHANGES)
def test_a_graph_that_is_not_ours(change: str, model: Path, tmp_path: Path) -> None:
    forged = copied(model, tmp_path / "forged")
    for name in ("model.onnx", "generation.onnx"):
        if (model / name).exists():
            whole = (forged / name).read_bytes()
            forge(forged, name, changed(whole, CHANGES[change]))
            assert name in refused(forged)
            forge(forged, name, whole)
    use(forged)


def test_every_node_matters(model: Path) -> None:
    content = (model / "model.onnx").read_bytes()
    config = rnntext.load(model).config
    expected = expected_graph(config, "int8")
    compare(read_model(content), expected)
    count = len(onnx.load_from_string(content).graph.node)
    changes: list[Callable[[onnx.NodeProto], object]] = [
        lambda node: setattr(node, "op_type", "Neg"),
        lambda node: setattr(node, "domain", "stranger"),
        lambda node: node.input.append("ids"),
        lambda node: node.output.append("more"),
        lambda node: node.attribute.append(helper.make_attribute("axis", 99)),
        lambda node: node.attribute.append(helper.make_attribute("text", "x")),
        lambda node: node.ClearField("input"),
    ]
    for index in range(count):
        for change in changes:
            forged = changed(content, lambda model: change(model.graph.node[index]))  # noqa: B023
            with pytest.raises(WireError):
                compare(read_model(forged), expected)
        without = changed(content, lambda model: model.graph.node.pop(index))  # noqa: B023
        with pytest.raises(WireError):
            compare(read_model(without), expected)


def test_every_attribute_and_every_body_matters() -> None:
    config = configuration("tag", "gru", bidirectional=True)
    content = build(config, fixed_weights(config))
    expected = expected_graph(config, "float32")

    def each(graph: onnx.GraphProto, change: Callable[[onnx.AttributeProto], bool]) -> bool:
        """Change the first attribute for which `change` returns True."""
        return any(
            change(attribute) or (attribute.HasField("g") and each(attribute.g, change))
            for node in graph.node
            for attribute in node.attribute
        )

    def number(attribute: onnx.AttributeProto) -> bool:
        attribute.i += attribute.type == onnx.AttributeProto.INT
        return bool(attribute.type == onnx.AttributeProto.INT)

    def numbers(attribute: onnx.AttributeProto) -> bool:
        attribute.ints.extend([1] if attribute.ints else [])
        return bool(attribute.ints)

    def tensor(attribute: onnx.AttributeProto) -> bool:
        if attribute.HasField("t"):
            attribute.t.raw_data = np.array([5], np.int64).tobytes()
        return bool(attribute.HasField("t"))

    def body(attribute: onnx.AttributeProto) -> bool:
        if attribute.HasField("g"):
            attribute.g.node[-1].op_type = "Neg"
        return bool(attribute.HasField("g"))

    for change in (number, numbers, tensor, body):
        forged = changed(content, lambda model: each(model.graph, change))  # noqa: B023
        assert forged != content
        with pytest.raises(WireError):
            compare(read_model(forged), expected)


def test_the_graph_of_another_configuration(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "classify")
    config = configuration("classify")
    weights = fixed_weights(config)
    assert build(config, weights) == (model / "model.onnx").read_bytes()
    for other in (
        configuration("tag"),
        configuration("classify", "gru"),
        configuration("classify", layers=2),
        configuration("classify", bidirectional=True),
        configuration("classify", embed=7),
        configuration("classify", vocabulary=301),
    ):
        forge(model, "model.onnx", build(other, fixed_weights(other)))
        assert "model.onnx is not the graph" in refused(model)
    forge(model, "model.onnx", build(config, weights, "int8"))
    assert "model.onnx is not the graph" in refused(model)
    change_config(model, lambda content: content.update(precision="int8"))
    use(model)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_what_our_builders_make_is_known(task: str, cell: str, precision: str) -> None:
    """Of every number of layers, direction, with and without a projection and padding."""
    for bidirectional in (False,) if task == "lm" else (False, True):
        for layers, embed, vocabulary in ((1, 8, 256), (2, 6, 300), (5, 8, 257)):
            config = configuration(
                task,
                cell,
                bidirectional=bidirectional,
                layers=layers,
                embed=embed,
                vocabulary=vocabulary,
            )
            weights = fixed_weights(config)
            assert weight_shapes(config) == {name: w.shape for name, w in weights.items()}
            found = read_model(build(config, weights, precision, "about", {"name": "value"}))
            assert found.metadata == {"name": "value"}
            assert precision_of(found) == precision
            compare(found, expected_graph(config, precision))
            expected = expected_others(config, precision)
            others = other_graphs(config, weights, precision)
            assert others.keys() == expected.keys()
            for name, content in others.items():
                compare(read_model(content), expected[name])


def test_matrices_of_another_shape_are_not_given_to_the_graph_that_samples(tmp_path: Path) -> None:
    from rnntext.checkpoint import serialize_tensors

    model = write_model(tmp_path / "model", "lm")
    weights = fixed_weights(configuration("lm"))
    weights["encoder.layers.0.forward_cell.weight_hh_l0"] = np.zeros((32, 9), np.float32)
    forge(model, "model.safetensors", serialize_tensors(weights))
    assert "weight_hh_l0 of (32, 9) and config.json says (32, 8)" in refused(model)


# One file


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("file")
    model = write_model(directory / "model", "classify", bidirectional=True)
    rnntext.export(model, output=directory / "model.onnx")
    return directory / "model.onnx"


@pytest.mark.parametrize("change", CHANGES)
def test_one_file_that_is_not_ours(change: str, one_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "forged.onnx"
    path.write_bytes(changed(one_file.read_bytes(), CHANGES[change]))
    assert str(path) in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", b"\x08\x08", b"\x08\x08\x3a\xff\xff\xff\xff\x0f", b"\x08" + b"\xff" * 20],
)
def test_no_model_at_all(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "forged.onnx"
    path.write_bytes(content)
    assert str(path) in refused(path)


def test_a_file_with_little_memory(one_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "forged.onnx"
    path.write_bytes(changed(one_file.read_bytes(), outer_product))
    command(path, "classify", "-m").failed(1, str(path))
    with path.open("r+b") as file:
        file.truncate(1 << 31)
    command(path, "classify", "-m").failed(1, str(path))


# Bytes


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("fuzz") / "model", "classify", labels=LABELS)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 4))
def test_bits_changed(seed: int, count: int, fuzzed: Path) -> None:
    """Of a graph whose digest fits: it answers, or it is refused in one line."""
    whole = (fuzzed / "model.onnx").read_bytes()
    content = bytearray(whole)
    draw = random.Random(seed)
    for _ in range(count):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    try:
        answered(forge(fuzzed, "model.onnx", bytes(content)))
    finally:
        forge(fuzzed, "model.onnx", whole)


@settings(max_examples=200)
@given(content=st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    try:
        found: Any = read_model(content)
    except WireError as error:
        found = str(error)
    assert found


@pytest.mark.parametrize("labels", [("A|C", "A|D", "B|C", "B|D", "A"), ("A", "B", "C")])
def test_a_tagger_has_transitions_if_its_configuration_says_so(labels: tuple[str, ...]) -> None:
    config = replace(configuration("tag"), labels=labels)
    without = replace(config, crf=False)
    for precision in ("float32", "int8"):
        graphs = [build(each, fixed_weights(each), precision) for each in (config, without)]
        for each, own, other in ((config, *graphs), (without, *graphs[::-1])):
            compare(read_model(own), expected_graph(each, precision))
            with pytest.raises(WireError):
                compare(read_model(other), expected_graph(each, precision))
    assert "transitions" not in {value.name for value in read_model(graphs[1]).graph.outputs}
