"""The state of a loop: names of tensors, and the random generators of each process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import rnntext.training.engine.loop_state as module
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.loop_state import (
    LoopState,
    prefixed,
    random_states,
    restore_random_states,
)

ONE, TWO = torch.ones(1), torch.ones(2)


@pytest.fixture(autouse=True)
def _generator() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def test_tensors_are_found_by_a_prefix_of_their_names() -> None:
    tensors = {"best.a": ONE, "best.best.b": TWO, "model.best.": ONE, "bes": TWO}
    state = LoopState(tensors, {"step": 3})
    assert state.tensors_of("best.") == {"a": ONE, "best.b": TWO}
    assert state.tensors_of("nothing") == {}
    assert prefixed("best.", {"a": ONE, "best.b": TWO}) == state_without(tensors)


def state_without(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensors[name] for name in ("best.a", "best.best.b")}


def test_a_generator_goes_on_where_it_was() -> None:
    torch.manual_seed(3)
    states = random_states(SINGLE_PROCESS)
    drawn = torch.rand(5)
    assert states["cpu"].shape[0] == 1
    torch.manual_seed(4)
    restore_random_states(states, 0)
    assert torch.equal(torch.rand(5), drawn)


def test_each_process_has_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "all_reduce_sum", lambda self, tensor: tensor.clone())
    rows, drawn = [], []
    for rank in range(3):
        torch.manual_seed(rank)
        rows.append(random_states(Ranks(rank, 3))["cpu"])
        drawn.append(torch.rand(5))
        assert rows[-1].shape[0] == 3
        assert [bool(row.any()) for row in rows[-1]] == [n == rank for n in range(3)]
    states = {"cpu": rows[0] + rows[1] + rows[2]}  # as the processes add them
    for rank in (1, 2, 0):
        restore_random_states(states, rank)
        assert torch.equal(torch.rand(5), drawn[rank])


@pytest.mark.parametrize("available", [False, True])
def test_the_generator_of_a_gpu(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    own, restored = torch.tensor([1, 2, 3], dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: own)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: restored.append(state.tolist()))
    states = random_states(SINGLE_PROCESS)
    assert ("cuda" in states) == available
    # A state that was saved with a GPU may be restored without one, and the other way round.
    states["cuda"] = torch.tensor([[9, 9, 9], [4, 5, 6]], dtype=torch.uint8)
    states["cpu"] = states["cpu"].repeat(2, 1)
    restore_random_states(states, 1)
    assert restored == ([[4, 5, 6]] if available else [])
    del states["cuda"]
    restore_random_states(states, 1)
    assert len(restored) == available


def test_the_prefix_of_the_best_weights_is_part_of_the_format() -> None:
    assert module.BEST_WEIGHTS == "best."
