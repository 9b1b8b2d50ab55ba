"""The length of a run and its learning-rate schedule.

Knows: steps, epochs and factors of the learning rate. Does not know: models, data or the clock.

The schedule is a warm-up, a constant stretch and a linear decay. If the number of steps is known,
the rate depends on the step and on that number alone, so `--steps` repeats a run that was given
minutes. A timed run measures its own speed during the constant stretch and fixes its number of
steps where that stretch ends: where the decay has to begin if all of the time is to be used, or
earlier, where validation has stopped improving. If the machine later becomes slower or much faster,
the run plans another number, and the decay continues from the current rate to the new end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

# The rate is constant during this fraction of a run, then decays to _FINAL_FACTOR of its peak.
_CONSTANT_FRACTION = 0.4
_FINAL_FACTOR = 0.01
# A run with a known number of steps is evaluated after these fractions of it. None lies in the
# constant stretch, where a timed run does not yet know its number of steps: a run that repeats it
# chooses among the same evaluations.
EVALUATE_AT = (_CONSTANT_FRACTION, 0.55, 0.7, 0.85, 1.0)
# Evaluations read at most this fraction of the tokens that the steps read: a short run over little
# text skips the earlier evaluations.
_MAX_EVALUATION_FRACTION = 0.1
# In its constant stretch a timed run is evaluated once an epoch at most, to see whether validation
# still improves, and less often where that would read more than this fraction of the tokens that
# the steps read: without a backward pass a token takes a third of the time.
_MAX_PROBED_FRACTION = 0.3
# Validation has stopped improving if none of the last evaluations was better than the best before:
# of this fraction of them, and of so many at least.
_STAGNANT_FRACTION, _STAGNANT_EVALUATIONS = 0.3, 3
# A run that ends on a plateau is evaluated once an epoch, but at least once in so many steps.
_MAX_STEPS_BETWEEN_EVALUATIONS = 2000


@dataclass(frozen=True, slots=True)
class Budget:
    """What ends a run. At most one of `epochs`, `steps` and `deadline` is set; with none of them
    the run ends when validation stops improving."""

    epochs: int | None = None
    steps: int | None = None
    deadline: float | None = None  # reading of the run's clock, in seconds
    # The plans of a timed run that is being repeated: pairs (step at which the plan was made,
    # number of steps planned in all).
    plans: tuple[tuple[int, int], ...] = ()

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """Return the number of steps, or None if it is not known before the run."""
        if self.plans:
            return self.plans[0][1]
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps


@dataclass(frozen=True, slots=True)
class LinearDecay:
    """Learning-rate decay as a factor of the peak rate: 1 before `start_step`, then a straight
    line from `start_factor` towards 0 at `end_step`, but never below _FINAL_FACTOR."""

    end_step: int
    start_step: float
    start_factor: float = 1.0

    @classmethod
    def from_plans(cls, plans: Sequence[tuple[int, int]]) -> Self:
        """The decay of a run whose plans are pairs (step, number of steps in all). Every plan
        after the first continues from the factor that its step has under the plan before it."""
        _, total = plans[0]
        decay = cls(total, _CONSTANT_FRACTION * total)
        for step, total in plans[1:]:
            decay = cls(total, step, decay.factor(step))
        return decay

    def factor(self, step: int) -> float:
        """Return the factor at step 0, 1, 2 ..."""
        if step < self.start_step:
            return 1.0
        return max(
            _FINAL_FACTOR,
            self.start_factor * (self.end_step - step) / (self.end_step - self.start_step),
        )


class StepPlan:
    """The number of steps of a run, once it is known, and what follows from it: the decay of the
    learning rate and the steps after which the model is evaluated."""

    def __init__(
        self, budget: Budget, steps_per_epoch: int, steps_per_quick_evaluation: float
    ) -> None:
        self._steps_per_epoch = steps_per_epoch
        self._evaluated_each_epoch = budget.epochs is not None
        self._steps_per_quick_evaluation = steps_per_quick_evaluation
        self._replayed = dict(budget.plans[1:])
        self.plans: list[tuple[int, int]] = []
        self._decay: LinearDecay | None = None
        self._evaluation_steps: Collection[int] = ()
        total = budget.total_steps(steps_per_epoch)
        self.ends_on_plateau = total is None and budget.deadline is None
        self._steps_between_probes = max(
            steps_per_epoch, math.ceil(steps_per_quick_evaluation / _MAX_PROBED_FRACTION)
        )
        if total is not None:
            self.add(0, total)

    @property
    def total(self) -> int | None:
        """The number of steps in all; None while it is unknown."""
        return self.plans[-1][1] if self.plans else None

    def add(self, step: int, total: int) -> None:
        """Plan, after `step` steps, to take `total` steps in all."""
        # The first plan of a timed run counts from step 0, as if it had been known from the start.
        self.plans.append((step if self.plans else 0, total))
        self._decay = LinearDecay.from_plans(self.plans)
        self._evaluation_steps = self.evaluation_steps(total)

    def replayed_total(self, step: int) -> int:
        """Return the number of steps that the repeated run planned after `step`, or 0."""
        return self._replayed.get(step, 0)

    def evaluation_steps(self, total: int) -> Collection[int]:
        """Return the steps after which a run of `total` steps is evaluated."""
        if self._evaluated_each_epoch:
            # A range, which takes no more memory for a million epochs than for one.
            return range(self._steps_per_epoch, total + 1, self._steps_per_epoch)
        return evaluation_steps(total, self._steps_per_quick_evaluation)

    def evaluations_after(self, step: int, total: int) -> int:
        """Return how many of the evaluations of a run of `total` steps come after `step`."""
        if self._evaluated_each_epoch:
            return total // self._steps_per_epoch - step // self._steps_per_epoch
        return sum(evaluated > step for evaluated in self.evaluation_steps(total))

    def is_evaluated_after(self, step: int) -> bool:
        """Return True if the model is to be evaluated after `step`."""
        if not self.ends_on_plateau:
            return step in self._evaluation_steps
        return step % min(self._steps_per_epoch, _MAX_STEPS_BETWEEN_EVALUATIONS) == 0

    def is_probed_after(self, step: int) -> bool:
        """Return True if a timed run that has no plan yet is to be evaluated after `step`, only to
        see whether validation still improves."""
        unplanned = self.total is None and not self.ends_on_plateau
        return unplanned and step % self._steps_between_probes == 0

    def is_complete(self, step: int) -> bool:
        """Return True if no planned step is left."""
        return self.total is not None and step >= self.total

    def decay_factor(self, step: int) -> float:
        """Return the factor by which the learning rate has decayed at `step`."""
        return 1.0 if self._decay is None else self._decay.factor(step)

    def restore(self, plans: Sequence[tuple[int, int]]) -> None:
        """Continue from the `plans` of a saved run."""
        self.plans = []
        for step, total in plans:
            self.add(step, total)


def warmup_factor(warmup: int, step: int) -> float:
    """Return the factor of the peak rate at `step` of a linear warm-up over `warmup` steps. It
    does not depend on the number of steps in all, which a timed run does not know yet."""
    return min(1.0, (step + 1) / warmup)


def steps_before_decay(total: int) -> int:
    """Return how many of `total` steps come before the decay."""
    return math.ceil(_CONSTANT_FRACTION * total)


def total_with_decay_from(step: int) -> int:
    """Return the largest number of steps in all with `steps_before_decay` equal to `step`."""
    return math.floor(step / _CONSTANT_FRACTION)


def evaluation_steps(total: int, steps_per_evaluation: float) -> frozenset[int]:
    """Return the steps after which a run of `total` steps is evaluated, if one evaluation reads as
    many tokens as `steps_per_evaluation` steps."""
    count = math.floor(_MAX_EVALUATION_FRACTION * total / steps_per_evaluation)
    count = max(1, min(len(EVALUATE_AT), count))
    return frozenset(max(1, math.ceil(fraction * total)) for fraction in EVALUATE_AT[-count:])


class Stagnation:
    """Notices that validation has stopped improving in the constant stretch of a timed run."""

    def __init__(self, *, higher_is_better: bool) -> None:
        self._sign = 1.0 if higher_is_better else -1.0
        self._best: float | None = None
        self._count = self._since_best = 0

    @property
    def reached(self) -> bool:
        """True if the last evaluations were no better than the best before."""
        least = max(_STAGNANT_EVALUATIONS, _STAGNANT_FRACTION * self._count)
        return self._since_best >= least

    def update(self, value: float) -> None:
        """Take in the metric of one evaluation."""
        self._count += 1
        self._since_best += 1
        if self._best is None or self._sign * (value - self._best) > 0:
            self._best, self._since_best = value, 0

    def state(self) -> dict[str, Any]:
        """Return the state that `restore` takes, as plain JSON."""
        return {"best": self._best, "count": self._count, "since_best": self._since_best}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._best, self._count = state["best"], state["count"]
        self._since_best = state["since_best"]


class ReduceOnPlateau:
    """Cuts the learning rate when validation stops improving, and ends the run when a further cut
    is not allowed: after `patience` evaluations without improvement, the next one cuts."""

    def __init__(self, patience: int = 1, cuts: int = 3, factor: float = 0.3) -> None:
        self._patience, self._cuts_left, self._factor = patience, cuts, factor
        self._bad_evaluations = 0
        self.scale = 1.0
        self.finished = False

    def update(self, improved: bool) -> bool:
        """Take in one evaluation; return True if it cut the rate."""
        if improved:
            self._bad_evaluations = 0
            return False
        self._bad_evaluations += 1
        if self._bad_evaluations <= self._patience:
            return False
        self._bad_evaluations = 0
        if self._cuts_left == 0:
            self.finished = True
            return False
        self._cuts_left -= 1
        self.scale *= self._factor
        return True

    def state(self) -> dict[str, Any]:
        """Return the state that `restore` takes, as plain JSON."""
        return {
            "waited": self._bad_evaluations,
            "cuts": self._cuts_left,
            "scale": self.scale,
            "finished": self.finished,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._bad_evaluations, self._cuts_left = state["waited"], state["cuts"]
        self.scale, self.finished = state["scale"], state["finished"]
