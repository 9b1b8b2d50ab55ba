"""The language model's network: the shared encoder and a head that predicts the next token.

Knows: how ids and a hidden state become logits and the next hidden state, and the second encoder
that a model may have, which reads from the end of a text. Does not know: losses, batches or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.networks.encoder import (
    LockedDropout,
    Network,
    State,
    make_layers,
    run_layers,
)


def make_projection(config: EncoderConfig) -> nn.Linear | None:
    """Make the projection of hidden states to the size of the embeddings, where it differs."""
    if config.output_size == config.embed_size:
        return None
    return nn.Linear(config.output_size, config.embed_size)


class LanguageModelHead(nn.Module):
    """Logits of the next token. The output weights are tied to the embeddings (Press and Wolf
    2017)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.projection = make_projection(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, states: Tensor) -> Tensor:  # (..., output_size) -> (..., E)
        if self.projection is None:
            return states
        projected: Tensor = self.projection(states)
        return projected


class BackwardEncoder(nn.Module):
    """Recurrent layers that read a text from its end, and predict each token from those after it.

    They share the embeddings and the output weights of the encoder. No answer uses them: a
    bidirectional encoder that starts from the model does (`--init`), in the way of Peters et al.
    (2018), whose two directions do not see each other either.
    """

    def __init__(self, config: EncoderConfig, dropout: float) -> None:
        super().__init__()
        self.input_dropout = LockedDropout(dropout / 2)
        self.dropout = LockedDropout(dropout)
        self.layers = make_layers(config)
        self.projection = make_projection(config)

    def scale_dropout(self, scale: float) -> None:
        """Multiply the dropout probabilities by `scale` from now on."""
        self.input_dropout.scale = self.dropout.scale = scale

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Embeddings (T, B, E) of tokens from the last to the first, state -> input of the output
        embeddings (T, B, E), state."""
        states, state = run_layers(self.layers, self.dropout, self.input_dropout(x), state, None)
        return states if self.projection is None else self.projection(states), state


class LanguageModel(Network):
    """The encoder with the head of a language model, and perhaps a second encoder."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__(config, dropout, 0.0)
        self.head = LanguageModelHead(config.encoder)
        self.backward_encoder = (
            BackwardEncoder(config.encoder, dropout) if config.backward_encoder else None
        )

    def scale_dropout(self, scale: float) -> None:
        """Multiply the dropout probabilities by `scale` from now on."""
        self.encoder.scale_dropout(scale)
        if self.backward_encoder is not None:
            self.backward_encoder.scale_dropout(scale)

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

    def hidden_backward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The same of the second encoder: ids (B, T) from the last to the first."""
        assert self.backward_encoder is not None  # noqa: S101
        embedded = self.encoder.embedding(ids.t())  # (T, B, E)
        hidden: tuple[Tensor, State] = self.backward_encoder(embedded, state)
        return hidden


def head_parameters(config: ModelConfig) -> int:
    """The number of the head's parameters; the output weights are those of the embedding. A second
    encoder has a projection too."""
    width, embed = config.encoder.output_size, config.encoder.embed_size
    projections = (2 if config.backward_encoder else 1) if width != embed else 0
    return config.encoder.vocab_size + projections * (width + 1) * embed


def build(config: ModelConfig, dropout: float, token_dropout: float) -> LanguageModel:
    """Build a language model. It has no token dropout, because every token is predicted."""
    return LanguageModel(config, dropout)
