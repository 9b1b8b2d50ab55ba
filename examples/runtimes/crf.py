"""Sums of scores: probabilities of labels, and paths through a sentence's labels.

Knows: softmax, Viterbi's algorithm and forward-backward of a linear-chain conditional random field.
Does not know: where the scores come from, or what the labels mean.
"""

from __future__ import annotations

import numpy as np


def softmax(logits):
    """Logits (..., L) -> probabilities (..., L)."""
    odds = np.exp(np.asarray(logits, float) - np.max(logits, axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def log_sum_exp(scores, axis):
    largest = scores.max(axis=axis, keepdims=True)
    return np.log(np.exp(scores - largest).sum(axis=axis)) + largest.squeeze(axis)


def viterbi(emissions, start, transitions, end):
    """The path with the largest sum of scores: (words). The lowest label among equals."""
    best = [start + emissions[0]]
    for scores in emissions[1:]:
        best.append((best[-1][:, None] + transitions).max(axis=0) + scores)
    path = [int((best[-1] + end).argmax())]
    for scores in best[-2::-1]:
        path.append(int((scores + transitions[:, path[-1]]).argmax()))
    return path[::-1]


def marginals(emissions, start, transitions, end):
    """The probability of each label at each word, over all paths: (words, labels)."""
    forward, backward = [start + emissions[0]], [end]
    for scores in emissions[1:]:
        forward.append(log_sum_exp(forward[-1][:, None] + transitions, 0) + scores)
    for scores in emissions[:0:-1]:
        backward.append(log_sum_exp(transitions + (scores + backward[-1]), 1))
    return softmax(np.array(forward) + np.array(backward[::-1]))
