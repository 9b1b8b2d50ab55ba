"""How long a run is, and its learning rate at every step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rnntext.training.engine.schedule import (
    EVALUATE_AT,
    Budget,
    LinearDecay,
    ReduceOnPlateau,
    Stagnation,
    StepPlan,
    evaluation_steps,
    steps_before_decay,
    total_with_decay_from,
    warmup_factor,
)


def learning_rate(peak: float, warmup: int, step: int, total: int | None) -> float:
    fall = 1.0 if total is None else LinearDecay.from_plans([(0, total)]).factor(step)
    return peak * warmup_factor(warmup, step) * fall


def test_a_long_run() -> None:
    """Up to the peak in 100 steps, flat until 40 %, then straight down to a hundredth."""
    total = 2000
    rates = [learning_rate(0.5, 100, step, total) for step in range(total)]
    assert rates[0] == pytest.approx(0.005)
    assert rates[49] == pytest.approx(0.25)
    assert rates[99:800] == pytest.approx([0.5] * 701)
    assert rates[801] < 0.5
    assert rates[1400] == pytest.approx(0.25)
    assert rates[1700] == pytest.approx(0.125)
    assert rates[-1] == pytest.approx(0.005)
    slopes = {round(a - b, 9) for a, b in pairwise(rates[801:1981])}
    assert slopes == {round(0.5 / 1200, 9)}


def test_without_an_end_it_is_flat() -> None:
    assert learning_rate(0.5, 100, 9, None) == pytest.approx(0.05)
    assert {learning_rate(0.5, 100, step, None) for step in (99, 100, 5000, 10**7)} == {0.5}
    assert learning_rate(0.5, 1, 0, None) == 0.5


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 55, 300])
def test_a_short_run_still_moves(total: int) -> None:
    rates = [learning_rate(1.0, 30, step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    # One rise and one fall.
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize("warmup", [1, 30, 150])
@pytest.mark.parametrize("total", [1, 50, 300, 999, 2345, 1_000_000])
def test_in_the_flat_stretch_the_rate_depends_on_the_step_alone(warmup: int, total: int) -> None:
    """What makes `--steps` repeat a run that `--minutes` ended after so many steps."""
    flat = steps_before_decay(total)
    for step in {*range(0, flat, max(1, flat // 500)), flat - 1}:
        expected = learning_rate(0.3, warmup, step, None)
        assert learning_rate(0.3, warmup, step, total) == expected


def test_a_run_that_is_shortened_comes_down_from_where_it_is() -> None:
    """Planned for 1000 steps, and after 700, half way down, for 800."""
    before = LinearDecay.from_plans([(0, 1000)])
    after = LinearDecay.from_plans([(0, 1000), (700, 800)])
    assert before.factor(700) == pytest.approx(0.5)
    shares = [after.factor(step) for step in range(700, 800)]
    assert shares[0] == pytest.approx(0.5)
    assert shares[50] == pytest.approx(0.25)
    assert shares[-1] == pytest.approx(0.01)
    again = LinearDecay.from_plans([(0, 1000), (700, 800), (750, 760)])
    assert [again.factor(step) for step in (750, 755)] == pytest.approx([0.25, 0.125])


def test_evaluation_steps() -> None:
    assert sorted(evaluation_steps(1000, steps_per_evaluation=20)) == [400, 550, 700, 850, 1000]
    assert evaluation_steps(1, steps_per_evaluation=20) == {1}
    for total in range(1, 40):
        steps = evaluation_steps(total, steps_per_evaluation=0.01)
        assert total in steps
        assert min(steps) >= 1
        assert max(steps) == total
        # The first is where a timed run has fixed its length.
        assert min(steps) >= steps_before_decay(total)
    assert len(EVALUATE_AT) == 5


def test_evaluations_of_many_epochs_take_no_memory() -> None:
    plan = StepPlan(Budget(epochs=10**12), 7, 1.0)
    steps = plan.evaluation_steps(7 * 10**12)
    assert isinstance(steps, range)
    assert [plan.is_evaluated_after(step) for step in (6, 7, 8, 7 * 10**12)] == [
        False, True, False, True,
    ]  # fmt: skip


def test_evaluations_read_little_beside_the_steps() -> None:
    assert sorted(evaluation_steps(1000, steps_per_evaluation=21)) == [550, 700, 850, 1000]
    assert sorted(evaluation_steps(1000, steps_per_evaluation=50)) == [850, 1000]
    # One there is always: nothing is saved that was not measured.
    assert evaluation_steps(1000, steps_per_evaluation=1e6) == {1000}


@pytest.mark.parametrize("flat", [1, 2, 3, 17, 400, 12345])
def test_fewest_steps_hold_the_flat_stretch(flat: int) -> None:
    total = total_with_decay_from(flat)
    assert steps_before_decay(total) == flat
    assert steps_before_decay(total - 1) <= flat
    assert total < flat / 0.4 + 1


def test_budget() -> None:
    assert Budget(epochs=3).total_steps(17) == 51
    assert Budget(steps=40).total_steps(17) == 40
    assert Budget(deadline=9.0).total_steps(17) is None
    assert Budget().total_steps(17) is None
    assert Budget(steps=40, plans=((0, 60), (30, 40))).total_steps(17) == 60


def test_steps_of_evaluations_are_rounded_up() -> None:
    assert evaluation_steps(10, steps_per_evaluation=0.01) == {4, 6, 7, 9, 10}


def plan_of(budget: Budget, steps_per_epoch: int = 17) -> StepPlan:
    return StepPlan(budget, steps_per_epoch, 0.1)


def test_a_run_in_epochs_is_evaluated_after_each() -> None:
    plan = plan_of(Budget(epochs=3))
    assert (plan.total, plan.plans, plan.ends_on_plateau) == (51, [(0, 51)], False)
    assert [step for step in range(60) if plan.is_evaluated_after(step)] == [17, 34, 51]
    assert [plan.is_complete(step) for step in (50, 51, 52)] == [False, True, True]
    assert [plan.evaluations_after(step, 51) for step in (0, 16, 17, 50, 51)] == [3, 3, 2, 1, 0]
    assert [*plan_of(Budget(epochs=3), 1).evaluation_steps(3)] == [1, 2, 3]
    many = plan_of(Budget(epochs=10**12), 3)  # of which none is looked at
    assert many.evaluations_after(4, 3 * 10**12) == 10**12 - 1


def test_a_run_in_steps_is_evaluated_after_fractions_of_them() -> None:
    plan = plan_of(Budget(steps=1000))
    assert plan.plans == [(0, 1000)]
    assert not plan.ends_on_plateau
    evaluated = [step for step in range(1200) if plan.is_evaluated_after(step)]
    assert evaluated == [400, 550, 700, 850, 1000]
    assert plan.evaluations_after(400, 1000) == 4
    assert plan.decay_factor(700) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("steps_per_epoch", "evaluated"), [(1999, [1999, 3998]), (2500, [2000, 4000])]
)
def test_a_run_without_an_end_is_evaluated_each_epoch_but_at_least_each_2000_steps(
    steps_per_epoch: int, evaluated: list[int]
) -> None:
    plan = plan_of(Budget(), steps_per_epoch)
    assert plan.ends_on_plateau
    assert (plan.total, plan.plans) == (None, [])
    assert [step for step in range(1, 4500) if plan.is_evaluated_after(step)] == evaluated
    assert not plan.is_complete(10**9)
    assert plan.decay_factor(10**9) == 1


def test_the_first_plan_of_a_timed_run_counts_from_its_start() -> None:
    plan = plan_of(Budget(deadline=9.0))
    assert (plan.total, plan.ends_on_plateau) == (None, False)
    assert not plan.is_evaluated_after(17)
    plan.add(40, 100)
    assert (plan.total, plan.plans) == (100, [(0, 100)])
    plan.add(70, 80)
    assert (plan.total, plan.plans) == (80, [(0, 100), (70, 80)])
    assert plan.decay_factor(75) == pytest.approx(0.25)
    assert plan.is_evaluated_after(80)
    assert not plan.is_evaluated_after(100)
    again = plan_of(Budget(deadline=9.0))
    for _ in range(2):
        again.restore(plan.plans)
        assert again.plans == plan.plans
        assert again.decay_factor(75) == plan.decay_factor(75)


def test_a_repeated_run_changes_its_plan_where_the_first_one_did() -> None:
    plan = plan_of(Budget(steps=40, plans=((0, 60), (30, 45), (35, 40))))
    assert (plan.total, plan.plans) == (60, [(0, 60)])
    found = {step: plan.replayed_total(step) for step in range(60)}
    assert {step: total for step, total in found.items() if total} == {30: 45, 35: 40}


@pytest.mark.parametrize(
    ("epoch", "cost", "probed"),
    [
        (25, 1.0, [25, 50, 75, 100]),  # once an epoch
        (5, 9.0, [30, 60, 90]),  # where steps read more than three times as much between them
        (5, 9.1, [31, 62, 93]),
    ],
)
def test_a_timed_run_is_evaluated_before_its_plan(
    epoch: int, cost: float, probed: list[int]
) -> None:
    plan = StepPlan(Budget(deadline=9.0), epoch, cost)
    assert [step for step in range(1, 101) if plan.is_probed_after(step)] == probed
    plan.add(40, 100)
    assert not any(map(plan.is_probed_after, range(1, 101)))
    for budget in (Budget(), Budget(steps=99), Budget(epochs=3)):
        others = StepPlan(budget, epoch, cost)
        assert not any(map(others.is_probed_after, range(1, 101)))


@pytest.mark.parametrize("sign", [1, -1])
def test_validation_stagnates_after_three_evaluations_or_three_tenths_of_all(sign: int) -> None:
    def reached(values: list[float]) -> list[bool]:
        stagnation = Stagnation(higher_is_better=sign > 0)
        found = []
        for value in values:
            stagnation.update(sign * value)
            found.append(stagnation.reached)
            again = Stagnation(higher_is_better=sign > 0)
            again.restore(stagnation.state())
            stagnation = again
        return found

    assert reached([1, 2, 2, 1]) == [False] * 4
    assert reached([1, 2, 2, 1, 0]) == [False] * 4 + [True]
    assert reached([1, 2, 2, 1, 2.5, 0]) == [False] * 6  # an improvement counts anew
    # Of twenty, six.
    rising = [float(n) for n in range(14)]
    assert reached([*rising, 0, 0, 0, 0, 0, 0]) == [False] * 19 + [True]


def test_a_run_cuts_its_rate_three_times_after_two_evaluations_without_improvement_each() -> None:
    plateau = ReduceOnPlateau()
    cuts = [plateau.update(False) for _ in range(7)]
    assert cuts == [False, True, False, True, False, True, False]
    assert plateau.scale == pytest.approx(0.3**3)
    assert not plateau.finished
    assert not plateau.update(False)
    assert plateau.finished


def test_a_plateau_continues_from_its_state() -> None:
    plateau = ReduceOnPlateau()
    for improved in (False, False, True, False):
        plateau.update(improved)
    again = ReduceOnPlateau()
    again.restore(plateau.state())
    assert again.state() == plateau.state()
    assert again.update(False)
    assert again.scale == pytest.approx(0.09)


def test_plateau_waits_cuts_and_ends() -> None:
    plateau = ReduceOnPlateau(patience=1, cuts=2, factor=0.5)
    scales = []
    for improved in (True, False, True, False, False, False, False, False):
        assert not plateau.finished
        cut = plateau.update(improved)
        scales.append((cut, plateau.scale))
    assert scales == [
        (False, 1.0),
        (False, 1.0),
        (False, 1.0),
        (False, 1.0),
        (True, 0.5),
        (False, 0.5),
        (True, 0.25),
        (False, 0.25),
    ]
    assert not plateau.update(False)
    assert plateau.finished


def test_an_improvement_gives_a_plateau_its_patience_back() -> None:
    plateau = ReduceOnPlateau(patience=2)
    for _ in range(20):
        assert not plateau.update(False)
        assert not plateau.update(False)
        assert not plateau.update(True)
    assert not plateau.finished
    assert plateau.scale == 1.0
