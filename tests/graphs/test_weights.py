"""The weights that a graph holds are those that it was built of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.graphs import int8
from rnntext.graphs.expected import weight_shapes
from rnntext.graphs.weights import weights_of
from rnntext.graphs.wire import WireError
from rnntext.training.onnx.build import build

Array = NDArray[Any]

CELLS = ("rnn", "gru", "lstm")
V, E, H = 11, 4, 6


def configurations(cell: str) -> Iterator[ModelConfig]:
    """Of every task, direction, one layer and several, with a projection before the logits and
    without."""
    for task in ("lm", "classify", "tag"):
        for bidirectional in (False,) if task == "lm" else (False, True):
            for layers, embed in ((1, E), (3, E), (2, H)):
                encoder = EncoderConfig(cell, V, embed, H, layers, bidirectional)
                yield ModelConfig(
                    task,
                    encoder,
                    () if task == "lm" else ("a", "b", "c"),
                    max_length=0 if task == "lm" else 64,
                )


def random_weights(config: ModelConfig) -> dict[str, Array]:
    random = np.random.default_rng(3)
    return {
        name: random.normal(0, 0.5, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def with_summed_biases(config: ModelConfig, weights: dict[str, Array]) -> dict[str, Array]:
    """What a bidirectional graph tells of its biases: their sum, unless it needs both."""
    if not config.encoder.bidirectional or config.encoder.cell == "gru":
        return weights
    summed = dict(weights)
    for name, bias in weights.items():
        if "bias_ih" in name:
            second = name.replace("bias_ih", "bias_hh")
            summed[name], summed[second] = bias + weights[second], np.zeros_like(bias)
    return summed


@pytest.mark.parametrize("cell", CELLS)
def test_a_float32_graph_holds_every_weight(cell: str) -> None:
    for config in configurations(cell):
        weights = random_weights(config)
        content = build(config, weights)
        found = weights_of(content, config, "float32")
        expected = with_summed_biases(config, weights)
        assert list(found) == list(weight_shapes(config))
        for name, array in found.items():
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.flags.writeable
            np.testing.assert_array_equal(array, expected[name], name)
        assert build(config, found) == content


def eight_bits(table: Array) -> Array:
    rounded, scale = int8.quantize_embeddings(table)
    return np.asarray(rounded * np.float32(scale))


def eight_bits_a_row(table: Array) -> Array:
    return np.stack([eight_bits(row[None])[0] for row in table])


def seven_bits(matrix: Array) -> Array:
    rounded, scale = int8.quantize(matrix)
    return np.asarray(rounded * scale[:, None])


@pytest.mark.parametrize("cell", CELLS)
def test_an_int8_graph_holds_what_it_computes_with(cell: str) -> None:
    for config in configurations(cell):
        weights = random_weights(config)
        found = weights_of(build(config, weights, "int8"), config, "int8")
        for name, array in with_summed_biases(config, weights).items():
            expected = array
            if name == "encoder.embedding.weight":
                by_row = config.encoder.bidirectional
                expected = eight_bits_a_row(array) if by_row else eight_bits(array)
            elif "weight_ih" in name or "weight_hh" in name:
                expected = seven_bits(array)
            np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=0, err_msg=name)
            assert found[name].dtype == np.float32


def test_the_graph_of_another_configuration_is_refused() -> None:
    one, other = list(configurations("gru"))[:2]
    with pytest.raises(WireError):
        weights_of(build(one, random_weights(one)), other, "float32")
    with pytest.raises(WireError):
        weights_of(build(one, random_weights(one)), one, "int8")
