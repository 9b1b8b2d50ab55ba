"""Decoding of a linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

Knows: how to find the most probable path through a sentence's labels, and the probability of each
label at each word. Does not know: what the labels mean, where the emissions come from, or how
transitions are learned.

The score of a path y of N words is start[y_1] + sum_i emissions[i, y_i]
+ sum_i transitions[y_i, y_(i+1)] + end[y_N], and its probability is proportional to exp(score).
Scores are finite; a forbidden transition has the FORBIDDEN_SCORE of `config.py`. Both functions
loop over words and compute all sentences of the batch together. No operation mixes sentences, so
that a result does not depend on the rest of the batch or on the padding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.probabilities import softmax

Scores = NDArray[np.floating[Any]]
Lengths = NDArray[np.integer[Any]]

# The smallest normal float64 is 2e-308: a sum of products above this has lost no digits to
# underflow.
_TINY = 1e-200


def viterbi(
    emissions: Scores, lengths: Lengths, start: Scores, transitions: Scores, end: Scores
) -> list[NDArray[np.int64]]:
    """The most probable label ids of each sentence (Viterbi 1967); the lowest id among equals.

    emissions: [B, W, L], row b is padding from lengths[b] <= W on; lengths: [B]; start: [L];
    transitions: [L, L], from row to column; end: [L].
    Returns B arrays, the b-th of length lengths[b].
    """
    by_word, counts = _batch_last(emissions, lengths)  # [W, L, B], [B]
    width, _, batch = by_word.shape
    if width == 0:
        return [np.zeros(0, np.int64) for _ in range(batch)]
    from_to = transitions.astype(np.float64)[:, :, None]  # [L, L, 1]
    best = np.empty_like(by_word)  # [W, L, B]: the best score of a path that ends in this label
    best[0] = start.astype(np.float64)[:, None] + by_word[0]
    for word in range(1, width):
        best[word] = (best[word - 1][:, None, :] + from_to).max(axis=0) + by_word[word]
    columns = np.arange(batch)
    label = (best[counts - 1, :, columns].T + end.astype(np.float64)[:, None]).argmax(axis=0)  # [B]
    path = np.empty((batch, width), np.int64)
    for word in range(width - 1, -1, -1):
        path[:, word] = label
        if word:
            # Backpointers are computed again, for the labels of the best paths only.
            origin = (best[word - 1] + from_to[:, label, 0]).argmax(axis=0)
            label = np.where(word < counts, origin, label)
    return [row[:count] for row, count in zip(path, counts, strict=True)]


def marginals(
    emissions: Scores, lengths: Lengths, start: Scores, transitions: Scores, end: Scores
) -> NDArray[np.float32]:
    """The probability of each label at each word, summed over all paths (forward-backward).

    Takes the arguments of `viterbi`. Returns [B, W, L]: rows sum to 1, and are 0 in the padding.
    Computed in log space, so that a path with a forbidden transition keeps a finite score, which
    matters in a sentence where every path has one.
    """
    by_word, counts = _batch_last(emissions, lengths)  # [W, L, B], [B]
    scores = np.ascontiguousarray(by_word.transpose(0, 2, 1))  # [W, B, L]
    width, batch, labels = scores.shape
    result = np.zeros((batch, width, labels), np.float32)
    if width == 0:
        return result
    forward_step, backward_step = _LogMatrixProduct(transitions), _LogMatrixProduct(transitions.T)
    forward = np.empty_like(scores)  # [W, B, L]: log of the sum over paths up to a word
    forward[0] = start + scores[0]
    for word in range(1, width):
        forward[word] = forward_step(forward[word - 1]) + scores[word]
    last = np.broadcast_to(end.astype(np.float64), (batch, labels))
    backward = last  # [B, L]: log of the sum over paths after a word
    for word in range(width - 1, -1, -1):
        if word + 1 < width:
            after = backward_step(scores[word + 1] + backward)
            backward = np.where((word + 1 < counts)[:, None], after, last)
        probabilities = softmax(forward[word] + backward)
        result[:, word] = np.where((word < counts)[:, None], probabilities, 0)
    return result


class _LogMatrixProduct:
    """Matrix product in log space: log(sum_i exp(scores[b, i] + transitions[i, j]))."""

    def __init__(self, transitions: Scores) -> None:
        self._transitions = transitions.astype(np.float64)
        self._largest = self._transitions.max()
        self._factors = np.exp(self._transitions - self._largest)

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B, L] -> [B, L]: a matrix product of exponentials, and log-sum-exp where that product
        underflows."""
        largest = scores.max(axis=1, keepdims=True)
        total = np.exp(scores - largest) @ self._factors
        tiny = total < _TINY
        sums: NDArray[np.float64] = np.log(np.where(tiny, 1, total)) + (largest + self._largest)
        if tiny.any():
            row, label = np.nonzero(tiny)
            terms = scores[row] + self._transitions[:, label].T  # [N, L]
            highest = terms.max(axis=1, keepdims=True)
            sums[row, label] = np.log(np.exp(terms - highest).sum(axis=1)) + highest[:, 0]
        return sums


def _batch_last(
    emissions: Scores, lengths: Lengths
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[B, W, L] -> [W, L, B] in float64, with padding, which may hold any value, set to 0."""
    counts = np.asarray(lengths, np.int64)
    inside = np.arange(emissions.shape[1])[:, None] < counts  # [W, B]
    by_word = np.where(inside[:, None, :], emissions.transpose(1, 2, 0), 0.0)
    return np.ascontiguousarray(by_word, np.float64), counts
