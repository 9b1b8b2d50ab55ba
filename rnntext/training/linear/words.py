"""The likelihood of the tags of words, each by itself, with its gradient in closed form.

Knows: a softmax over tags whose scores are sums of their parts'. Does not know: where scores come
from.

It stands beside `chains.py`, for taggers without transitions. The scores of hundreds of tags at all
words of a data set would fill memory, so those of some words are computed at a time, and what is
kept are the gradients of the parts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rnntext.training.data.store import Array

# Scores that are computed together, 0.5 MB in float32: with four times as many, which a core does
# not keep near, a step takes 1.7 times as long.
_MAX_SCORES = 1 << 17


class Words:
    """Tagged words."""

    def __init__(self, tags: Array, parts: Array | None = None) -> None:
        """`tags`: (words); `parts`: which parts each tag has, (P, L); None: each tag is its own."""
        self.words = len(tags)
        self._tags = torch.from_numpy(tags).long()
        self._parts = None if parts is None else torch.from_numpy(parts)

    def loss(self, scores: Tensor, bias: Tensor) -> Tensor:
        """Return the summed negative log-likelihood of the tags, in nats, differentiable. `scores`:
        those of parts (words, P), or of tags (words, L) where each is its own part; `bias`: what is
        added to the scores of tags, (L)."""
        total: Tensor = _NegativeLogLikelihood.apply(scores, bias, self._tags, self._parts)  # type: ignore[no-untyped-call]
        return total


class _NegativeLogLikelihood(torch.autograd.Function):
    """The derivative by the score of a tag is its probability, less 1 where it is the right one."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, bias: Tensor, tags: Tensor, parts: Tensor | None
    ) -> Tensor:
        loss = torch.zeros((), dtype=torch.float64)
        by_score, by_bias = torch.empty_like(scores), torch.zeros_like(bias)
        step = max(1, _MAX_SCORES // len(bias))
        for start in range(0, len(scores), step):
            some = scores[start : start + step]
            of_tags = some + bias if parts is None else torch.addmm(bias, some, parts)
            gold = tags[start : start + step, None]
            logs = of_tags.log_softmax(1)
            loss -= logs.gather(1, gold).sum(dtype=torch.float64)
            errors = logs.exp_().scatter_add_(1, gold, -torch.ones_like(logs[:, :1]))
            by_score[start : start + step] = errors if parts is None else errors @ parts.t()
            by_bias += errors.sum(0)
        ctx.save_for_backward(by_score, by_bias)
        return loss.to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        by_score, by_bias = ctx.saved_tensors
        return outer[0] * by_score, outer[0] * by_bias, None, None
