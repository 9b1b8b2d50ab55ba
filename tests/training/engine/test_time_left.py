"""How long a run will still take: what it rests on, and when it is told."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from rnntext.training.engine.loop import Loop
from rnntext.training.engine.schedule import Budget
from rnntext.training.engine.time_left import TimeLeft, middle_mean
from rnntext.training.events import Metrics, Step
from tests.training.engine.toy import SETTINGS, Toy, toy_model


class Cold(Toy):
    """The first `slow` steps and the first evaluation take ten times as long as the others."""

    slow = 0

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        self.clock.now += 9 * self.pace * (self.steps < self.slow)
        return super().loss(model, batch)

    def evaluate(self, model: nn.Module, *, quick: bool = False) -> Metrics:
        self.clock.now += 9 * self.cost * self.quick_fraction * (self.evaluations == 0)
        return super().evaluate(model, quick=quick)


def reports(objective: Toy, budget: Budget) -> list[tuple[Step, float]]:
    """The reports of steps of a run, each with the seconds that were left in fact."""
    reserve = 3.0
    loop = Loop(toy_model(), objective, SETTINGS, budget, reserve=reserve, clock=objective.clock)
    found = [(event, objective.clock.now) for event in loop.events() if isinstance(event, Step)]
    ended = (
        objective.clock.now + objective.cost + reserve
    )  # an evaluation of everything, and export
    return [(step, ended - now) for step, now in found]


@pytest.mark.parametrize(
    ("slow", "epoch", "cost"), [(0, 10, 60.0), (1, 200, 0.5), (10, 40, 0.5), (17, 40, 6.0)]
)
def test_the_time_left_is_not_off_by_more_than_a_factor_of_two(
    slow: int, epoch: int, cost: float
) -> None:
    objective = Cold(steps_per_epoch=epoch, cost=cost, share=0.5)
    objective.slow = slow
    found = reports(objective, Budget(epochs=200 // epoch))
    told = [(step, left) for step, left in found if step.remaining is not None]
    assert len(told) >= len(found) - 5  # of the reports, each after ten steps
    for step, left in told:
        assert step.remaining is not None
        assert left / 2 <= step.remaining <= 2 * left


@pytest.mark.parametrize("slow", range(18))
def test_the_first_estimate_after_slow_steps(slow: int) -> None:
    left = TimeLeft()
    for number in range(1000):
        left.record_step(10.0 if number < slow else 1.0)
        remaining = left.estimate(999 - number, 0, 0)
        if remaining is not None:
            break
    assert number < 70
    assert remaining is not None
    assert 1 <= remaining / (999 - number) <= 2


def test_a_timed_run_with_a_plan_tells_the_time_too() -> None:
    """Where there is no plan yet, what is left is the time to the deadline."""
    objective = Cold(steps_per_epoch=1000)
    objective.slow = 5
    found = reports(objective, Budget(deadline=objective.clock.now + 250))
    total = found[-1][0].total_steps  # the slow steps made the first plan too short
    planned = [(step, left) for step, left in found if step.total_steps == total]
    assert len(planned) > 7
    assert all(step.remaining == pytest.approx(left, rel=0.1) for step, left in planned)


def test_steps_of_every_length_are_trusted_once_the_speed_was() -> None:
    left = TimeLeft()
    for number in range(40):
        left.record_step(1.0)
        assert (left.estimate(7, 0, 0) is None) == (number < 19)
    for _ in range(5):
        left.record_step(30.0)
        assert left.estimate(7, 0, 0) == 7


def test_a_speed_that_changes_is_not_trusted() -> None:
    left = TimeLeft()
    for _ in range(17):
        left.record_step(1.0)
    for _ in range(3):
        left.record_step(30.0)
    assert left.estimate(7, 0, 0) is None


def test_what_an_evaluation_takes() -> None:
    left = TimeLeft()
    for _ in range(20):
        left.record_step(2.0)

    def evaluations() -> float | None:
        return left.estimate(0, 10, 6)

    assert evaluations() == pytest.approx(10 * 6 * 2 / 3)  # a third of that many steps
    left.record_evaluation(100.0)
    assert evaluations() == 10 * 6 * 2  # at the most what that many steps take
    left.record_evaluation(30.0)
    assert evaluations() == 10 * 30
    left.record_evaluation(40.0)
    assert evaluations() == 10 * 30
    quick = TimeLeft()
    for _ in range(20):
        quick.record_step(2.0)
    quick.record_evaluation(5.0)
    assert quick.estimate(0, 10, 6) == 50


def test_the_mean_of_the_middle_half() -> None:
    assert middle_mean([3.0]) == 3
    assert middle_mean([9.0, 1.0, 2.0]) == 4
    assert middle_mean([100.0, 5.0, 0.0, 3.0]) == 4
    assert middle_mean([100.0, 5.0, 6.0, 7.0, 0.0]) == 6
