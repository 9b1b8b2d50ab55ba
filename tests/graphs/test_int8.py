"""Quantization by hand, and int8 products compared with the same integers in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from rnntext.graphs import int8
from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.runtime.session import Session
from rnntext.training.onnx.protobuf import to_bytes

Array = NDArray[Any]

N, K, ROWS = 3, 5, 4


def run(build: Callable[[GraphBuilder], str], x: Array, dtype: int = TensorProto.FLOAT) -> Array:
    """The result of the nodes that `build` adds to a graph with the input x."""
    graph = GraphBuilder()
    graph.input("x", TensorProto.FLOAT, list(x.shape))
    name = build(graph)
    graph.output(name, dtype, ["rows", "columns"])
    (result,) = Session(to_bytes(graph), threads=1).run([name], {"x": x})
    return result


def random_arrays() -> tuple[Array, Array, Array]:
    """x between -1 and 1, a matrix and a bias."""
    rng = np.random.default_rng(0)
    x, matrix, bias = rng.uniform(-1, 1, (N, K)), rng.normal(size=(ROWS, K)), rng.normal(size=ROWS)
    # One row has a scale far from that of the others.
    matrix[2] *= 100
    return x.astype(np.float32), matrix.astype(np.float32), bias.astype(np.float32)


def test_each_row_has_its_own_scale_and_seven_bits() -> None:
    matrix = np.array([[6.3, -3.2, 0], [-630, 20, 309], [0, 0, 0], [1e-31, 0, 0]], np.float32)
    weights, scale = int8.quantize(matrix)
    assert weights.dtype == np.int8
    assert weights.tolist() == [[63, -32, 0], [-63, 2, 31], [0, 0, 0], [0, 0, 0]]
    assert scale.dtype == np.float32
    np.testing.assert_allclose(scale, [0.1, 10, 1, 1], rtol=1e-6)


def test_embeddings_have_one_scale_and_eight_bits() -> None:
    rounded, scale = int8.quantize_embeddings(np.array([[-12.7, 6.42], [0.31, 0]], np.float32))
    assert rounded.tolist() == [[-127, 64], [3, 0]]
    assert scale == pytest.approx(0.1)
    rounded, scale = int8.quantize_embeddings(np.zeros((2, 3), np.float32))
    assert rounded.tolist() == [[0] * 3] * 2
    assert scale > 0


def test_states_are_quantized_around_the_zero_point() -> None:
    x = np.array([[-1, 0, 0.25, 1]], np.float32)
    found = run(lambda graph: int8.quantize_states(graph, "x"), x, TensorProto.UINT8)
    assert found.tolist() == [[1, 128, 160, 255]]


@pytest.mark.parametrize("linear", [int8.linear, int8.linear_small_batch])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products_equal_those_of_the_same_integers(
    linear: Callable[..., str], with_bias: bool
) -> None:
    x, matrix, bias = random_arrays()
    if not with_bias:
        bias[:] = 0
    weights, scale = int8.quantize(matrix)
    expected = np.round(x * 127) @ weights.T.astype(float) / 127 * scale + bias
    arguments = ("x", "name", matrix, bias) if with_bias else ("x", "name", matrix)
    found = run(lambda graph: linear(graph, *arguments), x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    # Rounding errors add up over K products.
    error = np.abs(found - (x @ matrix.T + bias))
    assert (error <= K * (0.5 / 127 * 63 + 0.5) * scale * 1.01).all()
    assert error.max() > 0


def test_rows_are_divided_by_their_largest_absolute_value() -> None:
    x = np.array([[2, -4, 1], [0, 0, 0], [0.5, 0.25, 0.125]], np.float32)
    found = run(lambda graph: int8.normalize_rows(graph, "x")[0], x)
    assert found.tolist() == [[0.5, -1, 0.25], [0, 0, 0], [1, 0.5, 0.25]]
    largest = run(lambda graph: int8.normalize_rows(graph, "x")[1], x)
    np.testing.assert_allclose(largest, [[4], [1e-8], [0.5]])


def test_a_matrix_stored_as_int8_is_dequantized_in_the_graph() -> None:
    x, matrix, _ = random_arrays()
    weights, scale = int8.quantize(matrix)
    found = run(lambda graph: int8.add_dequantized(graph, "name", matrix), x)
    np.testing.assert_array_equal(found, weights * scale[:, None])
