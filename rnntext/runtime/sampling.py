"""Choosing the next token from a language model's logits.

Knows: the filters between logits and a choice, and how a uniform number picks a token. Does not
know: models, text, or where the uniform numbers come from; a caller draws each row's number from
that row's own random stream.

Every function is pure: it leaves its arguments alone and treats each row by itself, so a row's
choice is the same alone and in a batch. Logits are [B, V]; a token that is ruled out has the
logit -inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.errors import UsageError

Logits = NDArray[np.float32]
Ids = Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to choose. Raises UsageError, naming the flag, for a value out of range."""

    temperature: float = 1.0  # 0 is greedy: always the likeliest token
    top_k: int = 0  # 0 is off
    top_p: float = 1.0  # 1 is off
    min_p: float = 0.0  # 0 is off
    repetition_penalty: float = 1.0  # 1 is off, below 1 invites repetition

    def __post_init__(self) -> None:
        # Written as what must hold, so that nan, which is neither above nor below, is refused.
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature must be 0 or above, not {self.temperature}")
        if not self.top_k >= 0:
            raise UsageError(f"--top-k must be 0 (off) or above, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p must be above 0 and at most 1 (off), not {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"--min-p must be from 0 (off) to 1, not {self.min_p}")
        if not 0 < self.repetition_penalty <= 1e6:
            raise UsageError(
                f"--repetition-penalty must be above 0 (1 is off) and at most 1e6, "
                f"not {self.repetition_penalty}"
            )


def choose(
    logits: Logits,
    options: SamplingOptions,
    histories: Sequence[Ids],
    uniforms: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The next token id of each row: [B].

    logits: [B, V], at least one of a row finite; histories: the ids that each of the B rows has
    had so far, for the repetition penalty; uniforms: [B], from 0 up to but not including 1,
    ignored at temperature 0. The penalty comes first, then temperature, top k, top p, min p;
    the choice is the inverse of the cumulative distribution, in the order of the ids, in float64.
    """
    logits = repetition_penalty(logits, histories, options.repetition_penalty)
    if options.temperature == 0:
        return _first_largest(logits)
    logits = temperature(logits, options.temperature)
    logits = top_k(logits, options.top_k)
    logits = top_p(logits, options.top_p)
    logits = min_p(logits, options.min_p)
    cumulative = _masses(logits).cumsum(axis=-1)  # [B, V]
    # Below the total, however it is rounded, since a float64 below 1 is at most 1 - 2^-53.
    target = uniforms * cumulative[:, -1]
    return _first_largest(cumulative > target[:, None])


def ban(logits: Logits, ids: Ids) -> Logits:
    """Rule out `ids` in every row."""
    result = logits.copy()
    result[:, np.asarray(ids, np.int64)] = -np.inf
    return result


def repetition_penalty(logits: Logits, histories: Sequence[Ids], penalty: float) -> Logits:
    """Divide the positive logits of a row's past ids by `penalty`, multiply the negative ones.

    Keskar et al. 2019, CTRL, section 4.1, with the sign taken into account so that a penalty
    above 1 always makes a token less likely. An id counts once, however often it occurred.
    """
    if penalty == 1:
        return logits
    result = logits.copy()
    for row, history in zip(result, histories, strict=True):
        ids = np.asarray(history, np.int64)
        seen = row[ids]
        row[ids] = np.where(seen > 0, seen / penalty, seen * penalty)
    return result


def temperature(logits: Logits, value: float) -> Logits:
    """Divide by `value` > 0; each row is first shifted so that its largest logit is 0.

    The shift changes no probability, and lets any temperature, however low, stay finite.
    """
    if value == 1:
        return logits
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore"):  # to -inf: as unlikely as float32 can say
        result: Logits = (shifted / value).astype(np.float32)
    return result


def top_k(logits: Logits, k: int) -> Logits:
    """Keep the `k` likeliest tokens of a row, of equal ones those with the lower ids; 0 is off."""
    if not 0 < k < logits.shape[-1]:
        return logits
    place = logits.shape[-1] - k
    kth = np.partition(logits, place, axis=-1)[:, place]
    return _keep_largest(logits, kth, np.full(len(logits), k))


def top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of likeliest tokens whose probabilities reach `p`, at least one.

    Holtzman et al. 2020, equation 2 (nucleus sampling); of equal tokens the lower ids; 1 is off.
    """
    if p >= 1:
        return logits
    ordered = np.sort(logits, axis=-1)[:, ::-1]  # [B, V], likeliest first
    masses = _masses(ordered).cumsum(axis=-1)
    before = masses[:, :-1] < p * masses[:, -1:]  # the sets that do not reach p
    counts = 1 + before.sum(axis=-1)  # [B]
    return _keep_largest(logits, ordered[np.arange(len(ordered)), counts - 1], counts)


def min_p(logits: Logits, p: float) -> Logits:
    """Keep the tokens at least `p` times as likely as the likeliest one (Nguyen et al. 2024)."""
    if p == 0:
        return logits
    threshold = logits.max(axis=-1, keepdims=True) + np.float32(math.log(p))
    return np.where(logits >= threshold, logits, np.float32(-np.inf))


def _first_largest(rows: NDArray[Any]) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = rows.argmax(axis=-1).astype(np.int64)
    return ids


def _masses(logits: Logits) -> NDArray[np.float64]:
    """Probabilities up to a factor of each row's own, the largest 1: [B, V]."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    masses: NDArray[np.float64] = np.exp(shifted)
    return masses


def _keep_largest(logits: Logits, least: Logits, counts: NDArray[np.int64]) -> Logits:
    """Keep `counts` [B] tokens a row, `least` [B] being the smallest logit among them."""
    above = logits > least[:, None]
    equal = logits == least[:, None]
    spare = counts - above.sum(axis=-1)  # [B]: how many of the equal ones there is room for
    keep = above | (equal & (equal.cumsum(axis=-1) <= spare[:, None]))
    return np.where(keep, logits, np.float32(-np.inf))
