"""Encoders with random weights, and what PyTorch makes of a padded batch, for tests of graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from rnntext.config import EncoderConfig
from rnntext.graphs.graph_builder import GraphBuilder
from rnntext.training.networks.encoder import RecurrentEncoder

torch.set_num_threads(1)

Array = NDArray[Any]
CELLS = ("rnn", "gru", "lstm")
# Steps, rows, embedding, units, vocabulary. Each size is another, so that a swapped axis fails.
T, B, E, H, V = 5, 3, 4, 6, 11
LENGTHS = np.array([3, 5, 1], np.int32)
OUTLIER = V - 1  # the id of padding; its embedding is far larger than the others
ZERO = V - 2  # an id whose embedding is zero


def random_encoder(cell: str, layers: int, both: bool) -> tuple[RecurrentEncoder, dict[str, Array]]:
    """An encoder, and its weights by their names in a checkpoint."""
    encoder = RecurrentEncoder(EncoderConfig(cell, V, E, H, layers, both), 0.0, 0.0).eval()
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.5, parameter.shape)))
        encoder.embedding.weight[OUTLIER] *= 8
        encoder.embedding.weight[ZERO] = 0
    weights = {f"encoder.{name}": p.detach().numpy() for name, p in encoder.named_parameters()}
    return encoder, weights


def padded_ids(seed: int = 2) -> Array:
    """(B, T) ids of rows of LENGTHS, and OUTLIER at padding."""
    ids = np.random.default_rng(seed).integers(OUTLIER, size=(B, T))
    ids[1, 2] = ZERO
    ids[np.arange(T) >= LENGTHS[:, None]] = OUTLIER
    return ids


def token_inputs() -> GraphBuilder:
    """A graph with the inputs that every encoder reads."""
    graph = GraphBuilder()
    graph.input("ids", TensorProto.INT64, ["B", "T"])
    graph.input("lengths", TensorProto.INT32, ["B"])
    return graph


def states_alone(
    encoder: RecurrentEncoder, row: Array, before: tuple[Array, ...] | None = None
) -> tuple[Array, list[Array]]:
    """States (T, directions * H) of one row without padding, and the parts of its final state
    (layers, H). `before`: the parts of the state before the row, (layers, H) each."""
    given = None
    if before is not None:
        given = tuple(torch.from_numpy(part)[:, None] for part in before)
    with torch.no_grad():
        states, after = encoder(torch.from_numpy(row)[None], None, given)
    return states[:, 0].numpy(), [part[:, 0].numpy() for part in after]
