"""Graphs built node by node, run in ONNX Runtime and parsed by the onnx package."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from rnntext.graphs.graph_builder import CONTRIB_DOMAIN, GraphBuilder
from rnntext.runtime.session import Session
from rnntext.training.onnx.protobuf import to_bytes

Array = NDArray[Any]

X = np.arange(24, dtype=np.float32).reshape(4, 6)


def graph_of_x() -> GraphBuilder:
    graph = GraphBuilder()
    graph.input("x", TensorProto.FLOAT, [4, 6])
    return graph


def run(graph: GraphBuilder, name: str, dtype: int = TensorProto.FLOAT) -> Array:
    graph.output(name, dtype, ["rows", "columns"])
    (result,) = Session(to_bytes(graph), threads=1).run([name], {"x": X})
    return result


@pytest.mark.parametrize("axis", [0, 1])
def test_a_slice_is_that_of_numpy(axis: int) -> None:
    graph = graph_of_x()
    found = run(graph, graph.slice("x", 1, 3, axis, "part"))
    np.testing.assert_array_equal(found, X[1:3] if axis == 0 else X[:, 1:3])


def test_a_split_gives_equal_parts() -> None:
    graph = graph_of_x()
    names = graph.split("x", "part", 3)
    assert list(names) == ["part0", "part1", "part2"]
    np.testing.assert_array_equal(run(graph, names[1]), X[:, 2:4])


def test_steps_are_numbered_from_zero() -> None:
    graph = graph_of_x()
    found = run(graph, graph.step_numbers("x"), TensorProto.INT64)
    assert found.tolist() == [[0], [1], [2], [3]]


def test_subgraphs_have_their_own_names() -> None:
    graph = graph_of_x()
    inner = graph.subgraph("loop").subgraph("body")
    assert inner.input("x", TensorProto.FLOAT, [1]) == "loop.body.x"
    assert inner.float_scalar(0.5) == "loop.body.f_0.5"
    assert inner.add("Neg", ["loop.body.x"]) == "loop.body.n0"
    assert inner.body().name == "loop.body"
    assert [tensor.name for tensor in inner.body().tensors] == ["loop.body.f_0.5"]
    assert graph.body().name == "rnntext"
    assert not graph.tensors


def test_subgraphs_may_share_the_constants_of_their_parent() -> None:
    graph = graph_of_x()
    first, second = (graph.subgraph(name, share_constants=True) for name in ("a", "b"))
    assert first.int_vector(2, 3) == second.int_vector(2, 3) == "i_2_3"
    assert not first.tensors
    assert list(graph.tensors) == ["i_2_3"]


def test_external_constants_are_passed_to_the_session() -> None:
    graph = graph_of_x()
    weights = np.full((4, 6), 2, np.float32)
    name = graph.add("Add", ["x", graph.constant("weights", weights, external=True)])
    graph.output(name, TensorProto.FLOAT, [4, 6])
    content = to_bytes(graph)
    (tensor,) = onnx.load_from_string(content).graph.initializer
    assert tensor.data_location == TensorProto.EXTERNAL
    assert not tensor.raw_data
    location = {entry.key: entry.value for entry in tensor.external_data}
    assert location == {"location": "model.safetensors"}
    session = Session(content, threads=1, weights={"weights": weights * 5})
    np.testing.assert_array_equal(session.run([name], {"x": X})[0], X + 10)


def test_the_file_names_its_operator_sets_in_order() -> None:
    """Those of subgraphs, too. The bytes must not depend on the order of a set."""
    graph = graph_of_x()
    inner = graph.subgraph("body")
    inner.add("Gelu", ["x"], domain=CONTRIB_DOMAIN)
    graph.output(graph.add("Neg", ["x"]), TensorProto.FLOAT, [4, 6])
    assert graph.domains == {"", CONTRIB_DOMAIN}
    graph.domains = dict.fromkeys([CONTRIB_DOMAIN, ""])  # a set in this order
    model = onnx.load_from_string(to_bytes(graph, "about", {"key": "naïve"}))
    assert [opset.domain for opset in model.opset_import] == ["", CONTRIB_DOMAIN]
    assert model.ir_version == helper.find_min_ir_version_for(model.opset_import, True)
    assert model.doc_string == "about"
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "naïve"}


def test_an_invalid_graph_is_refused() -> None:
    graph = graph_of_x()
    graph.output(graph.add("Neg", ["missing"]), TensorProto.FLOAT, [4, 6])
    with pytest.raises(onnx.checker.ValidationError, match="missing"):
        to_bytes(graph)
