"""Padding and bucketing: sequences of ids to rectangular batches.

Knows: padding, windows of long sequences, buckets of similar length, and blocks whose results fit
into memory. Does not know: text, labels or tensors. Padding is id 0 at the end of a row; only the
row's length distinguishes it from a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pad(
    rows: Sequence[Array], dtype: npt.DTypeLike = np.int64, *, even: bool = False
) -> tuple[Array, Array]:
    """Pad rows of ids to (ids (B, T), lengths (B) int32).

    T is the length of the longest row; with `even` it is rounded up by `even_width`.
    """
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    longest = int(lengths.max(initial=0))
    batch = np.zeros((len(rows), even_width(longest) if even else longest), dtype)
    for index, row in enumerate(rows):
        batch[index, : len(row)] = row
    return batch, lengths


def even_width(longest: int) -> int:
    """Round a width up to a multiple of a power of two, so that there are few widths: at most 16
    between a number and its double.

    PyTorch caches kernels for each shape: two epochs over film reviews of all widths ended at
    1951 MB, with these widths at 710 MB.
    """
    step = 1 << max(0, longest.bit_length() - 5)
    return -(-longest // step) * step


def split_into_windows(
    documents: Sequence[Array], max_length: int
) -> tuple[list[Array], npt.NDArray[np.int64]]:
    """Split each document (ids) into windows of at most `max_length` ids; an empty one is one
    empty window.

    Returns the windows in order, and the index of the document of each window.
    """
    windows: list[Array] = []
    owners: list[int] = []
    for owner, ids in enumerate(documents):
        for start in range(0, max(len(ids), 1), max_length):
            windows.append(ids[start : start + max_length])
            owners.append(owner)
    return windows, np.array(owners, np.int64)


def buckets(
    lengths: Array, *, max_rows: int, max_tokens: int, shuffle: np.random.Generator | None = None
) -> Iterator[Array]:
    """Yield batches of indices of sequences with similar lengths.

    A batch has at most `max_rows` rows and, padding included, at most `max_tokens` tokens, except
    for a single longer row. With `shuffle` the batches are in random order, and sequences of
    nearly equal length change batches between epochs; without it the shortest come first.
    """
    if shuffle is None:
        order = np.argsort(lengths, kind="stable")
    else:
        # A jitter of 5 % mixes neighbours and adds little padding.
        jitter = shuffle.uniform(0.95, 1.05, len(lengths))
        order = np.argsort(lengths * jitter, kind="stable")
    batches: list[Array] = []
    start = 0
    while start < len(order):
        longest = np.maximum.accumulate(lengths[order[start : start + max_rows]])
        fits = np.arange(1, len(longest) + 1) * longest <= max_tokens
        rows = max(1, int(fits.sum()))
        batches.append(order[start : start + rows])
        start += rows
    if shuffle is not None:
        shuffle.shuffle(batches)
    yield from batches


def blocks(sizes: Array, most: int) -> Iterator[slice]:
    """Yield consecutive slices of items of these sizes. A slice has one item, or several whose
    sizes are at most `most` in all. Without items there is one empty slice."""
    ends = np.cumsum(sizes, dtype=np.int64)
    start, size = 0, 0
    while True:
        stop = max(start + 1, int(np.searchsorted(ends, size + most, side="right")))
        yield slice(start, min(stop, len(ends)))
        if stop >= len(ends):
            return
        start, size = stop, int(ends[stop - 1])


def window_counts(documents: Sequence[Array], max_length: int) -> npt.NDArray[np.int64]:
    """Return the number of windows that `split_into_windows` makes of each document."""
    lengths = np.fromiter(map(len, documents), np.int64, len(documents))
    return np.maximum(1, -(-lengths // max_length))
