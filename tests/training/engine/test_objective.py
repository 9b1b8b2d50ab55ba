"""Batches split over ranks, random parts of the validation data, and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.objective import epoch_batches, random_subset, shard_rows


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [7, 8, 23])
def test_each_row_belongs_to_one_rank(size: int, rows: int) -> None:
    shards = [shard_rows(Ranks(rank, size), rows) for rank in range(size)]
    assert all(counts for _, counts in shards)
    assert [row for shard, _ in shards for row in range(rows)[shard]] == list(range(rows))
    lengths = [len(range(rows)[shard]) for shard, _ in shards]
    assert max(lengths) - min(lengths) <= 1


def test_a_rank_without_rows_reads_one_that_does_not_count() -> None:
    """An empty batch has no loss, and every rank must take part in the step."""
    shards = [shard_rows(Ranks(rank, 3), 2) for rank in range(3)]
    assert shards == [(slice(0, 1), False), (slice(0, 1), True), (slice(1, 2), True)]


def test_a_random_subset_has_enough_tokens_and_no_more_than_it_needs() -> None:
    lengths = [5, 1, 9, 2, 7, 3, 8]
    for seed in range(20):
        chosen = random_subset(lengths, 11, seed)
        assert chosen == sorted(set(chosen)) == random_subset(lengths, 11, seed)
        sizes = [lengths[index] for index in chosen]
        assert sum(sizes) >= 11
        assert any(sum(sizes) - size < 11 for size in sizes)
    subsets = [random_subset(lengths, 11, seed) for seed in range(20)]
    assert any(one != two for one, two in pairwise(subsets))


def test_a_random_subset_of_little_is_everything() -> None:
    assert random_subset([5, 1, 9], 15, 0) == [0, 1, 2]
    assert random_subset([5, 1, 9], 99, 0) == [0, 1, 2]


class ThreeBatches:
    """An epoch of three batches of one row each."""

    def batches(self, shuffle: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        yield from shuffle.permutation(3).reshape(3, 1)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_an_epoch_has_exactly_its_number_of_batches_in_its_own_order(count: int) -> None:
    epochs: Any = ThreeBatches()
    orders = [
        [int(row) for (row,) in epoch_batches(epochs, count, [3, epoch])]
        for epoch in (0, 0, 1, 2, 3)
    ]
    assert {len(order) for order in orders} == {count}
    assert orders[0] == orders[1]
    assert any(order != orders[0] for order in orders)
    assert sorted(orders[0][:3]) == [0, 1, 2] or count < 3
