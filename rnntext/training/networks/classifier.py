"""The classifier's network: the shared encoder, pooling, and a linear layer for the labels.

Knows: how ids and lengths become one row of logits for each document. Does not know: losses,
windows of long documents, or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import POOLING_FLOOR, EncoderConfig, ModelConfig
from rnntext.training.networks.encoder import Network


class ClassifierHead(nn.Module):
    """Logits of the labels from the last hidden state, the maximum and the mean of all (concat
    pooling, Howard and Ruder 2018). The last state of a bidirectional encoder is the forward state
    at the last token concatenated with the backward state at the first token."""

    def __init__(self, config: EncoderConfig, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.hidden_size = config.hidden_size
        self.bidirectional = config.bidirectional
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(3 * config.output_size, num_labels)

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """states (T, B, H), lengths (B) of at least 1 -> logits (B, labels)."""
        last, largest, total = self.pool(states, lengths)
        return self.logits(last, largest, total / lengths[:, None])

    def pool(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last state, the maximum and the sum over time, (B, H) each."""
        steps, rows = states.shape[:2]
        row = torch.arange(rows, device=states.device)
        last = states[lengths - 1, row]  # (B, H)
        if self.bidirectional:
            last = torch.cat(
                [last[:, : self.hidden_size], states[0, :, self.hidden_size :]], dim=-1
            )
        valid = torch.arange(steps, device=states.device)[:, None] < lengths  # (T, B)
        largest = states.masked_fill(~valid[..., None], POOLING_FLOOR).amax(0)  # (B, H)
        return last, largest, states.masked_fill(~valid[..., None], 0.0).sum(0)

    def logits(self, last: Tensor, largest: Tensor, mean: Tensor) -> Tensor:
        """Last state, maximum and mean (B, H) -> logits (B, labels)."""
        pooled = torch.cat([last, largest, mean], dim=-1)  # (B, 3H)
        logits: Tensor = self.output(self.dropout(pooled))
        return logits


class Classifier(Network):
    """The encoder with the head of a classifier."""

    def __init__(self, config: ModelConfig, dropout: float, token_dropout: float) -> None:
        super().__init__(config, dropout, token_dropout)
        self.head = ClassifierHead(config.encoder, len(config.labels), dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> logits (B, labels)."""
        states, _ = self.encoder(ids, lengths)
        logits: Tensor = self.head(states, lengths)
        return logits


def head_parameters(config: ModelConfig) -> int:
    """The number of the head's parameters."""
    return (3 * config.encoder.output_size + 1) * len(config.labels)


def build(config: ModelConfig, dropout: float, token_dropout: float) -> Classifier:
    """Build a classifier with one output for each label of the configuration."""
    return Classifier(config, dropout, token_dropout)
