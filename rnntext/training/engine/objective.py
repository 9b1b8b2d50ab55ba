"""The interface of a training objective, and functions that the objectives share.

Knows: how the rows of a batch are split over the ranks, which part of the validation data a quick
evaluation reads, and how many batches an epoch has. Does not know: a particular task, optimizers,
or when a run ends. The order of an objective's batches depends only on its seed and on the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.store import Array
from rnntext.training.engine.distributed import Ranks
from rnntext.training.events import Metrics

Batch = Any


class Objective(Protocol):
    """A task to train a model on: batches, their loss and validation metrics."""

    metric: str  # selects the best checkpoint
    higher_is_better: bool
    steps_per_epoch: int
    quick_fraction: float  # of the validation data, which a quick evaluation reads
    steps_per_quick_evaluation: float  # steps that read as many tokens as a quick evaluation

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, shuffled by its own seed, from batch `start` on."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        """Return the mean loss with its autograd graph, and the number of tokens. With several
        ranks, the mean over the ranks of their losses is the mean loss of the whole batch, and
        the number of tokens is that of the whole batch."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that are carried from batch to batch; the same on all ranks."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from the tensors that `state` returned."""

    def evaluate(self, model: Any, *, quick: bool = False) -> Metrics:
        """Return metrics on the validation data, or on a fixed part of long data if `quick`."""

    def evaluate_sample(self, model: Any) -> float:
        """Evaluate a small part of the validation data; return the fraction that was read."""


def shard_rows(ranks: Ranks, rows: int) -> tuple[slice, bool]:
    """Return this rank's rows of a batch, and whether their loss counts. A rank without rows gets
    the first row, which does not count, because every rank must take part in the step."""
    shard = ranks.shard(rows)
    return (shard, True) if shard.start < shard.stop else (slice(0, 1), False)


def random_subset(lengths: Sequence[int], tokens: int, seed: int) -> list[int]:
    """Return the sorted indices of a random subset that has at least `tokens` tokens, or of
    everything if there are fewer tokens. The same seed gives the same subset."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    reached = np.cumsum(np.array(lengths)[order])
    return sorted(order[: int(np.searchsorted(reached, tokens)) + 1].tolist())


def epoch_batches(epochs: BucketedEpochs, count: int, seed: Sequence[int]) -> Iterator[Array]:
    """Yield exactly `count` batches of an epoch. The jitter of lengths changes the number of
    batches by a few, so the epoch is cut short or begins again."""
    again = (epochs.batches(np.random.default_rng(seed)) for _ in repeat(None))
    return islice(chain.from_iterable(again), count)
