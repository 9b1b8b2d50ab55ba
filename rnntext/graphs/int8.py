"""Weights quantized to int8, and products with them.

Knows: how a matrix is quantized, and the fixed scale of a recurrent state. Does not know: what a
matrix is used for.

The answer to one record must not depend on the other records of a batch, so no scale is computed
over a batch: hidden states lie between -1 and 1 and have the fixed scale STATE_SCALE. Weights are
quantized to 7 bits with one scale for each row of the matrix. Products of 8-bit weights would
overflow the 16-bit sums of x86 processors without VNNI, and the answer would depend on the machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rnntext.graphs.graph_builder import CONTRIB_DOMAIN, Array, ElementType, GraphBuilder

MAX_INT8 = 127
STATE_SCALE = 1 / MAX_INT8
ZERO_POINT = 128  # the uint8 that stands for 0
_MAX_WEIGHT = 63  # 7 bits


def quantize(matrix: Array) -> tuple[Array, Array]:
    """Quantize (..., rows, K) to 7-bit int8. Also returns the scale of each row (..., rows)."""
    if is_outline(matrix):
        return outline(matrix.shape, np.int8), np.broadcast_to(np.float32(1), matrix.shape[:-1])
    scale = np.abs(matrix).max(axis=-1) / _MAX_WEIGHT
    # A row of zeros, or nearly so, gets scale 1: `linear_small_batch` divides the bias by it.
    scale = np.where(scale > 1e-30, scale, 1).astype(np.float32)
    return np.round(matrix / scale[..., None]).astype(np.int8), scale


def outline(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> Array:
    """Zeros that take no memory and no time, for a graph of which only the structure is asked."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def is_outline(array: Array) -> bool:
    """True for what `outline` returns."""
    return not any(array.strides) and array.size > 1


def quantize_embeddings(table: Array) -> tuple[Array, float]:
    """Quantize (V, E) to 8 bits with one scale for the whole table. The values are still float32,
    between -127 and 127. Also returns the scale."""
    if is_outline(table):
        return table, 1.0
    scale = max(float(np.abs(table).max()), 1e-8) / MAX_INT8
    return np.round(table / scale), scale


def add_dequantized(graph: GraphBuilder, name: str, matrix: Array) -> str:
    """Store a matrix as int8 and dequantize it to float32. The session does so once, when it loads
    the graph, because it folds constants."""
    weights_int8, scale = quantize(matrix)
    return dequantize(
        graph,
        graph.constant(f"{name}.int8", weights_int8),
        graph.constant(f"{name}.scale", scale[..., None]),
    )


def dequantize(graph: GraphBuilder, x: str, scale: str) -> str:
    """x, int8 without a zero point, times its scale: float32."""
    return graph.add("Mul", [graph.add("Cast", [x], to=ElementType.FLOAT), scale])


def linear(
    graph: GraphBuilder,
    x: str,
    name: str,
    matrix: Array,
    bias: Array | None = None,
    output: str = "",
) -> str:
    """x (N, K), between -1 and 1, times matrix (rows, K), plus bias (rows): (N, rows), float32."""
    weights_int8, scale = quantize(matrix)
    scales = graph.constant(f"{name}.scale", scale)
    offset = graph.constant(f"{name}.bias", bias) if bias is not None else ""
    x_uint8 = quantize_states(graph, x)
    return matmul(graph, x_uint8, name, weights_int8, state_scale(graph), scales, offset, output)


def linear_small_batch(
    graph: GraphBuilder,
    x: str,
    name: str,
    matrix: Array,
    bias: Array | None = None,
    output: str = "",
) -> str:
    """The same as `linear`, but faster where N is small (see `matmul_unscaled`)."""
    weights_int8, scale = quantize(matrix)
    offset = graph.constant(f"{name}.bias.scaled", bias / scale) if bias is not None else ""
    unscaled = matmul_unscaled(graph, x, name, weights_int8, state_scale(graph), offset)
    return graph.add("Mul", [unscaled, graph.constant(f"{name}.scale", scale)], output)


def matmul_unscaled(
    graph: GraphBuilder, x: str, name: str, weights_int8: Array, x_scale: str, bias: str = ""
) -> str:
    """x (N, K), between -1 and 1, times an int8 matrix (rows, K), plus bias (rows): (N, rows),
    float32, which the caller multiplies by the scales of the matrix's rows.

    With a scale for each row, the operator does not spread one row of x over threads: a matrix of
    10,000 rows takes 130 us. With one scale and a multiplication after it, it takes 50 us.
    """
    x_uint8, one = quantize_states(graph, x), graph.float_scalar(1)
    return matmul(graph, x_uint8, name, weights_int8, x_scale, one, bias)


def normalize_rows(graph: GraphBuilder, x: str) -> tuple[str, str]:
    """Divide each row of x (N, K) by its largest absolute value, which is also returned (N, 1).
    For values without a fixed range, such as a projection of states."""
    largest = graph.add("ReduceMax", [graph.add("Abs", [x])], axes=[1], keepdims=1)
    largest = graph.add("Max", [largest, graph.float_scalar(1e-8)])
    return graph.add("Div", [x, largest]), largest


def state_scale(graph: GraphBuilder) -> str:
    """STATE_SCALE as a constant of the graph."""
    return graph.constant("step", np.array(STATE_SCALE, np.float32))


def quantize_states(graph: GraphBuilder, x: str) -> str:
    """Quantize x, between -1 and 1, to uint8."""
    return graph.add("QuantizeLinear", [x, state_scale(graph), _zero_point(graph)])


def matmul(
    graph: GraphBuilder,
    x: str,
    name: str,
    weights_int8: Array,
    x_scale: str,
    weight_scale: str,
    bias: str = "",
    output: str = "",
) -> str:
    """x (N, K) uint8 times an int8 matrix (rows, K), plus bias (rows): (N, rows), float32.
    `weight_scale` is a scalar or has one value for each row of the matrix."""
    weights = graph.constant(f"{name}.int8", weights_int8.T)
    inputs = [x, weights, x_scale, weight_scale, _zero_point(graph)]
    if bias:
        inputs += ["", bias]  # no zero point for the weights: they are quantized around 0
    return graph.add("MatMulIntegerToFloat", inputs, output, domain=CONTRIB_DOMAIN)


def _zero_point(graph: GraphBuilder) -> str:
    return graph.constant("middle", np.array(ZERO_POINT, np.uint8))
