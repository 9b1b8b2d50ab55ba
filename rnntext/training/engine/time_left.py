"""How long a run will still take, from the seconds of its recent steps and of its evaluations.

Knows: which of them are typical, and when they can be trusted. Does not know: a clock, a plan of
steps, or PyTorch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice
from statistics import fmean, median

# The estimate rests on so many of the last steps, and needs so many at the least.
_RECENT_STEPS, _LEAST_STEPS = 50, 20
# It is trusted once the seconds a step that it rests on are within this factor of the median of the
# last few steps. The first steps of a run are slow: memory is allocated, kernels are chosen, files
# are read for the first time.
_LAST_STEPS, _TRUSTED_FACTOR = 5, 2.0
# Seconds of a token that is evaluated, beside one that is trained on: there is no backward pass.
_EVALUATED_SHARE = 1 / 3


class TimeLeft:
    """The seconds that a run has left. They are learned anew where a run is resumed."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._evaluations: list[float] = []  # the first, and the quickest of the others
        self._is_trusted = False

    def record_step(self, seconds: float) -> None:
        """Take in the seconds of a step, with all that is between it and the last one."""
        self._steps.append(seconds)

    def record_evaluation(self, seconds: float) -> None:
        """Take in the seconds of a quick evaluation."""
        first, *others = *self._evaluations, seconds
        self._evaluations = [first, min(others)] if others else [first]

    def estimate(self, steps: int, evaluations: float, steps_per_evaluation: float) -> float | None:
        """Return the seconds of `steps` more steps and `evaluations` more quick evaluations, each
        of which reads as many tokens as `steps_per_evaluation` steps; None while the speed of the
        steps is not known well."""
        if len(self._steps) < _LEAST_STEPS:
            return None
        step = middle_mean(self._steps)
        last = median(islice(reversed(self._steps), _LAST_STEPS))
        # A speed that once was trusted is: steps over longer texts take longer.
        self._is_trusted |= last / _TRUSTED_FACTOR <= step <= last * _TRUSTED_FACTOR
        if not self._is_trusted:
            return None
        return steps * step + evaluations * self._evaluation_seconds(steps_per_evaluation * step)

    def _evaluation_seconds(self, trained_on: float) -> float:
        """The seconds of a quick evaluation. `trained_on`: those of steps over as many tokens."""
        match self._evaluations:
            case []:
                return _EVALUATED_SHARE * trained_on
            case [first]:
                return min(first, trained_on)  # the first is slow too
            case _:
                return min(self._evaluations)


def middle_mean(values: Collection[float]) -> float:
    """Return the mean of the middle half of `values`, of which there must be one: the interquartile
    mean, which a few outliers do not move."""
    outer = len(values) // 4
    return fmean(sorted(values)[outer : len(values) - outer])
