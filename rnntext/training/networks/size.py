"""The number of a network's parameters, from its configuration alone.

Knows: how the sizes of a configuration multiply. Does not know: memory, or any one task. A test
compares the numbers with those of networks that are built.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnntext.config import ModelConfig
from rnntext.tasks import task_module

_GATES = {"rnn": 1, "gru": 3, "lstm": 4}


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
    hidden, gates = encoder.hidden_size, _GATES[encoder.cell]
    widths = [encoder.embed_size] + [encoder.output_size] * (encoder.num_layers - 1)
    # Of one direction: input and recurrent matrices, and PyTorch's two biases.
    layers = sum(gates * hidden * (width + hidden + 2) for width in widths)
    encoders = 2 if config.backward_encoder else 1
    return NetworkSize(
        encoder.vocab_size * encoder.embed_size,
        encoders * encoder.directions * layers,
        task_module("training.networks", config.task).head_parameters(config),
        encoders * (encoder.embed_size + encoder.num_layers * encoder.output_size * (gates + 1)),
    )
