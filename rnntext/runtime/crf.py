"""Decoding of a linear-chain conditional random field (Lafferty, McCallum and Pereira 2001).

Knows: how to find the likeliest path through a sentence's labels, and how likely each label is
at each word. Does not know: what the labels mean, where the emissions come from, or how
transitions are learned.

The score of a path y of N words is start[y_1] + sum_i emissions[i, y_i]
+ sum_i transitions[y_i, y_(i+1)] + end[y_N], and its probability is proportional to exp(score).
Scores are finite; a transition is forbidden with -1e4. Both functions loop over words and treat
all sentences at once, with the batch as the last axis: long rows of adjacent numbers are what
NumPy adds and compares fastest, and each sentence's arithmetic stays its own, so that an answer
does not depend on what else is in the batch or on how far it is padded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Lengths = NDArray[np.integer[Any]]


def viterbi(
    emissions: Scores, lengths: Lengths, start: Scores, transitions: Scores, end: Scores
) -> list[NDArray[np.int64]]:
    """The likeliest label ids of each sentence (Viterbi 1967); equal scores: the lowest id.

    emissions: [B, W, L], of which row b counts up to lengths[b] <= W; lengths: [B];
    start: [L]; transitions: [L, L], from row to column; end: [L].
    Returns B arrays, the b-th of length lengths[b].
    """
    by_word, counts = _batch_last(emissions, lengths)  # [W, L, B], [B]
    width, labels, batch = by_word.shape
    if width == 0:
        return [np.zeros(0, np.int64) for _ in range(batch)]
    from_to = transitions.astype(np.float64)[:, :, None]  # [L, L, 1]
    best = start.astype(np.float64)[:, None] + by_word[0]  # [L, B]
    # Past its end a sentence points back at the label it ended with.
    origins = np.empty((width, labels, batch), np.intp)
    origins[:] = np.arange(labels)[:, None]
    for word in range(1, width):
        inside = word < counts  # [B]
        candidates = best[:, None, :] + from_to  # [L from, L to, B]
        np.copyto(origins[word], candidates.argmax(axis=0), where=inside)
        np.copyto(best, candidates.max(axis=0) + by_word[word], where=inside)
    label = (best + end.astype(np.float64)[:, None]).argmax(axis=0)  # [B]
    path = np.empty((batch, width), np.int64)
    columns = np.arange(batch)
    for word in range(width - 1, -1, -1):
        path[:, word] = label
        label = origins[word, label, columns]
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
    width, labels, batch = by_word.shape
    result = np.zeros((batch, width, labels), np.float32)
    if width == 0:
        return result
    from_to = transitions.astype(np.float64)[:, :, None]  # [L, L, 1]
    to_from = from_to.transpose(1, 0, 2)
    forward = np.empty_like(by_word)  # [W, L, B]: log of the sum over paths up to a word
    forward[0] = start.astype(np.float64)[:, None] + by_word[0]
    for word in range(1, width):
        forward[word] = by_word[word] + _log_sum_exp(forward[word - 1][:, None, :] + from_to)
    last = np.broadcast_to(end.astype(np.float64)[:, None], (labels, batch))
    backward = last  # [L, B]: log of the sum over paths from a word on
    for word in range(width - 1, -1, -1):
        if word + 1 < width:
            after = _log_sum_exp((by_word[word + 1] + backward)[:, None, :] + to_from)
            backward = np.where(word + 1 < counts, after, last)
        score = forward[word] + backward  # [L, B]
        score = np.exp(score - _log_sum_exp(score))
        result[:, word, :] = np.where(word < counts, score, 0.0).T  # [L, B] -> [B, L]
    return result


def _batch_last(
    emissions: Scores, lengths: Lengths
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """[B, W, L] -> [W, L, B] in float64, padding set to 0 since anything may lie there."""
    counts = np.asarray(lengths, np.int64)
    inside = np.arange(emissions.shape[1])[:, None] < counts  # [W, B]
    by_word = np.where(inside[:, None, :], emissions.transpose(1, 2, 0), 0.0)
    return np.ascontiguousarray(by_word, np.float64), counts


def _log_sum_exp(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(sum(exp(scores))) over the first axis; `scores` must be finite."""
    largest = scores.max(axis=0)
    total = np.exp(scores - largest).sum(axis=0)
    result: NDArray[np.float64] = np.log(total) + largest
    return result
