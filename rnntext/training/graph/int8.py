"""Weights as whole numbers of 8 bits.

Knows: how a matrix is rounded, and that a recurrent state needs no range looked up. Does not know:
which matrix is what.

One record must not change another's answer, so no scale is taken over a batch: states lie between
-1 and 1 by their nature, and so does their scale, STEP. Weights keep 7 bits, a scale for each row
of the matrix: products of 8-bit weights overflow the 16-bit sums of x86 processors without VNNI,
and the answer would depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from rnntext.training.graph.nodes import CONTRIBUTED, Graph

Array = npt.NDArray[Any]

LARGEST = 127
STEP = 1 / LARGEST  # of what lies between -1 and 1
_LARGEST_WEIGHT = 63  # 7 bits
_MIDDLE = 128  # the uint8 that stands for 0


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
    start = [graph.constant(f"{name}.bias", bias)] if bias is not None else []
    return _product(graph, x, name, quantized, scales, start, output)


def product_of_few(
    graph: Graph, x: str, name: str, matrix: Array, bias: Array | None = None, output: str = ""
) -> str:
    """What `product` gives, quicker where N is small. A scale for each of the matrix's rows keeps
    the operator from spreading one row of x over threads: a matrix of 10,000 rows takes it 130 us,
    and 50 where the scales are multiplied in afterwards."""
    quantized, scale = quantize(matrix)
    start = [graph.constant(f"{name}.bias.scaled", bias / scale)] if bias is not None else []
    total = _product(graph, x, name, quantized, graph.number(1), start)
    return graph.add("Mul", [total, graph.constant(f"{name}.scale", scale)], output)


def _product(
    graph: Graph,
    x: str,
    name: str,
    quantized: Array,
    scale: str,
    start: Sequence[str],
    output: str = "",
) -> str:
    step = graph.constant("step", np.array(STEP, np.float32))
    middle = graph.constant("middle", np.array(_MIDDLE, np.uint8))
    inputs = [
        graph.add("QuantizeLinear", [x, step, middle]),
        graph.constant(f"{name}.int8", quantized.T),
        step,
        scale,
        middle,
        "",  # weights lie around zero
        *start,
    ]
    return graph.add("MatMulIntegerToFloat", inputs, output, domain=CONTRIBUTED)
