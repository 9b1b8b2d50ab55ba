"""What each task learns, as the loop sees it, and what the tasks have in common.

Knows: how a batch is shared among ranks, which part of the validation data a quick evaluation
looks at, and how an epoch has so many batches. Does not know: any one task, optimisers or when to
stop. Each objective has the order of its batches from its seed and the epoch's number alone.
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

# Validation tokens of a quick evaluation. A classifier or tagger needs more examples than that to
# be told from another.
QUICK_TOKENS = 100_000
# Tokens that are read to see how long an evaluation takes.
SAMPLE_TOKENS = 10_000


class Objective(Protocol):
    """What is learned: batches, their loss, and how good a model is."""

    metric: str  # the one that chooses among checkpoints
    higher_is_better: bool
    steps_per_epoch: int
    quick_share: float  # of the validation data: what a quick evaluation reads
    quick_steps: float  # how many steps read as many tokens as that

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """One epoch, in the order of its own seed, without its first `start` batches."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        """The mean loss with its gradient graph, and how many tokens it is the mean of. With
        several ranks the mean of their losses is that over the whole batch, and the tokens are
        those of the whole batch."""

    def state(self) -> dict[str, Tensor]:
        """What is carried from batch to batch; the same on all ranks."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from such a state."""

    def evaluate(self, model: Any, *, quick: bool = False) -> Metrics:
        """Validation metrics; `quick` looks at a part of the data where all of it is long."""

    def evaluate_sample(self, model: Any) -> float:
        """Do a part of what an evaluation of everything does; how large a part."""


def shard_rows(ranks: Ranks, rows: int) -> tuple[slice, bool]:
    """This rank's part of a batch's rows, and whether it counts: where there is no row for it,
    it takes the first so that it can take part in the step."""
    own = ranks.shard(rows)
    return (own, True) if own.start < own.stop else (slice(0, 1), False)


def random_subset(lengths: Sequence[int], tokens: int, seed: int) -> list[int]:
    """Indices of a random part, the same for the same seed: the fewest of so many tokens in all,
    or everything where that is less."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    reached = np.cumsum(np.array(lengths)[order])
    return sorted(order[: int(np.searchsorted(reached, tokens)) + 1].tolist())


def epoch_batches(epochs: BucketedEpochs, count: int, seed: Sequence[int]) -> Iterator[Array]:
    """The batches of an epoch, so many: their number may vary by a few with the jitter of
    lengths, an epoch's does not."""
    again = (epochs.batches(np.random.default_rng(seed)) for _ in repeat(None))
    return islice(chain.from_iterable(again), count)
