"""Layers of the models that recurrent networks are compared with.

Knows: embeddings without recurrence, and windows that move over a sequence. Does not know: tasks,
heads, losses or how a model is trained. As in the recurrent encoder, time is the first axis.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rnntext.config import EncoderConfig
from rnntext.training.networks.encoder import LockedDropout, TokenDropout
from rnntext.training.recipes import Recipe


class Embedded(nn.Module):
    """The embeddings of a recurrent encoder, with the same dropout, and nothing after them."""

    def __init__(self, config: EncoderConfig, recipe: Recipe) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embed_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.token_dropout = TokenDropout(recipe.token_dropout)
        self.input_dropout = LockedDropout(recipe.dropout / 2)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """ids (B, T), lengths (B) -> embeddings (T, B, E), 0 at padding."""
        x: Tensor = self.input_dropout(self.token_dropout(self.embedding(ids.t())))
        return x.masked_fill(~is_token(ids, lengths), 0.0)


def is_token(ids: Tensor, lengths: Tensor) -> Tensor:
    """ids (B, T), lengths (B) -> True where a row has a token, False at padding: (T, B, 1)."""
    return (torch.arange(ids.shape[1], device=ids.device)[:, None] < lengths)[..., None]


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Make a linear layer with the initial weights of the recurrent layers' inputs."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Window(nn.Module):
    """A linear layer over the vectors of `width` places, concatenated, at each place of a sequence:
    a convolution over time (Waibel et al. 1989). With `dilation` there are as many places less one
    between two of them that it leaves out."""

    def __init__(self, inputs: int, outputs: int, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.width, self.dilation = width, dilation
        self.linear = linear(width * inputs, outputs)

    @property
    def reach(self) -> int:
        """How many places the last of a window is after the first."""
        return (self.width - 1) * self.dilation

    def forward(self, x: Tensor) -> Tensor:
        """(T + reach, B, I) -> (T, B, H): one window for each place where it fits."""
        steps = x.shape[0] - self.reach
        starts = range(0, self.reach + 1, self.dilation)
        windows = torch.cat([x[start : start + steps] for start in starts], dim=-1)
        found: Tensor = self.linear(windows)  # (T, B, width * I) -> (T, B, H)
        return found

    def centred(self, x: Tensor) -> Tensor:
        """(T, B, I) -> (T, B, H): a window around each place, with zeros beyond both ends."""
        before = self.reach // 2
        # From the last axis to the first, a pair each.
        return self.forward(nn.functional.pad(x, (0, 0, 0, 0, before, self.reach - before)))
