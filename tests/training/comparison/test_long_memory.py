"""The networks of `compare memory`, their training and what is certain of their accuracies.

How far a trained network remembers is measured by `benchmarks/long_memory.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnntext.errors import UsageError
from rnntext.long_memory import TASKS, TITLES, WINDOW_WIDTH, Measured, MemoryOptions
from rnntext.training.comparison.long_memory import (
    MEMORY_TASKS,
    accuracy,
    make_network,
    measure,
    train,
)

torch.set_num_threads(1)

SMALL = MemoryOptions(("recall", "agreement"), (3, 10), steps=2, seed=5, seeds=2, threads=1)


def inputs(task: str, rows: int, length: int) -> torch.Tensor:
    size = len(MEMORY_TASKS[task].vocabulary)
    return torch.from_numpy(np.random.default_rng(0).integers(0, size, (rows, length)))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", TITLES)
def test_logits_have_a_row_an_example(task: str, model: str) -> None:
    network = make_network(model, MEMORY_TASKS[task], 0)
    for length in (2, WINDOW_WIDTH, 11):
        found = network(inputs(task, 3, length))
        assert found.shape == (3, len(MEMORY_TASKS[task].answers))


@pytest.mark.parametrize("model", TITLES)
def test_only_the_window_does_not_see_what_lies_beyond_it(model: str) -> None:
    network = make_network(model, MEMORY_TASKS["recall"], 0)
    ids = inputs("recall", 1, 12)
    changed = {}
    for place in range(12):
        other = ids.clone()
        other[0, place] = (other[0, place] + 1) % 8
        changed[place] = not torch.equal(network(other), network(ids))
    first = 12 - WINDOW_WIDTH if model == "window" else 0
    assert [place for place in range(12) if changed[place]] == list(range(first, 12))


@pytest.mark.parametrize(("task", "chance"), [("recall", 1 / 8), ("agreement", 1 / 2)])
def test_the_window_is_at_chance_beyond_its_width(task: str, chance: float) -> None:
    """Whatever its weights are: each context of the test comes with every answer."""
    network = make_network("window", MEMORY_TASKS[task], 1)
    train(network, MEMORY_TASKS[task], 9, steps=5, seed=1)
    # Equal rows of a batch may differ in the last bit, which decides where two answers tie.
    assert accuracy(network, MEMORY_TASKS[task], 9, seed=1) == pytest.approx(chance, abs=0.01)


def test_accuracy_is_the_share_of_right_answers() -> None:
    class Oracle(torch.nn.Module):
        """Knows where the letter stands; `wrong` letters it does not know."""

        def __init__(self, wrong: int) -> None:
            super().__init__()
            self.wrong = wrong

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            letter = ids[:, -6]
            letter = torch.where(letter < self.wrong, (letter + 1) % 8, letter)
            return torch.nn.functional.one_hot(letter, 8)

    recall = MEMORY_TASKS["recall"]
    assert accuracy(Oracle(0), recall, 4, seed=3) == 1.0
    assert accuracy(Oracle(2), recall, 4, seed=3) == 0.75


@pytest.mark.parametrize("model", TITLES)
def test_training_moves_every_weight_and_follows_from_the_seed(model: str) -> None:
    task = MEMORY_TASKS["recall"]
    start, *trained = (make_network(model, task, 4) for _ in range(4))
    for network, seed in zip(trained, (4, 4, 6), strict=True):
        train(network, task, 4, steps=3, seed=seed)
    for (name, before), once, again, other in zip(
        start.named_parameters(), *(network.parameters() for network in trained), strict=True
    ):
        assert not torch.equal(before, once), name
        assert torch.equal(once, again), name
        assert not torch.equal(once, other), name


def test_the_loss_falls_on_what_is_easily_learned() -> None:
    """The window sees a letter that is one step back."""
    task = MEMORY_TASKS["recall"]
    network = make_network("window", task, 0)
    before = accuracy(network, task, 1, seed=0)
    train(network, task, 1, steps=300, seed=0)
    assert accuracy(network, task, 1, seed=0) > before + 0.5


def test_every_model_is_measured_at_every_task_and_distance() -> None:
    found = list(measure(SMALL))
    assert [(each.task, each.model) for each in found] == [
        (task, model) for task in TASKS for model in TITLES
    ]
    for each in found:
        assert list(each.accuracies) == [3, 10]
        assert {len(values) for values in each.accuracies.values()} == {2}
        network = make_network(each.model, MEMORY_TASKS[each.task], 0)
        assert each.parameters == sum(weight.numel() for weight in network.parameters())
    assert {each.task: each.chance for each in found} == {"recall": 0.125, "agreement": 0.5}
    by_name: dict[tuple[str, str], Measured] = {(each.task, each.model): each for each in found}
    for task in TASKS:
        window = by_name[task, "window"]
        assert window.mean(10) == pytest.approx(window.chance, abs=0.01)


def test_a_distance_that_a_task_does_not_have_is_refused_before_training() -> None:
    options = MemoryOptions(TASKS, (2, 10))
    with pytest.raises(UsageError, match="agreement are at least 3, not 2: change --distances"):
        measure(options)
    measure(MemoryOptions(("recall",), (1, 2)))
