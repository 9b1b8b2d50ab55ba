"""Runs with a deadline: how many steps they plan, and that they end in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnntext.training.engine.loop import Loop
from rnntext.training.engine.optimizer import OptimizerConfig
from rnntext.training.engine.schedule import (
    Budget,
    StepPlan,
    evaluation_steps,
    steps_before_decay,
)
from rnntext.training.engine.time_plan import TimePlan
from rnntext.training.events import CheckpointDue, Evaluated, Finished, LoopEvent, Step
from tests.training.engine.toy import SETTINGS, Toy, of_kind, run, same_bytes, toy_model


@pytest.mark.parametrize(
    ("seconds", "reserve", "cost", "share"),
    [(100, 0, 2.0, 0.25), (300, 40, 2.0, 0.25), (600, 10, 60.0, 0.5)],
)
def test_a_deadline_is_kept_and_used(
    seconds: float, reserve: float, cost: float, share: float
) -> None:
    objective = Toy(cost=cost, share=share, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + seconds), reserve=reserve)
    took = objective.clock.now - began
    left_for_steps = seconds - reserve - objective.cost
    assert took <= left_for_steps
    assert took > 0.85 * left_for_steps
    end = events[-1]
    assert end.reason == "the steps are done"
    # It was evaluated as often as a run of so many steps, at last at its end.
    evaluated = candidates(events)
    assert set(evaluated) == evaluation_steps(end.steps, objective.steps_per_quick_evaluation)
    assert evaluated[-1] == end.steps
    assert of_kind(events, Step)[-1].total_steps == end.steps


def candidates(events: list[LoopEvent]) -> list[int]:
    """The steps of the evaluations from the end of the constant stretch on."""
    end = events[-1]
    assert isinstance(end, Finished)
    constant = steps_before_decay(end.plans[0][1])
    return [e.step for e in of_kind(events, Evaluated) if e.step >= constant]


def test_a_long_time_over_a_small_text_ends_where_validation_stopped_improving() -> None:
    """It is evaluated each 20 steps, as an evaluation reads as much as six. The second is the best;
    after three more, at step 100, the decay begins."""
    objective = Toy(lambda n: max(0.5, 1 / (n + 1)), steps_per_epoch=5, cost=6.0)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 10_000))
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.steps, end.reason, end.plans) == (252, "the steps are done", ((0, 252),))
    before = [e for e in of_kind(events, Evaluated) if e.step <= 101]
    assert [e.step for e in before] == [20, 40, 60, 80, 100]
    # Those only show whether validation improves: a run that repeats this one does not have them.
    assert not any(e.best for e in before)
    assert end.best_step > 101
    rates = {step.step: step.learning_rate for step in of_kind(events, Step)}
    assert rates[100] == max(rates.values()) > rates[110] > rates[240]


def test_a_run_of_the_same_steps_repeats_one_that_stopped_improving() -> None:
    timed = Toy(lambda n: max(0.5, 1 / (n + 1)), steps_per_epoch=5, cost=6.0)
    events, one = run(timed, Budget(deadline=timed.clock.now + 10_000))
    _, two = run(Toy(lambda n: 0.5, steps_per_epoch=5, cost=6.0), Budget(steps=events[-1].steps))
    assert same_bytes(one, two)


def test_a_long_time_over_a_small_text_is_used_while_validation_improves() -> None:
    objective = Toy(steps_per_epoch=5)
    began = objective.clock.now
    end = run(objective, Budget(deadline=began + 2000))[0][-1]
    assert 1800 < objective.clock.now - began < 2000
    assert end.steps > 1600


@pytest.mark.parametrize(("last_pace", "remaining"), [(1.0, 10_000 - 10), (20_000.0, 0.0)])
def test_before_a_plan_the_time_to_the_deadline_is_what_remains(
    last_pace: float, remaining: float
) -> None:
    class Late(Toy):
        def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
            self.pace = last_pace if self.steps == 9 else 1.0
            return super().loss(model, batch)

    objective = Late(steps_per_epoch=50)
    budget = Budget(deadline=objective.clock.now + 10_000)
    loop = Loop(toy_model(), objective, SETTINGS, budget, clock=objective.clock)
    step = next(loop.events())
    assert isinstance(step, Step)
    assert (step.step, step.total_steps, step.remaining) == (10, None, remaining)


def test_without_a_deadline_no_time_remains_to_be_told() -> None:
    objective = Toy(steps_per_epoch=20)
    loop = Loop(toy_model(), objective, SETTINGS, Budget(), clock=objective.clock)
    step = next(loop.events())
    assert isinstance(step, Step)
    assert (step.total_steps, step.remaining) == (None, None)


class Changing(Toy):
    """A machine on which steps take another time from the hundredth on."""

    factor = 1.0

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        if self.steps == 100:
            self.pace *= self.factor
        return super().loss(model, batch)


class Slowing(Changing):
    factor = 5.0


class Quickening(Changing):
    factor = 0.4


class Doubling(Changing):
    factor = 0.5


class Wavering(Changing):
    factor = 1.06


class Relieved(Toy):
    """A machine that was busy until the first evaluation."""

    def evaluate(self, model: nn.Module, *, quick: bool = False) -> dict[str, Any]:
        self.cost = 6.0
        return super().evaluate(model, quick=quick)


@pytest.mark.parametrize(("kind", "least"), [(Slowing, 200), (Quickening, 0.85 * 250)])
def test_a_machine_that_changes_keeps_the_deadline_and_comes_down_all_the_same(
    kind: type[Changing], least: float
) -> None:
    objective = kind(steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 250), reserve=10)
    took = objective.clock.now - began
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.reason == "the steps are done"
    assert len(end.plans) > 1
    assert end.plans[0][0] == 0
    assert took <= 250 - 10 - objective.cost
    assert took > least
    rates = [step.learning_rate for step in of_kind(events, Step)]
    assert rates[-1] < 0.1 * max(rates)
    highest = rates.index(max(rates))
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    evaluated = [e.step for e in of_kind(events, Evaluated)]
    assert evaluated[-1] == end.steps == end.plans[-1][1]
    if kind is Quickening:
        totals = [total for _, total in end.plans]
        assert totals == sorted(totals)
        assert len(totals) <= 4


def test_steps_are_not_added_for_little_time() -> None:
    objective = Toy(steps_per_epoch=50)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 250), reserve=10)
    assert len(events[-1].plans) == 1


def test_a_pace_that_differs_a_little_changes_no_plan() -> None:
    objective = Wavering(cost=0.1, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 250), reserve=10)
    assert len(events[-1].plans) == 1
    assert objective.clock.now - began <= 250 - 10 - objective.cost


def test_an_evaluation_that_takes_less_than_was_expected_leaves_time_for_steps() -> None:
    objective = Relieved(cost=60.0, share=0.1, steps_per_epoch=1000)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 300))
    took = objective.clock.now - began
    assert len(events[-1].plans) == 2
    assert 0.85 * 300 < took < 300 - objective.cost


def test_time_that_is_of_no_use_adds_no_steps() -> None:
    """The speed doubles at the hundredth step, where validation has stopped improving."""
    objective = Doubling(lambda n: max(0.5, 1 / (n + 1)), steps_per_epoch=5, cost=6.0)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 1000), reserve=10)
    assert (events[-1].steps, len(events[-1].plans)) == (252, 1)


@pytest.mark.parametrize("saved", [4, 33, 140])
def test_a_timed_run_that_is_resumed_goes_on_as_if_it_had_not_been_stopped(saved: int) -> None:
    """Saved before its first plan, and after the second, which follows when its speed doubles at
    step 100. All seconds are exact in binary."""
    seconds = 250

    def start(objective: Toy, deadline: float, stop: int) -> Loop:
        return Loop(
            toy_model(),
            objective,
            SETTINGS,
            Budget(deadline=deadline),
            stop_asked=lambda: objective.steps == stop,
            clock=objective.clock,
        )

    def comparable(event: LoopEvent) -> LoopEvent:
        # The time left is told again once the speed is known again.
        return replace(event, memory=0.0, remaining=None) if isinstance(event, Step) else event

    whole = Doubling(cost=10.0, steps_per_epoch=50)
    expected = list(start(whole, whole.clock.now + seconds, 0).events())
    assert len(expected[-1].plans) > 1
    broken = Doubling(cost=10.0, steps_per_epoch=50)
    first = start(broken, broken.clock.now + seconds, saved)
    found = list(first.events())
    assert found.pop() == CheckpointDue(saved, stop=True)
    state = first.state()
    # The computer was off for a while, which no budget counts.
    broken.clock.now += 5000
    spent = float(state.values["seconds"])
    second = start(broken, broken.clock.now - spent + seconds, 0)
    second.restore(state)
    found += second.events()
    assert list(map(comparable, found)) == list(map(comparable, expected))


@pytest.mark.parametrize("kind", [Slowing, Quickening])
def test_a_run_that_planned_anew_is_repeated_to_the_byte_by_its_plans(kind: type[Changing]) -> None:
    slow, fast = kind(steps_per_epoch=50), Toy(steps_per_epoch=50, pace=0.1)
    events, one = run(slow, Budget(deadline=slow.clock.now + 250))
    end = events[-1]
    assert isinstance(end, Finished)
    assert len(end.plans) > 1
    again, two = run(fast, Budget(steps=end.steps, plans=end.plans))
    assert again[-1].steps == end.steps
    assert same_bytes(one, two)
    _, other = run(Toy(steps_per_epoch=50), Budget(steps=end.steps))
    assert not same_bytes(one, other)


def test_a_deadline_that_has_passed_still_gives_an_evaluated_model() -> None:
    objective = Toy()
    events, model = run(objective, Budget(deadline=objective.clock.now - 1))
    assert (objective.steps, events[-1].steps) == (1, 1)
    assert len(of_kind(events, Evaluated)) == 1
    assert events[-1].reason == "the time is over"
    # What measuring everything would take is not known, and there is no time for it.
    assert isinstance(events[-1], Finished)
    assert events[-1].partial_evaluation
    assert torch.equal(model.state_dict()["0.weight"], objective.seen[0]["0.weight"])


def timed_and_repeated(
    seconds: float, settings: OptimizerConfig = SETTINGS, **options: float
) -> tuple[Finished, Any, Any]:
    timed = Toy(lambda n: 1.0 / (n + 1), steps_per_epoch=37, **options)
    torch.manual_seed(1)
    events, one = run(timed, Budget(deadline=timed.clock.now + seconds), toy_model(1), 0, settings)
    end = events[-1]
    assert isinstance(end, Finished)
    repeated = Toy(lambda n: 1.0 / (n + 1), steps_per_epoch=37, pace=0.3)
    again, two = run(repeated, Budget(steps=end.steps), toy_model(1), 0, settings)
    assert again[-1].steps == end.steps
    return end, one, two


@pytest.mark.parametrize("ema_decay", [0.0, 0.99])
@pytest.mark.parametrize("seconds", [60, 400])
def test_a_timed_run_is_repeated_to_the_byte_by_its_steps(seconds: float, ema_decay: float) -> None:
    settings = replace(SETTINGS, ema_decay=ema_decay, warmup=30)
    end, one, two = timed_and_repeated(seconds, settings, pace=0.9)
    assert end.reason == "the steps are done"
    assert end.steps > seconds / 2
    assert same_bytes(one, two)


def test_a_timed_run_with_hardly_any_time_is_repeated_to_the_byte() -> None:
    """Evaluating takes much of the time, so the run ends soon after its speed is known."""
    end, one, two = timed_and_repeated(200, pace=0.25, cost=18.0)
    assert end.reason == "the steps are done"
    assert end.steps >= 100
    assert same_bytes(one, two)


@pytest.mark.parametrize(("seconds", "evaluations"), [(200, 1), (900, 2)])
def test_where_evaluating_takes_long_there_is_less_of_it(seconds: int, evaluations: int) -> None:
    objective = Toy(cost=27.0, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + seconds))
    left = began + seconds - objective.cost - objective.clock.now
    assert 0 <= left < 0.2 * seconds
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.reason, len(end.plans), end.partial_evaluation) == ("the steps are done", 1, False)
    assert len(candidates(events)) == evaluations


def test_where_all_validation_data_would_take_too_long_time_is_kept_for_a_part_of_them() -> None:
    objective = Toy(cost=2000.0, share=0.01, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 1000))
    # Two samples of a tenth of it, and a last evaluation that is a quick one.
    took = objective.clock.now - began
    assert took - events[-1].steps - 20 * len(of_kind(events, Evaluated)) == pytest.approx(400)
    assert 900 < took < 1000 - 20
    assert events[-1].partial_evaluation


# Single decisions, by the clock alone

SECONDS = 200.0


def time_plan(
    objective: Toy,
    seconds: float | None = SECONDS,
    *,
    reserve: float = 0.0,
    partial_evaluation: bool = False,
    total: int | None = None,
) -> TimePlan:
    """The plan of a run that begins now. `total`: a first plan that has been made already."""
    clock = objective.clock
    deadline = None if seconds is None else clock.now + seconds
    plan = StepPlan(
        Budget(deadline=deadline), objective.steps_per_epoch, objective.steps_per_quick_evaluation
    )
    if total is not None:
        plan.add(0, total)
    return TimePlan(
        plan,
        objective,  # type: ignore[arg-type]
        toy_model().train(),
        deadline=deadline,
        reserve=reserve,
        partial_evaluation=partial_evaluation,
        clock=clock,
    )


def test_a_run_is_out_of_time_when_the_last_evaluations_still_fit() -> None:
    """Those are a quick one and the last one, which gets three tenths more; and the reserve."""
    objective = Toy(share=0.25)
    time = time_plan(objective, reserve=30)
    assert not time.is_out_of_time()
    time.record_evaluation(5.0)
    # 200 - 30 - 5 - 1.3 * 20 = 139.
    for after, over in ((138.99, False), (139.0, True), (139.01, True)):
        objective.clock.now = 1000 + after
        assert time.is_out_of_time() == over
        assert time.seconds_left() == pytest.approx(200 - after)
        assert time.elapsed() == pytest.approx(after)
    objective.clock.now = 1000 + 300
    assert time.seconds_left() == 0
    # Where only a part is read at last, that takes as long as a quick evaluation.
    objective = Toy(share=0.25)
    time = time_plan(objective, partial_evaluation=True)
    time.record_evaluation(10.0)
    for after, over in ((176.99, False), (177.0, True)):
        objective.clock.now = 1000 + after
        assert time.is_out_of_time() == over


def test_before_any_evaluation_only_the_reserve_is_kept() -> None:
    objective = Toy()
    time = time_plan(objective, reserve=30)
    for after, over in ((169.99, False), (170.0, True)):
        objective.clock.now = 1000 + after
        assert time.is_out_of_time() == over


def test_without_a_deadline_nothing_is_planned() -> None:
    objective = Toy()
    time = time_plan(objective, None)
    objective.clock.now += 10**9
    assert (time.seconds_left(), time.is_out_of_time()) == (None, False)
    assert time.new_total(100) == 0
    assert not time.settle_partial_evaluation()
    assert objective.clock.now == 1000 + 10**9


def test_the_last_evaluation_reads_a_part_if_nothing_is_known_of_the_whole() -> None:
    assert time_plan(Toy()).settle_partial_evaluation()
    assert not time_plan(Toy(), total=40).settle_partial_evaluation()
    assert time_plan(Toy(), total=40, partial_evaluation=True).settle_partial_evaluation()
    assert time_plan(Toy(), None, partial_evaluation=True).settle_partial_evaluation()


def test_speed_is_measured_from_a_tenth_of_the_time_and_three_steps_on() -> None:
    for step, after, measured in ((40, 19.99, False), (40, 20.0, True), (2, 60.0, False),
                                  (3, 60.0, True)):  # fmt: skip
        objective = Toy(cost=27.0, steps_per_epoch=50)
        time = time_plan(objective)
        objective.clock.now += after
        time.new_total(step)
        # Two samples, of 2.7 seconds each.
        assert objective.clock.now == pytest.approx(1000 + after + (5.4 if measured else 0))
        assert time.state()["evaluating"] == pytest.approx(5.4 if measured else 0)
        assert time._model.training


def test_a_run_that_stopped_improving_is_planned_at_once_and_does_not_grow() -> None:
    objective = Toy(cost=2.0, steps_per_epoch=1)
    time = time_plan(objective)
    objective.clock.now += 1
    assert time.new_total(12) == 0
    assert time.new_total(12, stagnant=True) == 30
    time._plan.add(12, 30)
    assert time.state()["stagnant"]
    again = time_plan(objective, total=30)
    again.restore(time.state(), 12)
    for plan in (time, again):
        assert plan.new_total(20, stagnant=True) == 0
    # If the machine becomes slow, it comes down all the same.
    objective.clock.now += 150
    assert 20 < again.new_total(22, stagnant=True) < 30


def first_plan(objective: Toy, seconds: float = SECONDS) -> tuple[int, int]:
    """The step after which a run makes its first plan, and its total."""
    time = time_plan(objective, seconds)
    step = 0
    while not (total := time.new_total(step)):
        step += 1
        objective.clock.now += objective.pace
    return step, total


def test_the_first_plan_counts_as_many_evaluations_as_it_has() -> None:
    # 200 - 5.4 for samples - 35.1 - 27: of the 132.5 seconds, those after the step are used to
    # 94 %. At step 50 that gives 127 steps in all, whose constant stretch has 51.
    assert first_plan(Toy(cost=27.0, steps_per_epoch=50)) == (51, 127)
    # 1000 - 0.4 - 2.6 - 5 * 2 seconds: at step 379 there are 949, whose constant stretch has 380.
    assert first_plan(Toy(cost=2.0, steps_per_epoch=50), 1000) == (380, 950)
    # 900 - 5.4 - 35.1 - 2 * 27 seconds: 775 steps have two evaluations.
    assert first_plan(Toy(cost=27.0, steps_per_epoch=50), 900) == (310, 775)


@pytest.mark.parametrize(("cost", "partial"), [(46.0, False), (47.0, True)])
def test_an_evaluation_that_takes_three_tenths_of_the_time_reads_a_part(
    cost: float, partial: bool
) -> None:
    objective = Toy(cost=cost, steps_per_epoch=50)
    time = time_plan(objective)
    objective.clock.now += 100
    assert time.new_total(100) == 250
    assert time.state()["hurried"] == partial


def test_after_the_first_plan_the_speed_is_measured_anew() -> None:
    objective = Toy(cost=2.0, steps_per_epoch=50)
    time = time_plan(objective, 1000)
    objective.clock.now += 380
    time._plan.add(380, time.new_total(380))
    assert time._plan.total == 950
    # Twice as slow from then on. 2000 - 1380.4 - 120 - 2.6 - 4 * 2 seconds are left for steps.
    objective.clock.now += 120
    assert time.new_total(440) == 440 + 237


def changed(
    step: int,
    seconds: float,
    left: float,
    *,
    total: int = 150,
    since: int = 40,
    costs: tuple[float, float] = (0.0, 0.0),
    objective: Toy | None = None,
) -> int:
    """The new total after `step`, if the steps since step `since` took `seconds`, and so many are
    `left`; `costs` of a quick evaluation and of the last one."""
    objective = objective or Toy(steps_per_epoch=1000)
    time = time_plan(objective, seconds + left, total=total)
    state = {
        "evaluating": 0.0, "costs": list(costs), "hurried": False, "stagnant": False,
        "seconds": 33.0,
    }  # fmt: skip
    time.restore(state, since)
    assert time.elapsed() == 33
    objective.clock.now += seconds
    found = time.new_total(step)
    # No second change without further steps.
    assert time.new_total(step) == 0
    return found


def test_a_plan_is_checked_when_a_tenth_of_the_rest_is_done() -> None:
    # After ten steps of 110, a hundred are left.
    assert changed(49, 18.0, 130.0) == 0
    assert changed(50, 20.0, 130.0) == 50 + 63
    assert changed(51, 22.0, 130.0) == 51 + 63
    assert changed(141, 2.0, 5.0, since=140) == 141 + 2
    # At least one step must have been taken, and one must be left.
    assert changed(149, 0.0, 130.0, since=149) == 0
    assert changed(150, 20.0, -5.0) == 0


def test_a_plan_that_just_fits_stands() -> None:
    assert changed(50, 20.0, 200.0) == 0
    assert changed(50, 20.0, 199.9) == 50 + 96


def test_a_plan_that_is_late_has_one_more_step_at_least() -> None:
    for left in (3.0, 0.5, 0.0, -20.0):
        assert changed(50, 20.0, left) == 51
    assert changed(149, 2.0, -5.0, since=148) == 150


def test_a_plan_grows_if_there_is_time_for_a_tenth_more() -> None:
    assert changed(50, 5.0, 95.0) == 50 + 178
    assert changed(50, 5.0, 62.0) == 166
    assert changed(50, 5.0, 61.5) == 0  # 165
    # Not in the last tenth.
    assert changed(135, 2.5, 95.0, since=130) == 135 + 178
    assert changed(136, 3.0, 95.0, since=130) == 0


def test_seconds_of_evaluations_still_to_come_are_no_seconds_for_steps() -> None:
    # Five quick ones, of 3 seconds, and a last one of 4.
    often = Toy(steps_per_epoch=1000, cost=0.1)
    assert changed(50, 20.0, 130.0, costs=(3.0, 4.0), objective=often) == 50 + 53
    # 150 steps have three evaluations; 204 would fit, but they have five: 192 remain.
    seldom = Toy(steps_per_epoch=1000, cost=4.0)
    assert changed(50, 5.0, 95.0, costs=(3.0, 4.0), objective=seldom) == 192


def test_seconds_spent_in_evaluations_say_nothing_of_the_speed_of_steps() -> None:
    objective = Toy(steps_per_epoch=1000, cost=0.1)
    time = time_plan(objective, 150.0, total=150)
    state = {
        "evaluating": 7.0, "costs": [0.0, 0.0], "hurried": False, "stagnant": False,
        "seconds": 33.0,
    }  # fmt: skip
    time.restore(state, 40)
    objective.clock.now += 30
    time.record_evaluation(10.0)
    assert time.state() == {
        "evaluating": 17.0, "costs": [10.0, 13.0], "hurried": False, "stagnant": False,
        "seconds": 63.0,
    }  # fmt: skip
    # Two seconds a step; 120 are left, 63 of them for evaluations.
    assert time.new_total(50) == 50 + 27
