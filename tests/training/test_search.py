"""Successive halving over tables of trials, and when a better figure is more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from rnntext.json_fields import FieldError
from rnntext.training.search import (
    Plan,
    Search,
    Trial,
    is_better,
    is_flattered,
    margin_of,
    plan_search,
    saved_options,
    score,
    table_of,
    trials_in,
)

# Accuracy by candidate: 2 is the best, 0 (the defaults) the worst but one.
FIGURES = (0.5, 0.6, 0.9, 0.4, 0.7, 0.8, 0.65, 0.55)
SEARCH = Search(Plan(8, 10.0), ("f1", "accuracy"))


def row(number: int, candidate: int, accuracy: float, trial: int = 1, answers: int = 100) -> Trial:
    metrics = {"accuracy": accuracy, "log_loss": 0.5}
    return Trial(trial, number, candidate, {}, 1.0, metrics=metrics, answers=answers)


def failed(number: int, candidate: int) -> Trial:
    return Trial(1, number, candidate, {}, 1.0, error="it diverged")


def run_all(search: Search, outcome: Callable[[int, int], Trial]) -> list[Trial]:
    table: list[Trial] = []
    while (found := search.next(table)) is not None:
        table.append(outcome(*found))
    return table


def test_the_better_half_goes_on_and_the_defaults_always_do() -> None:
    table = run_all(SEARCH, lambda number, candidate: row(number, candidate, FIGURES[candidate]))
    rounds = [[t.candidate for t in table if t.round == n] for n in (1, 2, 3)]
    assert rounds == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 5, 4], [0, 2]]
    assert len(table) == SEARCH.plan.trials() == 14
    assert [SEARCH.plan.trial_seconds(n) for n in (1, 2, 3)] == [10.0, 20.0, 40.0]


def test_a_search_goes_on_from_any_part_of_its_table() -> None:
    table = run_all(SEARCH, lambda number, candidate: row(number, candidate, FIGURES[candidate]))
    for length in range(len(table)):
        after = table[length]
        assert SEARCH.next(table[:length]) == (after.round, after.candidate)


def test_what_failed_takes_no_part_in_the_next_round() -> None:
    def outcome(number: int, candidate: int) -> Trial:
        fails = candidate in (2, 5)
        return failed(number, candidate) if fails else row(number, candidate, FIGURES[candidate])

    table = run_all(SEARCH, outcome)
    assert [t.candidate for t in table if t.round == 2] == [0, 4, 6, 1]
    nearly_all = run_all(SEARCH, lambda n, c: row(n, c, 0.5) if c == 3 else failed(n, c))
    assert [t.round for t in nearly_all] == [1] * 8  # one alone is not tried again


def test_without_the_defaults_the_others_go_on() -> None:
    table = run_all(SEARCH, lambda n, c: failed(n, c) if c == 0 else row(n, c, FIGURES[c]))
    assert [t.candidate for t in table if t.round == 3] == [2, 5]
    choice = SEARCH.choose(table)
    assert choice is not None
    assert (choice.trial.candidate, choice.default) == (2, None)


@pytest.mark.parametrize(
    ("seconds", "candidates", "planned"),
    [
        (11.9, 16, None),  # 2 trials of at least 6 s
        (12.0, 16, Plan(2, 6.0)),
        (48.0, 16, Plan(4, 6.0)),  # 4 + 2 * 2 times 6 s
        (240.0, 16, Plan(8, 10.0)),  # 8 + 4 * 2 + 2 * 4 times 10 s
        (3840.0, 16, Plan(16, 60.0)),
        (3840.0, 15, Plan(8, 160.0)),
        (3840.0, 1, None),
        (-5.0, 16, None),
    ],
)
def test_the_budget_decides_how_many_are_tried(
    seconds: float, candidates: int, planned: Plan | None
) -> None:
    assert plan_search(seconds, candidates) == planned


@pytest.mark.parametrize(("size", "total"), [(2, 2), (4, 8), (8, 24), (16, 64)])
def test_all_trials_take_the_planned_time(size: int, total: int) -> None:
    plan = Plan(size, 1.0)
    rounds = [n for n in range(1, 9) if plan.size(n)]
    assert sum(plan.size(n) * plan.trial_seconds(n) for n in rounds) == total


def test_the_metric_is_the_first_that_trials_have() -> None:
    assert SEARCH.target([failed(1, 0), row(1, 1, 0.5)]) == "accuracy"
    assert SEARCH.target([]) == ""
    assert replace(SEARCH, targets=("log_loss",)).target([row(1, 0, 0.5)]) == "log_loss"


def test_the_score_of_a_loss_is_larger_for_less() -> None:
    trial = replace(row(1, 0, 0.8), metrics={"accuracy": 0.8, "log_loss": 0.5, "perplexity": 7.0})
    assert score(trial, "accuracy") == 0.8
    assert score(trial, "log_loss") == -0.5
    assert score(trial, "perplexity") == pytest.approx(-math.log(7))
    assert score(trial, "f1") == score(replace(trial, error="x"), "accuracy") == -math.inf
    assert score(replace(trial, metrics={"accuracy": math.nan}), "accuracy") == -math.inf


def test_margins() -> None:
    trial = replace(
        row(1, 0, 0.8, answers=400), metrics={"accuracy": 0.8, "log_loss": 0.5, "perplexity": 7.0}
    )
    assert margin_of(trial, "accuracy") == pytest.approx(0.02)  # sqrt(0.8 * 0.2 / 400)
    assert margin_of(trial, "log_loss") == pytest.approx(0.0125)
    assert margin_of(trial, "perplexity") == pytest.approx(math.log(7) / 40)
    assert margin_of(replace(trial, answers=0), "accuracy") == pytest.approx(0.4)


@pytest.mark.parametrize(("better", "chosen"), [(0.83, 0), (0.85, 3), (0.7, 0)])
def test_the_defaults_stay_within_the_margin(better: float, chosen: int) -> None:
    """The standard error of 0.8 of 100 answers is 0.04."""
    choice = SEARCH.choose([row(1, 0, 0.8), row(1, 3, better)])
    assert choice is not None
    assert choice.trial.candidate == chosen
    assert choice.default is not None
    assert choice.best.candidate == (3 if better > 0.8 else 0)
    assert choice.margin == pytest.approx(0.04)


def test_better_by_more_than_chance() -> None:
    other = row(1, 0, 0.8)
    assert not is_better(row(1, 1, 0.84), other, "accuracy")
    assert is_better(row(1, 1, 0.8401), other, "accuracy")
    assert not is_better(row(1, 1, 0.7), other, "accuracy")
    assert is_better(row(1, 1, 0.1), failed(1, 0), "accuracy")
    for target in ("log_loss", "perplexity"):
        assert is_better(replace(other, metrics={target: 9.0}), failed(1, 0), target)


def test_the_options_of_the_model_that_is_saved() -> None:
    chosen = replace(row(1, 1, 0.9), options={"lr": 0.1}, chosen=True)
    kept = replace(row(1, 2, 0.9), options={"lr": 0.2}, kept=True)
    defaults = row(1, 0, 0.9)
    assert saved_options([defaults, chosen]) == {"lr": 0.1}
    assert saved_options([defaults, chosen, kept]) == {"lr": 0.2}
    assert saved_options([replace(defaults, chosen=True)]) == saved_options([]) == {}
    assert is_flattered([chosen])
    assert not is_flattered([replace(defaults, chosen=True)])
    assert is_flattered([replace(defaults, kept=True)])  # the best of several


def test_trials_for_which_there_is_no_time() -> None:
    table = run_all(SEARCH, lambda number, candidate: row(number, candidate, FIGURES[candidate]))
    assert [SEARCH.missing(table[:n]) for n in range(15)] == list(range(14, -1, -1))
    # The one of two that is left is not tried again.
    assert SEARCH.missing([failed(1, n) for n in range(1, 8)] + [row(1, 0, 0.5)]) == 0


def test_a_choice_compares_trials_of_the_same_length() -> None:
    """Candidate 3 is best in a short trial; in the last round with the defaults 2 is."""
    table = [row(1, 0, 0.5), row(1, 3, 0.99), row(2, 0, 0.7), row(2, 2, 0.9)]
    choice = SEARCH.choose(table)
    assert choice is not None
    assert (choice.trial.round, choice.trial.candidate) == (2, 2)
    # An unfinished round with the defaults alone decides nothing.
    choice = SEARCH.choose([*table, row(3, 0, 0.95)])
    assert choice is not None
    assert choice.trial.round == 2
    best = SEARCH.best(table)
    assert best is not None
    assert best.candidate == 3


def test_nothing_is_chosen_where_nothing_is_done() -> None:
    assert SEARCH.choose([]) is None
    assert SEARCH.choose([failed(1, 0), failed(1, 1)]) is None
    assert SEARCH.best([failed(1, 0)]) is None


def test_the_best_is_the_earliest_of_equals() -> None:
    best = SEARCH.best([row(1, 0, 0.5, 1), row(1, 1, 0.9, 2), row(2, 1, 0.9, 3)])
    assert best is not None
    assert best.trial == 2


def test_a_table_through_its_file() -> None:
    table = (
        Trial(1, 1, 0, {}, 0.5, 29.5, 100, 1234, {"accuracy": 0.75}, 40, chosen=True),
        Trial(2, 1, 1, {"lr": 0.002, "hidden": 96}, 0.5, 3.0, error="it diverged: naïve 你好"),
        Trial(3, 1, 2, {}, 0.5, kept=True),
    )
    content = table_of(table)
    assert content.count(b"\n") == 3
    assert b'"error"' not in content.splitlines()[0]
    assert b'"kept"' not in content.splitlines()[0]
    assert trials_in(content) == table


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"trial": "x"}'])
def test_a_damaged_table(content: bytes) -> None:
    with pytest.raises(FieldError):
        trials_in(content)
