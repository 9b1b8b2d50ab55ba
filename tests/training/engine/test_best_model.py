"""The best evaluation of a run: its metric, step and weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from rnntext.training.engine.best_model import BestModel


def model(value: float) -> Any:
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.fill_(value)
    return linear


@pytest.mark.parametrize(
    ("higher", "values", "best"),
    [
        (True, [0.5, 0.7, 0.7, 0.6], [True, True, False, False]),
        (False, [0.5, 0.4, 0.4, 0.6], [True, True, False, False]),
        (False, [-0.5, -0.4, -0.6], [True, False, True]),
    ],
)
def test_only_a_better_value_is_the_best(
    higher: bool, values: list[float], best: list[bool]
) -> None:
    found = BestModel(higher_is_better=higher)
    assert [found.update(v, n, model(n)) for n, v in enumerate(values, 1)] == best
    step = max(n for n, is_best in enumerate(best, 1) if is_best)
    assert found.step == step
    assert found.state() == {"best": values[step - 1], "best_step": step}
    assert found.weights["weight"].tolist() == [[step, step]]


def test_the_weights_are_a_copy() -> None:
    found, trained = BestModel(higher_is_better=True), model(1.0)
    assert (found.step, found.weights) == (0, {})
    found.update(0.5, 1, trained)
    with torch.no_grad():
        trained.weight.fill_(9.0)
    assert found.weights["weight"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("higher", "best", "value", "ends"),
    [
        (True, 100.0, 100.125, True),
        (True, 100.0, 100.0625, False),  # better, and by less than a thousandth
        (True, 100.0, 99.0, False),
        (False, 100.0, 99.875, True),
        (False, 100.0, 99.9375, False),
        (False, 100.0, 101.0, False),
        (False, -100.0, -100.125, True),
        (False, -100.0, -100.0625, False),
        (True, 0.0, 0.0, False),
        (True, 0.0, 1e-9, True),
    ],
)
def test_what_ends_a_plateau(higher: bool, best: float, value: float, ends: bool) -> None:
    found = BestModel(higher_is_better=higher)
    assert found.ends_plateau(value)  # the first evaluation of all
    found.update(best, 1, model(1.0))
    assert found.ends_plateau(value) == ends


def test_a_restored_state_goes_on() -> None:
    found = BestModel(higher_is_better=False)
    weights = {"weight": torch.ones(1, 2)}
    found.restore({"best": 0.5, "best_step": 7}, weights)
    assert (found.step, found.weights) == (7, weights)
    assert not found.update(0.6, 8, model(2.0))
    assert found.update(0.4, 9, model(3.0))
    assert found.state() == {"best": 0.4, "best_step": 9}
