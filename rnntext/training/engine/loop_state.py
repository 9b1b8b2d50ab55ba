"""The state of a training loop between two steps, and the random generators in it.

Knows: how tensors are named, and how each rank's generators are saved and restored. Does not know:
files, or what the tensors mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnntext.training.engine.distributed import Ranks

# Name prefix of the weights of the best evaluation so far.
BEST_WEIGHTS = "best."


@dataclass(frozen=True, slots=True)
class LoopState:
    """Tensors by name, and values of plain JSON."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def tensors_of(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with `prefix`, named without it."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `tensors` with `prefix` before each name."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def random_states(ranks: Ranks) -> dict[str, Tensor]:
    """Return the states of the random generators, which dropout draws from, by kind of device:
    bytes of shape (ranks, bytes). All ranks must call it together."""
    states = {}
    for kind, state in _own_random_states().items():
        of_ranks = state.new_zeros(ranks.size, len(state))
        of_ranks[ranks.rank] = state
        states[kind] = ranks.all_reduce_sum(of_ranks)
    return states


def restore_random_states(states: Mapping[str, Tensor], rank: int) -> None:
    """Restore the generators of `rank` from what `random_states` returned."""
    # `set_rng_state` ignores a view's offset and reads its storage from the start: clone the row.
    torch.set_rng_state(states["cpu"][rank].clone())
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][rank].clone())


def _own_random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states
