"""Sums over answers from which metrics of probabilities follow.

Knows: how answers are added in any number of parts, so that memory does not grow with them. Does
not know: labels, or which metrics are reported under which name (`metrics.py`).

Where there is nothing to count, a rate is 0.0, as in `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15
# Of the confidence of an answer, for the table `thresholds`.
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_LEAST_PROBABILITY = 1e-15  # so that one error does not make a loss infinite
# Thresholds of a curve: so many at most and at least, and of many labels so many together that the
# counts of `LabelScores` take 34 MB.
_STEPS, _FEWEST_STEPS, _STEPS_OF_ALL = 1000, 20, 1 << 21
_LARGEST_LOG_ODDS = 14.0  # of a threshold: 1 - 8e-7

Counts = NDArray[np.int64]


def rate(part: float, whole: int) -> float:
    """Return `part` of `whole`; 0.0 of nothing."""
    return part / whole if whole else 0.0


def curve_limits(labels: int) -> NDArray[np.float64]:
    """The thresholds of a curve, rising: 0, those of THRESHOLDS, and others at equal distances in
    log odds, which lie close where the probabilities of a certain model do. Of many labels, each
    of which has a curve, they are fewer."""
    steps = min(_STEPS, max(_FEWEST_STEPS, _STEPS_OF_ALL // max(1, labels)))
    odds = np.exp(np.linspace(-_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS, steps))
    return np.unique(np.concatenate(([0.0], THRESHOLDS, odds / (1 + odds))))


class CalibrationBin(NamedTuple):
    """Statements whose confidence is above `low` and up to `high`; 0 is in the first bin."""

    low: float
    high: float
    statements: int
    confidence: float  # the mean
    accuracy: float  # the share that is true


class Calibration:
    """The sums of each bin of `ece`, to which statements are added in any number of parts: the
    error is the same to the bit."""

    def __init__(self, bins: int = CALIBRATION_BINS) -> None:
        self._confident, self._true = np.zeros(bins), np.zeros(bins)  # [M], sums
        self._counts = np.zeros(bins, np.int64)

    def add(self, confidences: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> None:
        bins = len(self._true)
        scores = np.asarray(confidences, np.float64)
        which = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)  # [N]
        np.add.at(self._confident, which, scores)  # one after the other
        self._true += np.bincount(which[correct], minlength=bins)
        self._counts += np.bincount(which, minlength=bins)

    def error(self) -> float:
        # |B_m| / N * |accuracy - confidence| is the gap between the bin's sums, over N.
        gaps = np.abs(self._true - self._confident)
        return rate(float(gaps.sum()), int(self._counts.sum()))

    def table(self) -> list[CalibrationBin]:
        """Return the bins in which there are statements, the least confident first."""
        bins = len(self._true)
        columns = zip(
            self._counts.tolist(), self._confident.tolist(), self._true.tolist(), strict=True
        )
        return [
            CalibrationBin(n / bins, (n + 1) / bins, count, confident / count, true / count)
            for n, (count, confident, true) in enumerate(columns)
            if count
        ]


class Thresholds:
    """How many answers have at least the confidence of each of `limits`, which rise, and how many
    of them are right. Answers are added in any number of parts."""

    def __init__(self, limits: Sequence[float] | NDArray[np.float64] = THRESHOLDS) -> None:
        self._limits = np.array(limits)  # [K]
        # [K + 1]: answers whose confidence reaches exactly so many thresholds.
        self._answers, self._right = (np.zeros(len(limits) + 1, np.int64) for _ in range(2))

    def add(self, confidences: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> None:
        bins = len(self._answers)
        reached = _reached(self._limits, confidences)  # [N]
        self._answers += np.bincount(reached, minlength=bins)
        self._right += np.bincount(reached[correct], minlength=bins)

    def counts(self) -> tuple[Counts, Counts]:
        """Return how many answers there are from each of `limits` on, and how many of them are
        right: [K] each."""
        return _from_each_limit(self._answers), _from_each_limit(self._right)

    def table(self) -> list[dict[str, float]]:
        """`threshold`, `precision`, `recall` and `coverage` for each of `limits`."""
        total = int(self._answers.sum())
        columns = zip(self._limits.tolist(), *(n.tolist() for n in self.counts()), strict=True)
        return [
            {
                "threshold": threshold,
                "precision": rate(right, answers),
                "recall": rate(right, total),
                "coverage": rate(answers, total),
            }
            for threshold, answers, right in columns
        ]


class LabelScores:
    """How often each label has at least the probability of each of `limits`, which rise, and how
    often it is right there. Scores are added in any number of parts; what the counts take grows
    with the labels alone."""

    def __init__(self, labels: int, limits: NDArray[np.float64]) -> None:
        self._limits = limits  # [K]
        # [L, K + 1]: scores that reach exactly so many thresholds.
        self._scores, self._right = (
            np.zeros((labels, len(limits) + 1), np.int64) for _ in range(2)
        )
        self.support = np.zeros(labels, np.int64)  # [L]: how often each is the gold label

    def add_gold(self, columns: NDArray[np.integer[Any]]) -> None:
        """Add gold labels, [N], by their columns."""
        np.add.at(self.support, columns, 1)

    def add(
        self,
        columns: NDArray[np.integer[Any]],
        scores: NDArray[np.floating[Any]],
        correct: NDArray[np.bool_],
    ) -> None:
        """Add scores of labels, [N], given by their columns, and whether each label is right."""
        reached = _reached(self._limits, scores)  # [N]
        np.add.at(self._scores, (columns, reached), 1)
        np.add.at(self._right, (columns[correct], reached[correct]), 1)

    def counts(self, column: int) -> tuple[Counts, Counts]:
        """Return how many scores of a label there are from each of `limits` on, and how many of
        them are right: [K] each."""
        return _from_each_limit(self._scores[column]), _from_each_limit(self._right[column])


def _reached(limits: NDArray[np.float64], scores: NDArray[np.floating[Any]]) -> Counts:
    """How many of the limits, which rise, each score reaches."""
    # A score of 0.9 in float32 reaches 0.9.
    return np.searchsorted(limits.astype(scores.dtype), scores, side="right")


def _from_each_limit(counts: Counts) -> Counts:
    """Counts of what reaches exactly 0 ... K limits, [K + 1] -> of what reaches each, [K]."""
    return counts[:0:-1].cumsum()[::-1]


class LogLoss:
    """The sum of `log_loss`, to which probabilities are added in any number of parts: the mean is
    the same to the bit."""

    def __init__(self) -> None:
        self._nats, self._count = 0.0, 0

    def add(self, probabilities: NDArray[np.floating[Any]]) -> None:
        """Add the probabilities of what is true, [N]."""
        nats = -np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST_PROBABILITY))
        self._nats = float(np.cumsum(np.append(self._nats, nats))[-1])  # one after the other
        self._count += len(nats)

    def mean(self) -> float:
        return rate(self._nats, self._count)
