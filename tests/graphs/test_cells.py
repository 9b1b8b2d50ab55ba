"""One step of each cell, run in ONNX Runtime, compared with PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from rnntext.graphs.cells import Cell
from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.runtime.session import Session
from rnntext.training.onnx.protobuf import to_bytes

torch.set_num_threads(1)

Array = NDArray[Any]

B, K, H = 3, 4, 6
CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
PREFIX = "layer."


def random_cell(kind: str) -> tuple[torch.nn.RNNBase, dict[str, Array]]:
    torch.manual_seed(0)
    reference = CELLS[kind](K, H)
    weights = {PREFIX + name: p.detach().numpy() for name, p in reference.named_parameters()}
    return reference, weights


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("quantized", "tolerance"), [(False, 1e-6), (True, 0.02)])
@pytest.mark.parametrize("kind", CELLS)
def test_a_step_is_that_of_pytorch(
    kind: str, quantized: bool, tolerance: float, masked: bool
) -> None:
    reference, weights = random_cell(kind)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (B, K)).astype(np.float32)
    mask = np.array([[1], [0], [1]], np.float32)
    parts = ("hidden", "cell") if kind == "lstm" else ("hidden",)
    state = [rng.uniform(-1, 1, (B, H)).astype(np.float32) for _ in parts]

    graph = GraphBuilder()
    for name, shape in (("x", [B, K]), ("mask", [B, 1]), *((part, [B, H]) for part in parts)):
        graph.input(name, TensorProto.FLOAT, shape)
    cell = Cell(kind, weights, PREFIX, quantized=quantized, name="name.")
    projected = cell.project_input(graph, "x")
    names = cell.step(graph, projected, parts, "mask" if masked else "")
    for name in names:
        graph.output(name, TensorProto.FLOAT, [B, H])
    session = Session(to_bytes(graph), threads=1)
    found = session.run(names, {"x": x, "mask": mask, **dict(zip(parts, state, strict=True))})

    before = [torch.from_numpy(part[None]) for part in state]
    with torch.no_grad():
        _, after = reference(torch.from_numpy(x[None]), *([before] if kind == "lstm" else before))
    expected = after if kind == "lstm" else (after,)
    for part, wanted in zip(found, expected, strict=True):
        wanted = wanted[0].numpy() * (mask if masked else 1)
        np.testing.assert_allclose(part, wanted, atol=tolerance)
        assert quantized == bool((np.abs(part - wanted) > 1e-5).any())


@pytest.mark.parametrize("kind", CELLS)
def test_the_int8_input_projection_is_one_product_with_its_bias(kind: str) -> None:
    _, weights = random_cell(kind)
    graph = GraphBuilder()
    Cell(kind, weights, PREFIX, quantized=True).project_input(graph, "x")
    assert [node.operator for node in graph.nodes] == ["QuantizeLinear", "MatMulIntegerToFloat"]


def test_float32_matrices_may_be_external() -> None:
    _, weights = random_cell("gru")
    graph, added = GraphBuilder(), []

    def add_external(name: str) -> str:
        added.append(name)
        return graph.constant(name, weights[name], external=True)

    cell = Cell("gru", weights, PREFIX, quantized=False, add_external=add_external)
    cell.step(graph, cell.project_input(graph, "x"), ["hidden"])
    assert added == ["layer.weight_ih_l0", "layer.weight_hh_l0"]
    assert {tensor.name for tensor in graph.tensors.values() if tensor.external} == set(added)
