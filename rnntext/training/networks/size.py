"""The number of a network's parameters, from its configuration alone.

Knows: how the sizes of a configuration multiply. Does not know: memory, or any one task. A test
compares the numbers with those of networks that are built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rnntext.config import GATED_BLOCKS, ModelConfig
from rnntext.tasks import task_module


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """Numbers of parameters."""

    embedding: int
    layers: int
    head: int
    activations: int  # numbers that each token of a batch adds, kept for the backward pass

    @property
    def parameters(self) -> int:
        return self.embedding + self.layers + self.head


def network_size(config: ModelConfig) -> NetworkSize:
    """The size of the network that `build_network` would build. The activations are a lower bound:
    the embedding, and for each layer its gates and its output."""
    encoder = config.encoder
    blocks = GATED_BLOCKS[encoder.cell]
    layers = sum(map(math.prod, encoder.weight_shapes().values()))
    encoders = 2 if config.backward_encoder else 1
    return NetworkSize(
        encoder.vocab_size * encoder.embed_size,
        encoders * layers,
        task_module("training.networks", config.task).head_parameters(config),
        encoders * (encoder.embed_size + encoder.num_layers * encoder.output_size * (blocks + 1)),
    )
