"""What a run chooses for itself: by the data, the time and the options, never by the clock."""

from __future__ import annotations

import pytest

from rnntext.config import TrainingOptions
from rnntext.training.presets import choose_preset, choose_recipe, choose_tokenizer

KB, MB = 1_000, 1_000_000


def options(task: str = "lm", **given: object) -> TrainingOptions:
    return TrainingOptions(task=task, data=("text",), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("characters", "minutes", "preset"),
    [
        (100 * KB, None, "tiny"),
        (100 * KB, 60.0, "tiny"),
        (5 * MB, None, "small"),
        (100 * MB, None, "medium"),
        (100 * MB, 5.0, "small"),
        (100 * MB, 60.0, "medium"),
    ],
)
def test_a_language_model_grows_with_text_and_time(
    characters: int, minutes: float | None, preset: str
) -> None:
    assert choose_preset("lm", characters, minutes) == preset
    recipe = choose_recipe(options(minutes=minutes), characters, 1000)
    assert recipe == choose_recipe(options(minutes=minutes, preset=preset), characters, 1000)


def test_little_text_is_read_with_more_dropout_in_smaller_batches() -> None:
    little, more, much = (choose_recipe(options(), n, 1000) for n in (100 * KB, 5 * MB, 100 * MB))
    assert little.dropout > more.dropout >= much.dropout
    assert little.batch_size < more.batch_size < much.batch_size
    assert little.hidden < more.hidden < much.hidden


def test_a_vocabulary_grows_with_the_root_of_the_text() -> None:
    sizes = [choose_tokenizer(options(), n)[1] for n in (KB, 100 * KB, 10 * MB, 10_000 * MB)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 600
    assert sizes[2] == pytest.approx(10 * sizes[1], rel=0.01)
    assert sizes[3] == 16_000


def test_what_is_given_is_taken() -> None:
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
def test_no_dropout_means_none_at_all(task: str) -> None:
    recipe = choose_recipe(options(task, dropout=0.0), MB, 1000)
    assert (recipe.dropout, recipe.token_dropout) == (0, 0)
