"""Choosing the next token from a language model's logits.

Knows: the filters on logits, and how a uniform random number picks a token. Does not know: models,
text, or where the uniform numbers come from; a caller draws each row's number from that row's own
random stream.

Every function is pure: it does not change its arguments, and a row's result does not depend on the
rest of the batch. Logits are [B, V]; a token that is ruled out has the logit -inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext import arguments

Logits = NDArray[np.float32]

Ids = Sequence[int] | NDArray[np.integer[Any]]

_BLOCK = 128  # tokens whose probabilities are summed before the search for one
# The smallest positive float32 that is not denormal.
_LEAST_TEMPERATURE = 1.2e-38
# At or above this no logit times 1 / temperature overflows float32.
_ORDINARY_TEMPERATURE = 1e-6


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How to choose a token. Raises UsageError, naming the flag, for a value out of range."""

    temperature: float = 1.0  # 0 is greedy: always the most probable token
    top_k: int = 0  # 0 is off
    top_p: float = 1.0  # 1 is off
    min_p: float = 0.0  # 0 is off
    repetition_penalty: float = 1.0  # 1 is off, below 1 invites repetition

    def __post_init__(self) -> None:
        arguments.TEMPERATURE.check("--temperature", self.temperature)
        arguments.TOP_K_OR_OFF.check("--top-k", self.top_k)
        arguments.TOP_P.check("--top-p", self.top_p)
        arguments.PROBABILITY.check("--min-p", self.min_p)
        arguments.REPETITION_PENALTY.check("--repetition-penalty", self.repetition_penalty)

    @property
    def is_temperature_only(self) -> bool:
        """True if no filter but an ordinary temperature is on, which the sampling graph can do."""
        return self.temperature >= _ORDINARY_TEMPERATURE and self == SamplingOptions(
            self.temperature
        )


def choose(
    logits: Logits,
    options: SamplingOptions,
    histories: Sequence[Ids],
    uniforms: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Choose the next token id of each row: [B].

    logits: [B, V], in each row at least one finite; histories: the previous ids of each of the B
    rows, for the repetition penalty; uniforms: [B] in [0, 1), ignored at temperature 0. The
    filters are applied in the order penalty, temperature, top k, top p, min p; then a token is
    sampled by the inverse CDF, in the order of the ids.
    """
    logits = repetition_penalty(logits, histories, options.repetition_penalty)
    if options.temperature == 0:
        return _first_largest(logits)
    logits = temperature(logits, options.temperature)
    logits = top_k(logits, options.top_k)
    logits = top_p(logits, options.top_p)
    logits = min_p(logits, options.min_p)
    # The largest logit is 0 after `temperature` and passes every filter, so exp cannot overflow.
    # In place, because `temperature` has already copied: another array of this size would be
    # allocated from the system for every token.
    return _pick(np.exp(logits, out=logits), uniforms)


def repetition_penalty(logits: Logits, histories: Sequence[Ids], penalty: float) -> Logits:
    """Divide the positive logits of a row's past ids by `penalty`, multiply the negative ones.

    Keskar et al. 2019, CTRL, section 4.1, with the sign taken into account so that a penalty
    above 1 always makes a token less probable. An id counts once, however often it occurred.
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

    The shift changes no probability, and keeps the result finite at any temperature.
    """
    shifted: Logits = logits - logits.max(axis=-1, keepdims=True)
    if value != 1:
        with np.errstate(over="ignore"):  # overflows to -inf, probability 0
            shifted /= np.float32(max(value, _LEAST_TEMPERATURE))
    return shifted


def top_k(logits: Logits, k: int) -> Logits:
    """Keep the `k` most probable tokens of a row, the lower ids first among equals; 0 is off."""
    width = logits.shape[-1]
    if not 0 < k < width:
        return logits
    result = np.full_like(logits, -np.inf)
    for kept, row in zip(result, logits, strict=True):
        kth = np.partition(row, width - k)[width - k]
        above = np.flatnonzero(row > kth)
        keep = np.concatenate([above, np.flatnonzero(row == kth)[: k - len(above)]])
        kept[keep] = row[keep]
    return result


def top_p(logits: Logits, p: float) -> Logits:
    """Keep the smallest set of most probable tokens whose probabilities sum to at least `p`.

    Holtzman et al. 2020, equation 2 (nucleus sampling); the lower ids first among equals; at least
    one token; 1 is off.
    """
    if p >= 1:
        return logits
    result = np.full_like(logits, -np.inf)
    for kept, row, masses in zip(result, logits, _masses(logits), strict=True):
        total = masses.sum(dtype=np.float64)
        # Tokens below this threshold together have less than 1 - p, so they need not be sorted.
        likely = np.flatnonzero(masses >= (1 - p) * total / len(row))
        order = likely[np.argsort(-masses[likely], kind="stable")]
        before = masses[order].cumsum(dtype=np.float64)[:-1] < p * total  # set too small
        keep = order[: 1 + int(before.sum())]
        kept[keep] = row[keep]
    return result


def min_p(logits: Logits, p: float) -> Logits:
    """Keep tokens at least `p` times as probable as the most probable one (Nguyen et al. 2024)."""
    if p == 0:
        return logits
    threshold = logits.max(axis=-1, keepdims=True) + np.float32(math.log(p))
    return np.where(logits >= threshold, logits, np.float32(-np.inf))


def _first_largest(rows: NDArray[Any]) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = rows.argmax(axis=-1).astype(np.int64)
    return ids


def _masses(logits: Logits) -> NDArray[np.float32]:
    """Unnormalized probabilities [B, V]; the largest of each row is 1."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    masses: NDArray[np.float32] = np.exp(shifted, out=shifted)
    return masses


@cache
def _block_starts(width: int) -> NDArray[np.int64]:
    return np.arange(0, width, _BLOCK)


def _pick(masses: NDArray[np.float32], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Inverse CDF: the index at which each row's cumulative sum first exceeds uniform * total: [B].

    Blocks are summed first, so that only one block needs the cumulative sum of single tokens.
    """
    rows, width = masses.shape
    ends = np.add.reduceat(masses, _block_starts(width), axis=1).cumsum(
        axis=1, dtype=np.float64
    )  # [B, blocks]
    # Below the total however it is rounded, because a float64 below 1 is at most 1 - 2^-53.
    target = uniforms * ends[:, -1]
    ids = np.empty(rows, np.int64)
    for row in range(rows):
        block = int(ends[row].searchsorted(target[row], "right"))
        first = block * _BLOCK
        inside = masses[row, first : first + _BLOCK].cumsum(dtype=np.float64)
        rest = target[row] - (ends[row, block - 1] if block else 0.0)
        offset = int(inside.searchsorted(rest, "right"))
        if offset == len(inside):
            # This sum, in another order, may be a bit below the block's sum: take the last token
            # that has a probability.
            offset = int(inside.searchsorted(inside[-1]))
        ids[row] = first + offset
    return ids
