"""The graph of a bidirectional encoder, compared with the encoder in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from rnntext.graphs.bidirectional import encode, encode_pooled
from rnntext.runtime.session import Session
from rnntext.training.onnx.protobuf import to_bytes
from tests.graphs.encoders import (
    CELLS,
    LENGTHS,
    OUTLIER,
    ZERO,
    B,
    H,
    T,
    V,
    padded_ids,
    random_encoder,
    states_alone,
    token_inputs,
)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_of_pytorch(cell: str, layers: int, quantized: bool) -> None:
    """Each row is read alone, in both directions; states at padding are zero."""
    encoder, weights = random_encoder(cell, layers, both=True)
    graph = token_inputs()
    names = encode(graph, encoder.config, weights, quantized=quantized)
    for name in names:
        graph.output(name, TensorProto.FLOAT, ["T", "B", H])
    ids = padded_ids()
    found = Session(to_bytes(graph), 1).run(names, {"ids": ids, "lengths": LENGTHS})
    both = np.concatenate(found, axis=2)
    assert both.shape == (T, B, 2 * H)
    differences = []
    for row, length in enumerate(LENGTHS):
        wanted, _ = states_alone(encoder, ids[row, :length])
        assert not both[length:, row].any()
        # The error of a state in int8 is at most a 128th, but the errors of all layers add up.
        tolerance = 0.05 * layers if quantized else 1e-5
        np.testing.assert_allclose(both[:length, row], wanted, atol=tolerance)
        differences.append(np.abs(both[:length, row] - wanted).max())
    assert quantized == (max(differences) > 1e-4)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_pooled_states_are_those_of_all_tokens(cell: str, layers: int, quantized: bool) -> None:
    encoder, weights = random_encoder(cell, layers, both=True)
    graph = token_inputs()
    pooled = encode_pooled(graph, encoder.config, weights, quantized=quantized)
    names = [name for way in pooled for name in (way.last, way.largest, way.total)]
    for name in names:
        graph.output(name, TensorProto.FLOAT, ["B", H])
    ids = padded_ids()
    found = Session(to_bytes(graph), 1).run(names, {"ids": ids, "lengths": LENGTHS})
    assert {part.shape for part in found} == {(B, H)}
    for row, length in enumerate(LENGTHS):
        states, _ = states_alone(encoder, ids[row, :length])
        forward, backward = states[:, :H], states[:, H:]
        wanted = [
            forward[-1], forward.max(0), forward.sum(0),
            backward[0], backward.max(0), backward.sum(0),
        ]  # fmt: skip
        for part, one in zip(found, wanted, strict=True):
            tolerance = 0.05 * layers * length if quantized else 1e-5
            np.testing.assert_allclose(part[row], one, atol=tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_each_int8_embedding_has_its_own_scale(cell: str) -> None:
    encoder, weights = random_encoder(cell, 1, both=True)
    graph = token_inputs()
    encode(graph, encoder.config, weights, quantized=True)
    table = graph.tensors["embedding.int8"].value
    scale = graph.tensors["embedding.scale"].value
    exact = weights["encoder.embedding.weight"]
    assert scale.shape == (V, 1)
    largest = np.abs(table.astype(int)).max(axis=1)
    assert largest.tolist() == [0 if token == ZERO else 127 for token in range(V)]
    assert scale[OUTLIER] > 3 * np.median(scale)
    assert scale[ZERO] > 0
    assert (np.abs(table * scale - exact) <= scale / 2 * 1.001).all()
