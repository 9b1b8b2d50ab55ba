"""Sequences of ids to rectangular batches.

Knows: padding, buckets of like length, and the columns of a stream. Does not know: text,
labels or tensors. Padding is id 0 at a row's end and is told from a token by the row's length
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnntext.text.store import Array, Numbers, Rows

WINDOW = 200_000  # rows that are put into buckets together
NEIGHBOURS = 64  # of more rows, so many that lie together stay together


def pad(
    rows: Sequence[Array], dtype: npt.DTypeLike = np.int64, *, even: bool = False
) -> tuple[Array, Array]:
    """Rows of ids -> (ids (B, T), lengths (B) int32), T being the longest row's length or,
    with `even`, the `even_width` of it."""
    lengths = np.fromiter((len(row) for row in rows), np.int32, len(rows))
    longest = int(lengths.max(initial=0))
    batch = np.zeros((len(rows), even_width(longest) if even else longest), dtype)
    for index, row in enumerate(rows):
        batch[index, : len(row)] = row
    return batch, lengths


def even_width(longest: int) -> int:
    """The least width that holds so many, of at most 16 between a number and its double.

    PyTorch makes kernels for each shape that it meets and keeps them: two epochs over film reviews
    of all widths ended at 1951 MB and over these widths at 710 MB.
    """
    step = 1 << max(0, longest.bit_length() - 5)
    return -(-longest // step) * step


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


@dataclass(frozen=True, slots=True)
class Epochs:
    """All of some rows in random order, batch by batch, as `buckets` makes them.

    Of very many rows, buckets are made of as many at a time as WINDOW says, taken from
    everywhere, so that memory does not grow with their number. What a row has over `longest`
    does not count.
    """

    rows: Rows
    max_rows: int
    max_tokens: int
    longest: int | None = None

    def batches(self, shuffle: np.random.Generator) -> Iterator[Array]:
        """Indices of the rows of each batch of an epoch."""
        for index, lengths in self._windows(shuffle):
            for batch in self._buckets(lengths, shuffle):
                yield index[batch]

    def count(self, shuffle: np.random.Generator) -> int:
        """How many batches an epoch has, or nearly so many where rows are very many."""
        _, lengths = next(self._windows(shuffle))
        found = sum(1 for _ in self._buckets(lengths, shuffle))
        return round(found * len(self.rows) / len(lengths))

    def _buckets(self, lengths: Array, shuffle: np.random.Generator) -> Iterator[Array]:
        return buckets(lengths, max_rows=self.max_rows, max_tokens=self.max_tokens, shuffle=shuffle)

    def _windows(self, shuffle: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """Indices of rows to make buckets of, and the rows' lengths."""
        count = len(self.rows)
        # Neighbours stay together, few enough to be strangers in a window of so many.
        together = count if count <= WINDOW else NEIGHBOURS
        starts = np.arange(0, count, together)
        if len(starts) > 1:
            shuffle.shuffle(starts)
        step = max(1, WINDOW // together)
        for at in range(0, len(starts), step):
            stretches = [(a, min(a + together, count)) for a in starts[at : at + step].tolist()]
            index = np.concatenate([np.arange(a, b) for a, b in stretches])
            lengths = np.concatenate([self.rows.lengths(a, b) for a, b in stretches])
            yield index, lengths if self.longest is None else np.minimum(lengths, self.longest)


def columns(stream: Numbers, rows: int, start: int, stop: int, own: slice = slice(None)) -> Array:
    """Places `start` to `stop` of a stream of ids cut into `rows` equal pieces, of which `own`
    are wanted: (own rows, stop - start).

    Piece r goes on where piece r - 1 ended, so that each row is a text of its own to walk
    along; the few ids that do not fill the rectangle are left out.
    """
    length = len(stream) // rows
    stop = min(stop, length)
    return np.stack([stream[r * length + start : r * length + stop] for r in range(rows)[own]])
