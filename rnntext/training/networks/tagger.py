"""The tagger's network: the shared encoder, a linear layer for the tags, and perhaps a CRF.

Knows: how ids, and the first and last token of each word, become emissions. Does not know: losses,
how long sentences are split, or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import ModelConfig
from rnntext.tag_parts import composition
from rnntext.training.networks.crf import make_decoder
from rnntext.training.networks.encoder import Network


class SumOfParts(nn.Module):
    """A linear layer that scores the parts of tags. The score of a tag is the sum of its parts'
    scores and a bias of its own, so that rare tags learn from others with the same parts."""

    parts: Tensor  # (P, L), see `tag_parts.matrix_of_parts`

    def __init__(self, inputs: int, parts: Tensor) -> None:
        super().__init__()
        self.weight = nn.Linear(inputs, len(parts), bias=False).weight  # (P, H)
        self.bias = nn.Parameter(torch.zeros(parts.shape[1]))  # (L)
        self.register_buffer("parts", parts)

    def forward(self, x: Tensor) -> Tensor:
        """(..., H) -> (..., L)"""
        return nn.functional.linear(x, self.weight) @ self.parts + self.bias


class TaggerHead(nn.Module):
    """Emissions of the tags of each word, and the CRF if there is one.

    A word's vector is the forward state at its last token concatenated with the backward state at
    its first token: both have read the whole word.
    """

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.hidden_size = config.encoder.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.output = output_layer(config, config.encoder.output_size)
        self.crf = make_decoder(config)

    def forward(self, states: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """states (T, B, H), first and last (B, W) token of each word -> emissions (B, W, L)."""
        row = torch.arange(states.shape[1], device=states.device)[:, None]  # (B, 1)
        forward = states[last, row, : self.hidden_size]  # (B, W, H)
        backward = states[first, row, self.hidden_size :]  # (B, W, H or 0)
        words = self.dropout(torch.cat([forward, backward], dim=-1))
        emissions: Tensor = self.output(words)
        return emissions


def output_layer(config: ModelConfig, inputs: int) -> nn.Module:
    """Make the layer that scores the tags of a configuration."""
    parts = composition(config)
    if parts is None:
        return nn.Linear(inputs, len(config.labels))
    return SumOfParts(inputs, torch.from_numpy(parts))


class Tagger(Network):
    """The encoder with the head of a tagger."""

    def __init__(self, config: ModelConfig, dropout: float, token_dropout: float) -> None:
        super().__init__(config, dropout, token_dropout)
        self.head = TaggerHead(config, dropout)

    def forward(self, ids: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ids (B, T), lengths (B), first and last (B, W) -> emissions (B, W, labels)."""
        states, _ = self.encoder(ids, lengths)
        emissions: Tensor = self.head(states, first, last)
        return emissions


def head_parameters(config: ModelConfig) -> int:
    """The number of the head's parameters: the linear layer, and the CRF's transitions with its
    scores of the first and the last tag."""
    labels = len(config.labels)
    parts = composition(config)
    scored = labels if parts is None else len(parts)
    return config.encoder.output_size * scored + labels + (labels + 2) * labels * config.crf


def build(config: ModelConfig, dropout: float, token_dropout: float) -> Tagger:
    """Build a tagger with one emission for each label of the configuration."""
    return Tagger(config, dropout, token_dropout)
