"""Candidates of a search: seeded draws around the defaults of the options that are open."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from rnntext.tasks import TASKS
from rnntext.training.options import TrainingOptions, has_option
from rnntext.training.recipes import Recipe
from rnntext.training.search_space import (
    BATCH,
    DROPOUT,
    LAYERS,
    LEARNING_RATE,
    WIDTH,
    Chosen,
    draw_candidates,
    searched,
)
from rnntext.training.tasks.base import get_task

RECIPE = Recipe("lstm", 1, 64, 96, True, 32, 1e-3, 0.5, 0.3, 0, 400)
SPACE = (LEARNING_RATE, DROPOUT, WIDTH, LAYERS, BATCH)


def test_the_first_candidate_is_the_defaults_and_all_differ() -> None:
    found = draw_candidates(SPACE, RECIPE, 16, seed=3)
    assert found[0] == {}
    assert len(found) == 16
    assert all(one != other for n, one in enumerate(found) for other in found[:n])


def test_values_are_around_the_defaults() -> None:
    found = draw_candidates(SPACE, RECIPE, 200, seed=1)
    values: dict[str, set[Any]] = {}
    for changes in found:
        for name, value in changes.items():
            values.setdefault(name, set()).add(value)
    assert values.keys() == {"lr", "dropout", "hidden", "layers", "batch_size"}
    assert 3e-4 < min(values["lr"]) < 7e-4
    assert 1.5e-3 < max(values["lr"]) < 3.1e-3
    assert values["hidden"] == {32, 48, 80, 96, 112, 128}  # 64 is the default: no change
    assert values["batch_size"] == {16, 24, 40, 48, 56, 64}
    assert values["layers"] == {2}
    assert values["dropout"] == {0.1, 0.2, 0.3, 0.4, 0.6, 0.7}
    # Half of the options keep their default.
    assert 1.5 < np.mean([len(changes) for changes in found]) < 2.7


def test_the_seed_decides_and_fewer_are_the_first_of_more() -> None:
    found = draw_candidates(SPACE, RECIPE, 8, seed=5)
    assert draw_candidates(SPACE, RECIPE, 8, seed=5) == found
    assert draw_candidates(SPACE, RECIPE, 4, seed=5) == found[:4]
    assert draw_candidates(SPACE, RECIPE, 8, seed=6) != found


def test_there_are_no_more_candidates_than_combinations() -> None:
    assert draw_candidates([LAYERS], RECIPE, 8, seed=0) == [{}, {"layers": 2}]
    assert draw_candidates([], RECIPE, 8, seed=0) == [{}]


def test_values_stay_in_the_range_of_the_option() -> None:
    fast = replace(RECIPE, learning_rate=9.0)
    rates = [c["lr"] for c in draw_candidates([LEARNING_RATE], fast, 50, seed=0)[1:]]
    assert max(rates) == 10
    assert type(draw_candidates([WIDTH], RECIPE, 2, seed=0)[1]["hidden"]) is int


def test_what_the_user_gave_is_not_searched() -> None:
    def names(**given: Any) -> list[str]:
        options = TrainingOptions("classify", ("a.csv",), **given)
        return [dimension.option for dimension in searched(SPACE, options)]

    assert names() == ["lr", "dropout", "hidden", "layers", "batch_size"]
    assert names(lr=0.1, dropout=0.0) == ["hidden", "layers", "batch_size"]
    assert names(preset="small") == ["lr", "dropout", "batch_size"]
    assert names(init="DIR") == ["lr", "dropout", "batch_size"]


@pytest.mark.parametrize("task", TASKS)
def test_the_space_of_a_task_is_of_its_options(task: str) -> None:
    space = get_task(task).search_space
    assert len(space) > 3
    recipe_fields = {field.name for field in fields(Recipe)}
    for dimension in space:
        assert has_option(task, dimension.option)
        assert dimension.field in recipe_fields
        # The option sets the field of the recipe that has its default.
        value = Chosen(dimension.option, dimension.field, (7,)).values[0]
        value = 0.25 if dimension.option in ("lr", "dropout") else value
        options = TrainingOptions(task, ("a",), **{dimension.option: value})
        assert getattr(RECIPE.override(options), dimension.field) == value


def test_what_a_search_compares() -> None:
    def targets(task: str, **given: Any) -> tuple[str, ...]:
        return get_task(task).targets(TrainingOptions(task, ("a",), **given))

    assert targets("lm") == ("perplexity",)
    assert targets("classify") == ("log_loss",)
    assert targets("classify", select="macro_f1") == ("macro_f1",)
    assert targets("tag") == ("f1", "accuracy")
