"""Probabilities that can be trusted: the temperature of a model, the weights of a sum of two.

Knows: the factors of logits that give the least negative log-likelihood on labelled examples. Does
not know: what the models are.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnntext.probabilities import label_probabilities

Array = NDArray[Any]

# `fit_temperature` is given at most so many logits: 134 MB in float64, of which it takes a copy.
MAX_TEMPERATURE_LOGITS = 1 << 24
# Each weight of a calibrated model is taken to be normal around a half, with this precision, so
# that a few examples do not make one model silent or the sum too certain.
_PRIOR_MEAN, _PRIOR_PRECISION = 0.5, 8.0
_SMALLEST = 1e-3  # a weight is positive: a model is at worst ignored
_STEPS = 30
# How many temperatures are kept. N-grams stay the same from one evaluation to the next, of which
# some read all validation data and some a part of them, and a network is asked about twice in each.
_KEPT = 8
_kept: dict[bytes, float] = {}


def temperature_sample(rows: int, width: int) -> NDArray[np.int64]:
    """Which of `rows` documents `fit_temperature` needs to be given, for `width` labels: all of
    them, or a random part, always the same, where the logits of all would fill memory."""
    most = max(1, MAX_TEMPERATURE_LOGITS // width)
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def fit_temperature(
    logits: NDArray[np.floating[Any]],
    truth: NDArray[Any],
    multi_label: bool,
    added: NDArray[np.floating[Any]] | float = 0.0,
) -> float:
    """The temperature to divide logits by, so that probabilities are calibrated (temperature
    scaling, Guo et al. 2017, section 4.2): the temperature of the least negative log-likelihood.

    logits: [N, L]; truth: [N, L] of 0 and 1; `added`: logits that are added to those divided,
    [N, L]. A prior holds it near 1 where there is little to learn it from: the logarithm of a
    temperature is taken to be normal with a deviation of 1/2, so that a few texts which are all
    right do not make a model certain. Between 1/8 and 8.

    The last temperatures are kept: to be asked again about the same numbers costs their digest,
    a tenth of the search or less.
    """
    scores = np.asarray(logits, np.float64)
    gold = np.asarray(truth, np.bool_)
    offset = np.asarray(added, np.float64)
    digest = hashlib.blake2b(repr((scores.shape, offset.shape, multi_label)).encode())
    for part in (scores, gold, offset):
        digest.update(np.ascontiguousarray(part).data)
    key = digest.digest()
    found = _kept.pop(key, None)
    if found is None:
        found = _search_temperature(scores, gold, multi_label, offset)
    _kept[key] = found  # the last one asked for is the last to go
    for oldest in list(_kept)[:-_KEPT]:
        _kept.pop(oldest, None)
    return found


def _search_temperature(
    scores: NDArray[np.float64],
    gold: NDArray[np.bool_],
    multi_label: bool,
    added: NDArray[np.float64],
) -> float:
    """The temperature that `fit_temperature` returns, searched anew."""

    def loss(log_temperature: float) -> float:
        scaled = scores * math.exp(-log_temperature) + added
        if multi_label:
            softplus = np.logaddexp(0, scaled)
            scaled *= gold
            softplus -= scaled
            nats = softplus.sum()
        else:
            # Of each row one logit is right.
            right = scaled[gold]  # [N]
            largest = scaled.max(axis=1, initial=-math.inf)
            scaled -= largest[:, None]
            np.exp(scaled, out=scaled)
            nats = (np.log(scaled.sum(axis=1)) + largest - right).sum()
        return float(nats) + 2 * log_temperature**2

    # The likelihood has one valley (it is convex in 1 / temperature): golden sections close in on
    # it. The prior could only add another far from 1, where it hardly counts.
    low, high = -math.log(8), math.log(8)
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-5:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


class Weights(NamedTuple):
    """What the logits of either model are multiplied by."""

    first: float
    second: float


def fit_mixture(first: Array, second: Array, truth: Array, multi_label: bool) -> Weights:
    """The weights of two models whose logits are added, fitted on examples that neither of them
    was trained on (a product of experts, Hinton 2002; each weight is one over a temperature).

    first, second: logits [N, L]; truth: [N, L] of 0 and 1. Each model is calibrated by itself
    first, so that the prior is about comparable models: a network may be far too certain. The
    likelihood and the prior are concave, so Newton's method finds the only optimum.
    """
    temperatures = [fit_temperature(logits, truth, multi_label) for logits in (first, second)]
    scores = np.stack([first, second]) / np.array(temperatures)[:, None, None]  # [2, N, L]
    gold = np.asarray(truth, np.float64)

    def loss(weights: Array) -> float:
        logits = np.tensordot(weights, scores, 1)
        if multi_label:
            nats = (np.logaddexp(0, logits) - gold * logits).sum()
        else:
            nats = (np.logaddexp.reduce(logits, axis=1) - (gold * logits).sum(1)).sum()
        prior: float = ((weights - _PRIOR_MEAN) ** 2).sum() * _PRIOR_PRECISION / 2
        return float(nats) + prior

    weights = np.full(2, _PRIOR_MEAN)
    current = loss(weights)
    for _ in range(_STEPS):
        probabilities = label_probabilities(np.tensordot(weights, scores, 1), multi_label)
        gradient = ((probabilities - gold) * scores).sum((1, 2))
        gradient += _PRIOR_PRECISION * (weights - _PRIOR_MEAN)
        curvature = _curvature(scores, probabilities, multi_label)
        curvature += _PRIOR_PRECISION * np.eye(2)
        free = (weights > _SMALLEST) | (gradient < 0)  # a weight at its bound may stay there
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        moved = np.maximum(weights - step, _SMALLEST)
        while (found := loss(moved)) > current and np.abs(moved - weights).max() > 1e-9:
            moved = (moved + weights) / 2
        if found >= current:
            break
        converged = current - found < 1e-9 * max(1.0, current)
        weights, current = moved, found
        if converged:
            break
    return Weights(*(weights / temperatures).tolist())


def _curvature(scores: Array, probabilities: Array, multi_label: bool) -> Array:
    """Second derivatives of the negative log-likelihood by the two weights, [2, 2]."""
    if multi_label:
        spread = probabilities * (1 - probabilities)
        return np.asarray(np.einsum("anl,bnl,nl->ab", scores, scores, spread))
    means = (scores * probabilities).sum(2)  # [2, N]
    second_moment = np.einsum("anl,bnl,nl->ab", scores, scores, probabilities)
    return np.asarray(second_moment - means @ means.T)
