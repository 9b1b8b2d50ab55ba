"""Defaults of a run, which depend on the data, the budget and the options, never on the clock."""

from __future__ import annotations

from typing import Any

import pytest

from rnntext.training import recipes
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, has_crf
from rnntext.training.tasks.base import get_task

KB, MB = 1_000, 1_000_000


def options(task: str = "lm", **given: object) -> TrainingOptions:
    return TrainingOptions(task=task, data=("text",), **given)  # type: ignore[arg-type]


def choose_preset(options: TrainingOptions, characters: int) -> str:
    return get_task(options.task).choose_preset(options, characters)


def choose_recipe(options: TrainingOptions, characters: int, examples: int) -> Recipe:
    return get_task(options.task).choose_recipe(options, characters, examples)


def choose_tokenizer(options: TrainingOptions, characters: int) -> tuple[str, int, bool]:
    defaults = get_task(options.task).tokenizer_defaults
    return recipes.choose_tokenizer(options, characters, defaults)


@pytest.mark.parametrize(
    ("characters", "budget", "preset"),
    [
        (100 * KB, {}, "tiny"),
        (100 * KB, {"minutes": 60.0}, "tiny"),
        (5 * MB, {}, "small"),
        (100 * MB, {}, "medium"),
        (100 * MB, {"epochs": 1}, "medium"),
        (100 * MB, {"minutes": 60.0}, "small"),
        (100 * MB, {"steps": 90_000}, "small"),
    ],
)
def test_a_language_model_grows_with_text_and_time(
    characters: int, budget: dict[str, Any], preset: str
) -> None:
    assert choose_preset(options(**budget), characters) == preset
    recipe = choose_recipe(options(**budget), characters, 1000)
    assert recipe == choose_recipe(options(**budget, preset=preset), characters, 1000)


def test_a_budget_in_minutes_and_one_in_steps_choose_the_same() -> None:
    for characters in (100 * KB, 5 * MB, 100 * MB):
        timed, counted = options(minutes=3.0), options(steps=700)
        assert choose_recipe(timed, characters, 9) == choose_recipe(counted, characters, 9)
        assert choose_tokenizer(timed, characters) == choose_tokenizer(counted, characters)


def test_less_text_means_more_dropout_and_smaller_batches() -> None:
    little, more, much = (choose_recipe(options(), n, 1000) for n in (100 * KB, 5 * MB, 100 * MB))
    assert little.dropout > more.dropout >= much.dropout
    assert little.batch_size < more.batch_size < much.batch_size
    assert little.hidden < more.hidden < much.hidden


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_a_vocabulary_grows_with_the_square_root_of_the_text(task: str) -> None:
    sizes = [choose_tokenizer(options(task), n)[1] for n in (KB, 60 * KB, 1500 * KB, 10_000 * MB)]
    assert sizes[0] == 600
    assert sizes[1] < sizes[2] < sizes[3] == 16_000
    assert sizes[2] == pytest.approx(5 * sizes[1], rel=0.03)


def test_vocabularies_are_larger_for_classifiers_and_taggers() -> None:
    sizes = {task: choose_tokenizer(options(task), MB)[1] for task in ("lm", "classify", "tag")}
    assert sizes["classify"] == sizes["tag"] == 4 * sizes["lm"]


def test_options_override_the_defaults() -> None:
    given = options(cell="gru", layers=3, hidden=50, lr=0.1, dropout=0.2, batch_size=3, bptt=9)
    recipe = choose_recipe(given, 5 * MB, 1000)
    assert (recipe.cell, recipe.layers, recipe.hidden, recipe.embed) == ("gru", 3, 50, 50)
    assert (recipe.learning_rate, recipe.dropout, recipe.batch_size, recipe.bptt) == (
        0.1,
        0.2,
        3,
        9,
    )


@pytest.mark.parametrize("task", ["lm", "classify", "tag"])
def test_dropout_of_0_turns_off_token_dropout_too(task: str) -> None:
    recipe = choose_recipe(options(task, dropout=0.0), MB, 1000)
    assert (recipe.dropout, recipe.token_dropout) == (0, 0)


def test_many_tags_have_no_random_field_unless_it_is_asked_for() -> None:
    few, many = ([f"T{number}" for number in range(count)] for count in (100, 101))
    spans, most = ([f"B-{number}" for number in range(count)] for count in (256, 257))
    found = [has_crf(options("tag"), tags) for tags in (few, many, spans, most)]
    assert found == [True, False, True, False]
    assert has_crf(options("tag", crf=True), most)
    assert not has_crf(options("tag", crf=False), few)
