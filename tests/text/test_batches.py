"""Rows to rectangles: padding, and buckets of like length."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnntext.text.batches import (
    blocks,
    buckets,
    even_width,
    pad,
    split_into_windows,
    window_counts,
)

LENGTHS = st.lists(st.integers(0, 60), max_size=80).map(lambda x: np.array(x, np.int64))


def test_pad() -> None:
    rows = [np.array([5, 6, 7]), np.array([], np.int32), np.array([8], np.int32)]
    batch, lengths = pad(rows)
    assert batch.tolist() == [[5, 6, 7], [0, 0, 0], [8, 0, 0]]
    assert lengths.tolist() == [3, 0, 1]
    assert (batch.dtype, lengths.dtype) == (np.int64, np.int32)
    assert pad(rows, np.float32)[0].dtype == np.float32


def test_pad_nothing() -> None:
    batch, lengths = pad([])
    assert batch.shape == (0, 0)
    assert lengths.shape == (0,)
    assert pad([np.array([], np.int64)] * 2)[0].shape == (2, 0)


def test_even_widths_are_few_and_hardly_wider() -> None:
    assert [even_width(longest) for longest in (0, 1, 2, 31, 33, 400, 401)] == [
        0, 1, 2, 31, 34, 400, 416
    ]  # fmt: skip
    for longest in range(1, 3000):
        assert longest <= even_width(longest) <= longest * 17 / 16
    for least in (1, 16, 100, 1024, 1500):
        assert len({even_width(longest) for longest in range(least, 2 * least)}) <= 17


def test_pad_to_an_even_width() -> None:
    batch, lengths = pad([np.arange(1, 38), np.arange(1, 4)], even=True)
    assert batch.shape == (2, 38)
    assert lengths.tolist() == [37, 3]
    assert not batch[0, 37:].any()


def test_documents_are_split_into_windows() -> None:
    documents = [np.arange(5), np.arange(6), np.arange(0), np.arange(7)]
    windows, owners = split_into_windows(documents, 3)
    assert [window.tolist() for window in windows] == [
        [0, 1, 2], [3, 4], [0, 1, 2], [3, 4, 5], [], [0, 1, 2], [3, 4, 5], [6]
    ]  # fmt: skip
    assert owners.tolist() == [0, 0, 1, 1, 2, 3, 3, 3]
    windows, owners = split_into_windows([], 3)
    assert (windows, owners.tolist()) == ([], [])


@settings(max_examples=150, deadline=None)
@given(
    lengths=LENGTHS,
    max_rows=st.integers(1, 12),
    max_tokens=st.integers(1, 150),
    seed=st.none() | st.integers(0, 9),
)
def test_buckets_hold_every_index_once_and_keep_the_limits(
    lengths: np.ndarray, max_rows: int, max_tokens: int, seed: int | None
) -> None:
    shuffle = None if seed is None else np.random.default_rng(seed)
    found = list(buckets(lengths, max_rows=max_rows, max_tokens=max_tokens, shuffle=shuffle))
    flat = [int(index) for batch in found for index in batch]
    assert sorted(flat) == list(range(len(lengths)))
    for batch in found:
        assert 1 <= len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * int(lengths[batch].max()) <= max_tokens


def test_no_batch_is_smaller_than_it_need_be() -> None:
    lengths = np.array([4, 9, 1, 4, 2, 30, 7])
    found = [batch.tolist() for batch in buckets(lengths, max_rows=3, max_tokens=20)]
    # Shortest first: 1 2 4 fill the rows, 4 7 take 14 and a 9 would make it 27.
    assert found == [[2, 4, 0], [3, 6], [1], [5]]


def test_buckets_in_the_order_of_the_seed() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, size=300)

    def order(seed: int) -> list[list[int]]:
        shuffle = np.random.default_rng(seed)
        found = buckets(lengths, max_rows=16, max_tokens=400, shuffle=shuffle)
        return [batch.tolist() for batch in found]

    assert order(3) == order(3)
    assert order(3) != order(4)
    assert sorted(map(sorted, order(3))) != sorted(map(sorted, order(4)))  # neighbours too
    longest = [max(lengths[i] for i in batch) for batch in order(3)]
    assert longest != sorted(longest)


def test_shuffled_buckets_stay_narrow() -> None:
    lengths = np.random.default_rng(0).integers(1, 400, size=3000)
    shuffle = np.random.default_rng(1)
    found = list(buckets(lengths, max_rows=32, max_tokens=10**6, shuffle=shuffle))
    room = sum(len(batch) * int(lengths[batch].max()) for batch in found)
    assert lengths.sum() / room > 0.9


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 40))
def test_blocks_are_consecutive_and_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    found = list(blocks(np.array(sizes, np.int64), most))
    assert [size for block in found for size in sizes[block]] == sizes
    if not sizes:
        assert found == [slice(0, 0)]
        return
    totals = [sum(sizes[block]) for block in found]
    for block, total, following in zip(found, totals, [*found[1:], None], strict=True):
        assert total <= most or len(sizes[block]) == 1
        assert following is None or total + sizes[following.start] > most


def test_windows_are_counted() -> None:
    documents = [np.arange(length) for length in (0, 1, 3, 4, 6, 7)]
    _, owners = split_into_windows(documents, 3)
    assert window_counts(documents, 3).tolist() == np.bincount(owners).tolist()
