"""The graph of a unidirectional encoder, compared with the encoder in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.graphs.unidirectional import encode
from rnntext.runtime.session import Session
from rnntext.training.networks.encoder import RecurrentEncoder
from rnntext.training.onnx.protobuf import to_bytes
from tests.graphs.encoders import (
    CELLS,
    LENGTHS,
    OUTLIER,
    Array,
    B,
    E,
    H,
    T,
    padded_ids,
    random_encoder,
    states_alone,
    token_inputs,
)


def encoder_graph(
    cell: str, layers: int, quantized: bool
) -> tuple[RecurrentEncoder, GraphBuilder, str]:
    encoder, weights = random_encoder(cell, layers, both=False)
    graph = token_inputs()
    found = encode(graph, encoder.config, weights, quantized=quantized)
    assert found.final_hidden == "next_hidden"
    graph.output(found.states, TensorProto.FLOAT, ["T", "B", H])
    return encoder, graph, found.states


def random_state(encoder: RecurrentEncoder) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    shape = (encoder.config.num_layers, B, H)
    names = encoder.config.state_names
    return {name: rng.uniform(-1, 1, shape).astype(np.float32) for name in names}


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_of_pytorch(cell: str, layers: int, quantized: bool) -> None:
    """From a given state on, each row to its own end; states at padding are zero."""
    encoder, graph, states = encoder_graph(cell, layers, quantized)
    session = Session(to_bytes(graph), threads=1)
    ids, before = padded_ids(), random_state(encoder)
    names = [f"next_{name}" for name in before]
    found, *after = session.run([states, *names], {"ids": ids, "lengths": LENGTHS, **before})
    assert found.shape == (T, B, H)
    tolerance = 0.05 if quantized else 1e-5
    differences = []
    for row, length in enumerate(LENGTHS):
        start = tuple(part[:, row] for part in before.values())
        wanted, end = states_alone(encoder, ids[row, :length], start)
        assert not found[length:, row].any()
        for one, two in (
            (found[:length, row], wanted),
            *zip((part[:, row] for part in after), end, strict=True),
        ):
            np.testing.assert_allclose(one, two, atol=tolerance)
            differences.append(np.abs(one - two).max())
    assert quantized == (max(differences) > 1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_sentinels_of_an_int8_lstm_stay_at_their_limits(layers: int) -> None:
    """They fix the range of each layer's input, so the other rows change nothing."""
    encoder, graph, states = encoder_graph("lstm", layers, quantized=True)
    for layer in range(layers):
        graph.output(f"layer{layer}.y", TensorProto.FLOAT, ["T", 1, "B", H + 2])
    session = Session(to_bytes(graph), threads=1)
    ids, lengths = np.full((B, T), OUTLIER), np.full(B, T, np.int32)
    for state in (random_state(encoder), {n: p * 0 for n, p in random_state(encoder).items()}):
        names = [states, *(f"layer{layer}.y" for layer in range(layers))]
        found, *raw = session.run(names, {"ids": ids, "lengths": lengths, **state})
        for layer in raw:
            assert layer.shape == (T, 1, B, H + 2)
            assert (layer[..., H] == 1).all()
            assert (layer[..., H + 1] == -1).all()
        np.testing.assert_array_equal(found, raw[-1][:, 0, :, :H])


@pytest.mark.parametrize("cell", CELLS)
def test_int8_embeddings_fill_the_range_of_the_layer_that_reads_them(cell: str) -> None:
    """In an LSTM two columns with the limits of int8 make the layer's own steps the same."""
    encoder, graph, _ = encoder_graph(cell, 1, quantized=True)
    table = graph.tensors["embedding.int8"].value
    scale = graph.tensors["embedding.scale"].value
    exact = encoder.embedding.weight.detach().numpy()
    assert table.dtype == np.int8
    assert np.abs(table[:, :E].astype(int)).max() == 127
    np.testing.assert_allclose(table[:, :E] * scale, exact, atol=float(scale) / 2 * 1.001)
    limits = np.unique(table[:, E:], axis=0).tolist()
    assert limits == ([[127, -128]] if cell == "lstm" else [[]])


@pytest.mark.parametrize("cell", CELLS)
def test_int8_weights_are_the_embeddings_and_the_matrices(cell: str) -> None:
    """Biases are few, and stay float32."""
    _, graph, _ = encoder_graph(cell, 2, quantized=True)
    arrays = {name: a.value for name, a in graph.tensors.items()}
    matrices = {f"layer{layer}.{name}" for layer in (0, 1) for name in "WR"}
    large = {name for name, array in arrays.items() if array.ndim > 1 and array.dtype == np.int8}
    zeros = {name for name in large if name.endswith(".zero")}
    assert large - zeros == {"embedding.int8", *(f"{name}.int8" for name in matrices)}
    assert {arrays[f"layer{layer}.B"].dtype for layer in (0, 1)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_states_are_inputs_and_outputs(cell: str, quantized: bool) -> None:
    _, graph, _ = encoder_graph(cell, 2, quantized)
    parts = {"lstm": ["hidden", "cell"]}.get(cell, ["hidden"])
    assert [value.name for value in graph.inputs] == ["ids", "lengths", *parts]
    outputs = {value.name: value for value in graph.outputs}
    for part in parts:
        for value in (outputs[f"next_{part}"], graph.inputs[2 + parts.index(part)]):
            assert value.shape == (2, "B", H)
