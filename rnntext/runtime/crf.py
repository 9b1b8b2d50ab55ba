"""Decoding of a linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

Knows: how to find the likeliest path through a sentence's labels, and how likely each label is
at each word. Does not know: what the labels mean, where the emissions come from, or how
transitions are learned.

The score of a path y of N words is start[y_1] + sum_i emissions[i, y_i]
+ sum_i transitions[y_i, y_(i+1)] + end[y_N], and its probability is proportional to exp(score).
Scores are finite; a transition is forbidden with -1e4. Both functions loop over words and treat
all sentences at once; each sentence's arithmetic stays its own, so that an answer does not depend
on what else is in the batch or on how far it is padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Lengths = NDArray[np.integer[Any]]

# Float64 ends at 1e-308: a sum above this has lost none of its digits.
_TINY = 1e-200


def viterbi(
    emissions: Scores, lengths: Lengths, start: Scores, transitions: Scores, end: Scores
) -> list[NDArray[np.int64]]:
    """The likeliest label ids of each sentence (Viterbi 1967); equal scores: the lowest id.

    emissions: [B, W, L], of which row b counts up to lengths[b] <= W; lengths: [B];
    start: [L]; transitions: [L, L], from row to column; end: [L].
    Returns B arrays, the b-th of length lengths[b].
    """
    by_word, counts = _batch_last(emissions, lengths)  # [W, L, B], [B]
    width, _, batch = by_word.shape
    if width == 0:
        return [np.zeros(0, np.int64) for _ in range(batch)]
    from_to = transitions.astype(np.float64)[:, :, None]  # [L, L, 1]
    best = np.empty_like(by_word)  # [W, L, B]: of the paths up to a word that end in a label
    best[0] = start.astype(np.float64)[:, None] + by_word[0]
    for word in range(1, width):
        best[word] = (best[word - 1][:, None, :] + from_to).max(axis=0) + by_word[word]
    columns = np.arange(batch)
    label = (best[counts - 1, :, columns].T + end.astype(np.float64)[:, None]).argmax(axis=0)  # [B]
    path = np.empty((batch, width), np.int64)
    for word in range(width - 1, -1, -1):
        path[:, word] = label
        if word:
            # Where the best path to this label came from is asked for one label alone.
            origin = (best[word - 1] + from_to[:, label, 0]).argmax(axis=0)
            label = np.where(word < counts, origin, label)
    return [row[:count] for row, count in zip(path, counts, strict=True)]


def marginals(
    emissions: Scores, lengths: Lengths, start: Scores, transitions: Scores, end: Scores
) -> NDArray[np.float32]:
    """The probability of each label at each word, summed over all paths (forward-backward).

    Takes what `viterbi` takes. Returns [B, W, L]: rows sum to 1, and are 0 past a sentence's end.
    Computed in log space, so that a path with a forbidden transition keeps its finite score and
    still counts where every path has one.
    """
    by_word, counts = _batch_last(emissions, lengths)  # [W, L, B], [B]
    scores = np.ascontiguousarray(by_word.transpose(0, 2, 1))  # [W, B, L]
    width, batch, labels = scores.shape
    result = np.zeros((batch, width, labels), np.float32)
    if width == 0:
        return result
    on, back = _Step(transitions), _Step(transitions.T)
    forward = np.empty_like(scores)  # [W, B, L]: log of the sum over paths up to a word
    forward[0] = start + scores[0]
    for word in range(1, width):
        forward[word] = on(forward[word - 1]) + scores[word]
    last = np.broadcast_to(end.astype(np.float64), (batch, labels))
    backward = last  # [B, L]: log of the sum over paths from a word on
    for word in range(width - 1, -1, -1):
        if word + 1 < width:
            after = back(scores[word + 1] + backward)
            backward = np.where((word + 1 < counts)[:, None], after, last)
        both = forward[word] + backward
        both = np.exp(both - both.max(axis=1, keepdims=True))
        both /= both.sum(axis=1, keepdims=True)
        result[:, word] = np.where((word < counts)[:, None], both, 0)
    return result


class _Step:
    """log(sum_i exp(scores[b, i] + transitions[i, j])) for each b and j."""

    def __init__(self, transitions: Scores) -> None:
        self._transitions = transitions.astype(np.float64)
        self._largest = self._transitions.max()
        self._factors = np.exp(self._transitions - self._largest)

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """[B, L] -> [B, L], by a matrix product but where that would lose what is tiny."""
        largest = scores.max(axis=1, keepdims=True)
        total = np.exp(scores - largest) @ self._factors
        tiny = total < _TINY
        sums: NDArray[np.float64] = np.log(np.where(tiny, 1, total)) + (largest + self._largest)
        if tiny.any():
            row, label = np.nonzero(tiny)
            terms = scores[row] + self._transitions[:, label].T  # [N, L]
            highest = terms.max(axis=1, keepdims=True)
            found = np.log(np.exp(terms - highest).sum(axis=1)) + highest[:, 0]
            sums[row, label] = found
        return sums


def _batch_last(
    emissions: Scores, lengths: Lengths
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[B, W, L] -> [W, L, B] in float64, padding set to 0 since anything may lie there."""
    counts = np.asarray(lengths, np.int64)
    inside = np.arange(emissions.shape[1])[:, None] < counts  # [W, B]
    by_word = np.where(inside[:, None, :], emissions.transpose(1, 2, 0), 0.0)
    return np.ascontiguousarray(by_word, np.float64), counts
