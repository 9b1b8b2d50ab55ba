"""The likelihood of a linear-chain conditional random field, with its gradient in closed form.

Knows: the scores of whole data sets of tagged sentences. Does not know: where scores come from.

The network's CRF (`networks/crf.py`) follows one batch by automatic differentiation. A linear model
is fitted on all sentences at once, hundreds of times, and there the expected counts of
forward-backward (Rabiner 1989), in the probability domain with a scale for each word, are some ten
times faster: a step is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext.text.batches import buckets
from rnntext.training.data.store import Array

# Sentences are computed together as long as their padded words have so many scores: 8 MB in
# float64 for each of a few arrays.
_MAX_SCORES = 1 << 20


class PathScores(NamedTuple):
    """The scores of the first tag (L), of transitions (L, L) from, to, and of the last tag (L)."""

    start: Tensor
    transitions: Tensor
    end: Tensor


class _Batch(NamedTuple):
    """Sentences of similar length."""

    words: Tensor  # (T, B): the index of each word; at padding that of the last word
    lengths: Tensor  # (B)
    valid: Tensor  # (T, B)


class Chains:
    """Tagged sentences."""

    def __init__(self, lengths: Sequence[int] | Array, tags: Array, labels: int) -> None:
        """`lengths`: the words of each sentence, at least 1; `tags`: those of all words, one
        sentence after the other, below `labels`."""
        counts = np.asarray(lengths, np.int64)
        starts = np.cumsum(counts) - counts
        self.labels, self.words = labels, len(tags)
        self._tags = torch.from_numpy(np.asarray(tags, np.int64))
        self._batches = []
        for index in buckets(counts, max_rows=1 << 20, max_tokens=max(1, _MAX_SCORES // labels)):
            step = np.arange(counts[index].max())[:, None]
            words = starts[index] + np.minimum(step, counts[index] - 1)
            valid = torch.from_numpy(step < counts[index])
            batch = _Batch(torch.from_numpy(words), torch.from_numpy(counts[index]), valid)
            self._batches.append(batch)
        self._counts = self._gold_counts(starts, starts + counts - 1)

    def _gold_counts(self, first: Array, last: Array) -> PathScores:
        """Return how often each tag is the first, follows another, and is the last."""
        tags, labels = self._tags, self.labels
        inside = np.ones(len(tags), np.bool_)
        inside[first] = False
        to = torch.from_numpy(np.flatnonzero(inside))
        pairs = torch.bincount(tags[to - 1] * labels + tags[to], minlength=labels**2)
        start, end = (
            torch.bincount(tags[torch.from_numpy(place)], minlength=labels)
            for place in (first, last)
        )
        return PathScores(start, pairs.view(labels, labels), end)

    def loss(self, emissions: Tensor, scores: PathScores) -> Tensor:
        """Return the summed negative log-likelihood of the tags, in nats, differentiable.
        `emissions`: (words, labels)."""
        total: Tensor = _NegativeLogLikelihood.apply(emissions, *scores, self)  # type: ignore[no-untyped-call]
        return total

    def _gold_score(self, emissions: Tensor, scores: PathScores) -> Tensor:
        emitted = emissions.gather(1, self._tags[:, None]).sum(dtype=torch.float64)
        paths = [
            (count * score).sum(dtype=torch.float64)
            for count, score in zip(self._counts, scores, strict=True)
        ]
        return emitted + sum(paths)

    def expectations(
        self, emissions: Tensor, scores: PathScores
    ) -> tuple[Tensor, Tensor, PathScores]:
        """Return the log-partition summed over sentences, the probability of each tag at each word
        (words, labels), and how often each tag is expected to be the first, to follow another, and
        to be the last."""
        largest = emissions.max(1, keepdim=True).values
        # Of each path score the largest is taken out, so that exponentials do not overflow.
        peaks = [score.max() for score in scores]
        factors = PathScores(
            *((score - peak).double().exp() for score, peak in zip(scores, peaks, strict=True))
        )
        likelihoods = (emissions - largest).double().exp()
        log_partition = largest.sum(dtype=torch.float64)
        counts = PathScores(*(torch.zeros_like(factor) for factor in factors))
        marginals = torch.zeros_like(emissions)
        for batch in self._batches:
            logs, found = _forward_backward(likelihoods[batch.words], batch, factors, counts)
            log_partition = log_partition + logs
            marginals[batch.words[batch.valid]] = found[batch.valid].to(emissions.dtype)
        sentences = sum(len(batch.lengths) for batch in self._batches)
        log_partition = log_partition + sentences * (peaks[0] + peaks[2])
        log_partition = log_partition + (self.words - sentences) * peaks[1]
        return log_partition, marginals, counts


def _forward_backward(
    likelihoods: Tensor, batch: _Batch, factors: PathScores, counts: PathScores
) -> tuple[Tensor, Tensor]:
    """likelihoods (T, B, L) -> the log-partition summed over sentences, and the marginal
    probabilities (T, B, L), 0 at padding. Expected counts are added to `counts`, in place."""
    steps = len(likelihoods)
    valid = batch.valid[..., None]  # (T, B, 1)
    forward, scales = torch.empty_like(likelihoods), torch.ones_like(likelihoods[..., :1])
    current = factors.start * likelihoods[0]
    for step in range(steps):
        if step:
            current = torch.where(
                valid[step], (forward[step - 1] @ factors.transitions) * likelihoods[step], current
            )
        scale = current.sum(1, keepdim=True)
        scales[step] = torch.where(valid[step], scale, 1.0)
        current = torch.where(valid[step], current / scale, current)
        forward[step] = current
    finals = (current * factors.end).sum(1, keepdim=True)  # (B, 1)
    backward = factors.end / finals  # (B, L): forward * backward is the marginal probability
    pairs = torch.zeros_like(factors.transitions)
    marginals = torch.empty_like(likelihoods)
    for step in range(steps - 1, -1, -1):
        marginals[step] = torch.where(valid[step], forward[step] * backward, 0.0)
        if step:
            ahead = likelihoods[step] * backward / scales[step]
            ahead = torch.where(valid[step], ahead, 0.0)
            pairs += forward[step - 1].t() @ ahead
            backward = torch.where(valid[step], ahead @ factors.transitions.t(), backward)
    counts.start.add_(marginals[0].sum(0))
    counts.transitions.add_(pairs * factors.transitions)
    last = marginals[batch.lengths - 1, torch.arange(len(batch.lengths))]
    counts.end.add_(last.sum(0))
    return scales.log().sum() + finals.log().sum(), marginals


class _NegativeLogLikelihood(torch.autograd.Function):
    """The derivative by a score is its expected count less its count in the data."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, chains: Chains
    ) -> Tensor:
        scores = PathScores(start, transitions, end)
        log_partition, marginals, expected = chains.expectations(emissions, scores)
        gradients = [
            (found - count).to(score.dtype)
            for found, count, score in zip(expected, chains._counts, scores, strict=True)
        ]
        marginals.scatter_add_(1, chains._tags[:, None], -torch.ones_like(marginals[:, :1]))
        ctx.save_for_backward(marginals, *gradients)
        loss = log_partition - chains._gold_score(emissions, scores)
        return loss.to(emissions.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (*(outer[0] * gradient for gradient in ctx.saved_tensors), None)
