"""The classifier's network: the shared encoder, pooling, and scores of the labels.

Knows: ids and lengths in, one row of logits a document out. Does not know: losses, windows of
long documents, or text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import POOLING_FLOOR, EncoderConfig, ModelConfig
from rnntext.training.networks.encoder import Network


class ClassifierHead(nn.Module):
    """Scores of the labels from three views of the states: the last, the largest and the mean
    (concat pooling, Howard and Ruder 2018). For a bidirectional encoder the last state is the
    forward direction's at the last token beside the backward direction's at the first."""

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
        """The last state, the largest and the sum of all, (B, H) each."""
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
        """The three views (B, H) -> logits (B, labels)."""
        views = torch.cat([last, largest, mean], dim=-1)  # (B, 3H)
        logits: Tensor = self.output(self.dropout(views))
        return logits


class Classifier(Network):
    """The encoder under a classifier's head."""

    def __init__(
        self, config: ModelConfig, dropout: float = 0.0, token_dropout: float = 0.0
    ) -> None:
        super().__init__(config, dropout, token_dropout)
        self.head = ClassifierHead(config.encoder, len(config.labels), dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> logits (B, labels)."""
        states, _ = self.encoder(ids, lengths)
        logits: Tensor = self.head(states, lengths)
        return logits


def build(config: ModelConfig, dropout: float, token_dropout: float) -> Classifier:
    """A classifier with one output for each of the configuration's labels."""
    return Classifier(config, dropout, token_dropout)
