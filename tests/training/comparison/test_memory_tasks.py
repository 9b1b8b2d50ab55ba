"""Where the answer of an example stands, and that no test example occurs in training."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.long_memory import TASKS
from rnntext.training.comparison.long_memory import MEMORY_TASKS
from rnntext.training.comparison.memory_tasks import (
    Recall,
    held_out_batch,
    is_held_out,
    training_batch,
)


def text(task: str, ids: np.ndarray) -> str:
    return " ".join(MEMORY_TASKS[task].vocabulary[id_] for id_ in ids)


def test_the_tasks_have_the_names_of_the_command() -> None:
    assert tuple(MEMORY_TASKS) == TASKS


@pytest.mark.parametrize("distance", [1, 5])
def test_recall_asks_for_the_letter_after_the_mark(distance: int) -> None:
    rng = np.random.default_rng(0)
    lengths = set()
    for _ in range(20):
        batch = training_batch(Recall(), rng, distance, 3)
        for ids, answer in zip(batch.ids, batch.answers, strict=True):
            before, _, after = text("recall", ids).partition("! ")
            letters = after.split()
            assert letters[0] == Recall.answers[answer]
            assert len(letters) == distance + 2
            assert letters[-1] == "?"
            assert set(letters[:-1]) | set(before.split()) <= set("abcdefgh")
            lengths.add(len(before.split()))
    assert {0, 8} < lengths <= set(range(9))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("distance", [3, 4, 8])
def test_no_test_example_occurs_in_training(task: str, distance: int) -> None:
    rng = np.random.default_rng(0)
    trained, tested = set(), set()
    for _ in range(200):
        trained |= {
            text(task, i) for i in training_batch(MEMORY_TASKS[task], rng, distance, 32).ids
        }
        tested |= {text(task, i) for i in held_out_batch(MEMORY_TASKS[task], rng, distance, 4).ids}
    assert len(trained) > 500
    assert len(tested) > 500
    assert not trained & tested


def test_what_is_held_out_does_not_depend_on_the_answer() -> None:
    """Contexts are judged before the answer is placed, so that all answers of one go together."""
    assert is_held_out(np.array([[1, 4], [2, 4], [0, 0], [3, 12]])).tolist() == [
        True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_each_context_of_the_test_has_every_answer(task: str) -> None:
    """So whoever does not see the token that holds the answer is right exactly as often as
    chance."""
    made = MEMORY_TASKS[task]
    batch = held_out_batch(made, np.random.default_rng(0), 5, 3)
    count = len(made.answers)
    assert batch.answers.tolist() == list(range(count)) * 3
    for first in range(0, 3 * count, count):
        differing = np.flatnonzero(np.ptp(batch.ids[first : first + count], axis=0))
        assert len(differing) == 1  # one token tells the answer
        end = batch.ids.shape[1]
        assert end - differing[0] - 1 == 5 + (task == "recall")  # after which `?` stands


@pytest.mark.parametrize("task", TASKS)
def test_examples_follow_from_the_seed(task: str) -> None:
    first, second, other = (
        training_batch(MEMORY_TASKS[task], np.random.default_rng(seed), 9, 4).ids
        for seed in (1, 1, 2)
    )
    assert first.tolist() == second.tolist() != other.tolist()
