"""The tagger's network: the shared encoder, a linear layer for the tags, and a CRF.

Knows: how ids, and the first and last token of each word, become emissions. Does not know: losses,
how long sentences are split, or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig, ModelConfig
from rnntext.training.networks.crf import ConditionalRandomField
from rnntext.training.networks.encoder import Network


class TaggerHead(nn.Module):
    """Emissions of the tags of each word, and the CRF.

    A word's vector is the forward state at its last token concatenated with the backward state at
    its first token: both have read the whole word.
    """

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.hidden_size = config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(config.output_size, num_labels)
        self.crf = ConditionalRandomField(num_labels)

    def forward(self, states: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """states (T, B, H), first and last (B, W) token of each word -> emissions (B, W, L)."""
        row = torch.arange(states.shape[1], device=states.device)[:, None]  # (B, 1)
        forward = states[last, row, : self.hidden_size]  # (B, W, H)
        backward = states[first, row, self.hidden_size :]  # (B, W, H or 0)
        words = self.dropout(torch.cat([forward, backward], dim=-1))
        emissions: Tensor = self.output(words)
        return emissions


class Tagger(Network):
    """The encoder with the head of a tagger."""

    def __init__(self, config: ModelConfig, dropout: float, token_dropout: float) -> None:
        super().__init__(config, dropout, token_dropout)
        self.head = TaggerHead(config.encoder, len(config.labels), dropout)

    def forward(self, ids: Tensor, lengths: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ids (B, T), lengths (B), first and last (B, W) -> emissions (B, W, labels)."""
        states, _ = self.encoder(ids, lengths)
        emissions: Tensor = self.head(states, first, last)
        return emissions


def head_parameters(config: ModelConfig) -> int:
    """The number of the head's parameters: the linear layer, and the CRF's transitions with its
    scores of the first and the last tag."""
    labels = len(config.labels)
    return (config.encoder.output_size + 1) * labels + (labels + 2) * labels


def build(config: ModelConfig, dropout: float, token_dropout: float) -> Tagger:
    """Build a tagger with one emission for each label of the configuration."""
    return Tagger(config, dropout, token_dropout)
