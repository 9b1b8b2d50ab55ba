"""Time of a run: how many steps and evaluations fit before a deadline.

Knows: the clock, how long steps and evaluations take, and how to plan the number of steps from
that. Does not know: how a step is taken, or what its learning rate is. Only the main process plans,
because the clocks of several processes differ.

A timed run makes its first plan where the constant stretch of its learning rate ends, or where
validation has stopped improving before that: more steps would not help, and the run ends before its
deadline. During the decay it compares the plan with the clock now and then, and plans again if the
machine has become too slow for the plan, or so fast that much time would be left over.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from rnntext.training.engine.objective import Objective
from rnntext.training.engine.schedule import (
    EVALUATE_AT,
    StepPlan,
    steps_before_decay,
    total_with_decay_from,
)
from rnntext.training.engine.time_left import TimeLeft

# The first plan is made after this fraction of the time at the earliest.
_FIRST_PLAN_AT = 0.1
# A plan uses this fraction of the seconds that are left for steps: a busy machine slows down.
_USED_FRACTION = 0.94
# During the decay the plan is checked each time this fraction of the steps that are left is taken.
_CHECK_EVERY = 0.1
# If the steps that are left would take too long, the new plan uses this fraction of the seconds.
_USED_FRACTION_IF_LATE = 0.97
# The plan grows if there is time for so many more steps, as a fraction of those planned. An hour
# that began on shared cores ended after 49 minutes, because its first part fixed its number of
# steps. Between the two limits the plan stands: the speed always varies a little.
_WORTHWHILE_GROWTH = 0.1
# The last evaluation cannot be shortened, so it gets this multiple of its expected seconds.
_EVALUATION_SAFETY = 1.3
# If an evaluation on all validation data would take more than this fraction of the time, the last
# evaluation reads a part of them.
MAX_EVALUATION_SHARE = 0.3


class TimePlan:
    """Seconds that a run spends and has left. `new_total` plans the number of steps of a timed
    run; a run without a deadline keeps only the seconds spent."""

    def __init__(
        self,
        plan: StepPlan,
        objective: Objective,
        model: nn.Module,
        *,
        deadline: float | None,
        reserve: float,
        partial_evaluation: bool,
        clock: Callable[[], float],
    ) -> None:
        """`deadline` is a reading of `clock`. `reserve` is how many seconds before it the loop must
        end, in addition to the seconds of a last evaluation. `partial_evaluation`: that
        evaluation reads only a part of the validation data."""
        self._plan, self._objective, self._model = plan, objective, model
        self._timed = deadline is not None
        self._deadline = math.inf if deadline is None else deadline
        self._reserve, self._clock = reserve, clock
        self._began = clock()
        self.evaluation_seconds = 0.0  # spent in evaluations so far
        self._quick_evaluation_seconds = 0.0  # expected for one quick evaluation
        self._last_evaluation_seconds: float | None = None  # kept for the evaluation after the loop
        self._partial_evaluation = partial_evaluation
        self._stagnant = False  # the plan was made because validation has stopped improving
        # Step and seconds, without those of evaluations, when the plan was last made or checked.
        self._last_check: tuple[int, float] = (0, 0.0)
        self._time_left = TimeLeft()
        self._step_ended = self._began  # seconds, without those of evaluations

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return self._clock() - self._began

    def seconds_left(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None if there is no deadline."""
        return max(0.0, self._deadline - self._clock()) if self._timed else None

    def is_out_of_time(self) -> bool:
        """Return True if no step fits before the deadline any more."""
        # The steps since the last evaluation are evaluated once more.
        return self._seconds_for_steps(1) <= 0

    def time_left(self, step: int) -> float | None:
        """Return the seconds after `step`, before it is evaluated, until the run has ended, with
        what follows the loop; None if that is not known, or not well enough."""
        total = self._plan.total
        if total is None:
            return self.seconds_left()
        evaluations = self._plan.evaluations_after(step - 1, total)
        share = 1.0 if self._partial_evaluation else self._objective.quick_fraction
        seconds = self._time_left.estimate(
            total - step,
            evaluations + 1 / share,  # the last one is after the loop
            self._objective.steps_per_quick_evaluation,
        )
        return None if seconds is None else seconds + self._reserve

    def record_step(self) -> None:
        """Take in that a step has ended."""
        now = self._clock() - self.evaluation_seconds
        self._time_left.record_step(now - self._step_ended)
        self._step_ended = now

    def record_probe(self, seconds: float) -> None:
        """Take in how long an evaluation before the first plan took."""
        self._time_left.record_evaluation(seconds)
        self.evaluation_seconds += seconds

    def record_evaluation(self, seconds: float) -> None:
        """Take in how long a quick evaluation took."""
        self._expect_evaluations(seconds)
        self._time_left.record_evaluation(seconds)
        self.evaluation_seconds += seconds

    def settle_partial_evaluation(self) -> bool:
        """Decide at the end of the loop whether the last evaluation reads only a part of the
        validation data; return True if it does."""
        if self._timed and self._plan.total is None:
            # The run ended before it measured how long an evaluation on all data takes.
            self._partial_evaluation = True
        return self._partial_evaluation

    def new_total(self, step: int, *, stagnant: bool = False) -> int:
        """Return how many steps a timed run should take in all, if that changes after `step`;
        otherwise 0. `stagnant`: validation has stopped improving."""
        if not self._timed:
            return 0
        if self._plan.total is None:
            if stagnant:
                self._stagnant = True
                self._time_sample()
                self._last_check = (step, self._clock() - self.evaluation_seconds)
                return total_with_decay_from(step)
            return self._first_total(step)
        return self._changed_total(step, self._plan.total)

    def state(self) -> dict[str, Any]:
        """Return the state that `restore` takes, as plain JSON."""
        return {
            "evaluating": self.evaluation_seconds,
            "costs": [self._quick_evaluation_seconds, self._last_evaluation_seconds],
            "hurried": self._partial_evaluation,
            "stagnant": self._stagnant,
            "seconds": self.elapsed(),
        }

    def restore(self, state: dict[str, Any], step: int) -> None:
        """Continue a run that was saved after `step`."""
        self.evaluation_seconds = state["evaluating"]
        self._quick_evaluation_seconds, self._last_evaluation_seconds = state["costs"]
        self._partial_evaluation = state["hurried"]
        self._stagnant = state["stagnant"]
        self._began -= state["seconds"]
        self._step_ended = self._clock() - self.evaluation_seconds
        self._last_check = (step, self._step_ended)

    def _first_total(self, step: int) -> int:
        """Return the number of steps in all if the constant stretch ends after `step`, else 0: the
        last moment to plan, when the speed is known best."""
        if step < 3 or self.elapsed() < _FIRST_PLAN_AT * (self._deadline - self._began):
            return 0
        if self._last_evaluation_seconds is None:
            self._time_sample()
        # The time between steps counts too: making batches and showing progress.
        seconds_per_step = (self.elapsed() - self.evaluation_seconds) / step
        for evaluations in range(len(EVALUATE_AT), 0, -1):
            seconds = self._seconds_for_steps(evaluations)
            total = step + math.floor(_USED_FRACTION * seconds / seconds_per_step)
            # Fewer evaluations leave time for more steps, and more steps allow more evaluations.
            if len(self._plan.evaluation_steps(total)) >= evaluations:
                break
        if step < steps_before_decay(total):
            return 0
        self._last_check = (step, self._clock() - self.evaluation_seconds)
        return total_with_decay_from(step)

    def _time_sample(self) -> None:
        """Measure how long evaluations will take. The sample runs twice and the second one counts,
        because the first evaluation of a process is slower."""
        began = self._clock()
        self._objective.evaluate_sample(self._model)
        again = self._clock()
        fraction = self._objective.evaluate_sample(self._model)
        self._model.train()
        seconds = (self._clock() - again) / fraction  # of an evaluation on all data
        allowed = MAX_EVALUATION_SHARE * (self._deadline - self._began)
        if _EVALUATION_SAFETY * seconds > allowed:
            self._partial_evaluation = True
        self._expect_evaluations(seconds * self._objective.quick_fraction)
        self.evaluation_seconds += self._clock() - began

    def _expect_evaluations(self, quick_seconds: float) -> None:
        """Expect `quick_seconds` for each later quick evaluation, and derive from that the seconds
        to keep for the last evaluation, which may read more data."""
        self._quick_evaluation_seconds = quick_seconds
        fraction = 1.0 if self._partial_evaluation else self._objective.quick_fraction
        self._last_evaluation_seconds = _EVALUATION_SAFETY * quick_seconds / fraction

    def _changed_total(self, step: int, total: int) -> int:
        """Return a smaller number of steps than `total` if the machine has become too slow for
        `total`, a larger one if much of the time would be left over, else 0."""
        last_step, last_seconds = self._last_check
        taken, left = step - last_step, total - step
        if taken < max(1, _CHECK_EVERY * left) or left < 1:
            return 0
        seconds = self._clock() - self.evaluation_seconds
        self._last_check = (step, seconds)
        evaluations = self._plan.evaluations_after(step, total)
        seconds_per_step = max((seconds - last_seconds) / taken, 1e-9)
        fitting = self._seconds_for_steps(evaluations) / seconds_per_step
        if fitting < left:
            return step + max(1, math.floor(_USED_FRACTION_IF_LATE * fitting))
        # Near the end few steps are left to measure the speed, and the rate is low already.
        if self._stagnant or left < _WORTHWHILE_GROWTH * total:
            return 0
        # A longer run has more evaluations; the second round counts those of the first.
        longer = 0
        for _ in range(2):
            used = _USED_FRACTION * self._seconds_for_steps(evaluations)
            more = step + math.floor(used / seconds_per_step)
            longer = min(longer or more, more)
            evaluations = self._plan.evaluations_after(step, max(1, longer))
        return longer if longer > (1 + _WORTHWHILE_GROWTH) * total else 0

    def _seconds_for_steps(self, evaluations: int) -> float:
        """Return the seconds for steps before the deadline, with `evaluations` quick evaluations
        and the last one still to come."""
        cost = (self._last_evaluation_seconds or 0.0) + evaluations * self._quick_evaluation_seconds
        return self._deadline - self._clock() - self._reserve - cost
