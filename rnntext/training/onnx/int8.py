"""Weights as whole numbers of 8 bits.

Knows: how a matrix is rounded, and that a recurrent state needs no range looked up. Does not know:
which matrix is what.

One record must not change another's answer, so no scale is taken over a batch: states lie between
-1 and 1 by their nature, and so does their scale, STEP. Weights keep 7 bits, a scale for each row
of the matrix: products of 8-bit weights overflow the 16-bit sums of x86 processors without VNNI,
and the answer would depend on the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from rnntext.training.onnx.graph import CONTRIBUTED, Graph

Array = npt.NDArray[Any]

LARGEST = 127
STEP = 1 / LARGEST  # of what lies between -1 and 1
_LARGEST_WEIGHT = 63  # 7 bits
MIDDLE = 128  # the uint8 that stands for 0


def quantize(matrix: Array) -> tuple[Array, Array]:
    """(..., rows, K) -> int8 of 7 bits, and the scale of each row (..., rows)."""
    scale = np.abs(matrix).max(axis=-1) / _LARGEST_WEIGHT
    # What is next to nothing is nothing: a bias is divided by the scale.
    scale = np.where(scale > 1e-30, scale, 1).astype(np.float32)
    return np.round(matrix / scale[..., None]).astype(np.int8), scale


def stored(graph: Graph, name: str, matrix: Array) -> str:
    """float32 again when the graph is loaded, which folds what is made of constants alone."""
    quantized, scale = quantize(matrix)
    whole = graph.add("Cast", [graph.constant(f"{name}.int8", quantized)], to=TensorProto.FLOAT)
    return graph.add("Mul", [whole, graph.constant(f"{name}.scale", scale[..., None])])


def product(
    graph: Graph, x: str, name: str, matrix: Array, bias: Array | None = None, output: str = ""
) -> str:
    """x (N, K), between -1 and 1, with matrix (rows, K) -> (N, rows), in float32."""
    quantized, scale = quantize(matrix)
    scales = graph.constant(f"{name}.scale", scale)
    start = graph.constant(f"{name}.bias", bias) if bias is not None else ""
    return multiplied(graph, rounded(graph, x), name, quantized, step(graph), scales, start, output)


def product_of_few(
    graph: Graph, x: str, name: str, matrix: Array, bias: Array | None = None, output: str = ""
) -> str:
    """What `product` gives, quicker where N is small. A scale for each of the matrix's rows keeps
    the operator from spreading one row of x over threads: a matrix of 10,000 rows takes it 130 us,
    and 50 where the scales are multiplied in afterwards."""
    quantized, scale = quantize(matrix)
    start = graph.constant(f"{name}.bias.scaled", bias / scale) if bias is not None else ""
    x, one = rounded(graph, x), graph.number(1)
    total = multiplied(graph, x, name, quantized, step(graph), one, start)
    return graph.add("Mul", [total, graph.constant(f"{name}.scale", scale)], output)


def step(graph: Graph) -> str:
    """The scale of what lies between -1 and 1."""
    return graph.constant("step", np.array(STEP, np.float32))


def rounded(graph: Graph, x: str) -> str:
    """x, between -1 and 1, as uint8."""
    return graph.add("QuantizeLinear", [x, step(graph), _middle(graph)])


def multiplied(
    graph: Graph,
    x: str,
    name: str,
    quantized: Array,
    scale: str,
    of_rows: str,
    start: str = "",
    output: str = "",
) -> str:
    """x (N, K) uint8 with an int8 matrix (rows, K), and `start` (rows) added: (N, rows), in
    float32. `scale` is x's, `of_rows` the matrix's, for each of its rows or for all."""
    inputs = [x, graph.constant(f"{name}.int8", quantized.T), scale, of_rows, _middle(graph)]
    if start:
        inputs += ["", start]  # weights lie around zero
    return graph.add("MatMulIntegerToFloat", inputs, output, domain=CONTRIBUTED)


def _middle(graph: Graph) -> str:
    return graph.constant("middle", np.array(MIDDLE, np.uint8))
