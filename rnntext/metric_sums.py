"""Sums over answers from which metrics of probabilities follow.

Knows: how answers are added in any number of parts, so that memory does not grow with them. Does
not know: labels, or which metrics are reported under which name (`metrics.py`).

Where there is nothing to count, a rate is 0.0, as in `metrics.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15
# Of the confidence of an answer, for the table `thresholds`.
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_LEAST_PROBABILITY = 1e-15  # so that one error does not make a loss infinite


def rate(part: float, whole: int) -> float:
    """Return `part` of `whole`; 0.0 of nothing."""
    return part / whole if whole else 0.0


class Calibration:
    """The sums of each bin of `ece`, to which statements are added in any number of parts: the
    error is the same to the bit."""

    def __init__(self, bins: int = CALIBRATION_BINS) -> None:
        self._confident, self._true = np.zeros(bins), np.zeros(bins)  # [M], sums
        self._count = 0

    def add(self, confidences: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> None:
        bins = len(self._true)
        scores = np.asarray(confidences, np.float64)
        which = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)  # [N]
        np.add.at(self._confident, which, scores)  # one after the other
        self._true += np.bincount(which[correct], minlength=bins)
        self._count += len(scores)

    def error(self) -> float:
        # |B_m| / N * |accuracy - confidence| is the gap between the bin's sums, over N.
        return rate(float(np.abs(self._true - self._confident).sum()), self._count)


class Thresholds:
    """How many answers have at least the confidence of each of THRESHOLDS, and how many of them are
    right. Answers are added in any number of parts."""

    def __init__(self) -> None:
        # [K + 1]: answers whose confidence reaches exactly so many thresholds.
        self._answers, self._right = (np.zeros(len(THRESHOLDS) + 1, np.int64) for _ in range(2))

    def add(self, confidences: NDArray[np.floating[Any]], correct: NDArray[np.bool_]) -> None:
        bins = len(self._answers)
        # A confidence of 0.9 in float32 reaches 0.9.
        limits = np.array(THRESHOLDS, confidences.dtype)
        reached = np.searchsorted(limits, confidences, side="right")  # [N]
        self._answers += np.bincount(reached, minlength=bins)
        self._right += np.bincount(reached[correct], minlength=bins)

    def table(self) -> list[dict[str, float]]:
        """`threshold`, `precision`, `recall` and `coverage` for each of THRESHOLDS."""
        answers, right = (
            part[::-1].cumsum()[::-1].tolist() for part in (self._answers, self._right)
        )
        return [
            {
                "threshold": threshold,
                "precision": rate(right[number], answers[number]),
                "recall": rate(right[number], answers[0]),
                "coverage": rate(answers[number], answers[0]),
            }
            for number, threshold in enumerate(THRESHOLDS, 1)
        ]


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
