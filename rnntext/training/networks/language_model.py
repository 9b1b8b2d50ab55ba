"""The language model's network: the shared encoder and a head that predicts the next token.

Knows: how ids and a hidden state become logits and the next hidden state. Does not know: losses,
batches or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.networks.encoder import Network, State


class LanguageModelHead(nn.Module):
    """Logits of the next token. The output weights are tied to the embeddings (Press and Wolf
    2017)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        # Projects the hidden states to the size of the embeddings.
        self.projection = (
            nn.Linear(config.output_size, config.embed_size)
            if config.output_size != config.embed_size
            else None
        )
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor) -> Tensor:  # (..., output_size) -> (..., E)
        if self.projection is None:
            return states
        projected: Tensor = self.projection(states)
        return projected


class LanguageModel(Network):
    """The encoder with the head of a language model."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__(config, dropout, 0.0)
        self.head = LanguageModelHead(config.encoder)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state -> logits (B, T, V), state."""
        states, state = self.hidden(ids, state)
        logits = torch.addmm(
            self.head.bias, states.flatten(0, 1), self.encoder.embedding.weight.t()
        )
        return logits.view(*states.shape[:2], -1).transpose(0, 1), state

    def hidden(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """ids (B, T), state -> input of the output embeddings (T, B, E), state."""
        states, state = self.encoder(ids, None, state)
        return self.head(states), state


def head_parameters(config: ModelConfig) -> int:
    """The number of the head's parameters; the output weights are those of the embedding."""
    width, embed = config.encoder.output_size, config.encoder.embed_size
    return config.encoder.vocab_size + ((width + 1) * embed if width != embed else 0)


def build(config: ModelConfig, dropout: float, token_dropout: float) -> LanguageModel:
    """Build a language model. It has no token dropout, because every token is predicted."""
    return LanguageModel(config, dropout)
