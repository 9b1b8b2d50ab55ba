"""Sequences of ids to rectangular batches.

Knows: padding, buckets of like length, and the columns of a stream. Does not know: text,
labels or tensors. Padding is id 0 at a row's end and is told from a token by the row's length
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pad(rows: Sequence[Array], dtype: npt.DTypeLike = np.int64) -> tuple[Array, Array]:
    """Rows of ids -> (ids (B, T), lengths (B) int32), T being the longest row's length."""
    lengths = np.fromiter((len(row) for row in rows), np.int32, len(rows))
    batch = np.zeros((len(rows), int(lengths.max(initial=0))), dtype)
    for index, row in enumerate(rows):
        batch[index, : len(row)] = row
    return batch, lengths


def buckets(
    lengths: Array, *, max_rows: int, max_tokens: int, shuffle: np.random.Generator | None = None
) -> Iterator[Array]:
    """Indices of sequences of like length, batch by batch.

    A batch has at most `max_rows` rows and, padding included, at most `max_tokens` tokens, but
    for a single longer row. With `shuffle` the batches come in random order and sequences of
    nearly the same length change places from epoch to epoch; without, shortest first.
    """
    if shuffle is None:
        order = np.argsort(lengths, kind="stable")
    else:
        # A tenth of jitter mixes neighbours without making padding wider.
        jitter = shuffle.uniform(0.95, 1.05, len(lengths))
        order = np.argsort(lengths * jitter, kind="stable")
    batches: list[Array] = []
    start, longest = 0, 0
    for position, index in enumerate(order):
        widest = max(longest, int(lengths[index]))
        rows = position - start + 1
        if rows > 1 and (rows > max_rows or rows * widest > max_tokens):
            batches.append(order[start:position])
            start, widest = position, int(lengths[index])
        longest = widest
    if len(order):
        batches.append(order[start:])
    if shuffle is not None:
        shuffle.shuffle(batches)
    yield from batches


def columns(stream: Array, rows: int) -> Array:
    """A stream of ids cut into `rows` equal pieces: (rows, len(stream) // rows).

    Piece r goes on where piece r - 1 ended, so that each row is a text of its own to walk
    along; the few ids that do not fill the rectangle are left out.
    """
    length = len(stream) // rows
    return stream[: rows * length].reshape(rows, length)
