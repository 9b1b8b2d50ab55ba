"""The batches of an epoch: buckets of rows, and columns of a stream.

Knows: how a large number of rows is bucketed in bounded memory, and how a stream is laid out in
columns. Does not know: text, labels or tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnntext.text.batches import buckets
from rnntext.training.data.store import Array, IdSequence, RaggedArray

WINDOW = 200_000  # rows that are bucketed together
NEIGHBOURS = 64  # with more rows than WINDOW: length of the runs that are shuffled


@dataclass(frozen=True, slots=True)
class BucketedEpochs:
    """Batches of all rows in random order, made by `buckets`.

    If there are more than WINDOW rows, buckets are made of WINDOW rows at a time, sampled from all
    of them, so that memory does not grow with their number. Rows count as at most `longest` ids.
    """

    rows: RaggedArray
    max_rows: int
    max_tokens: int
    longest: int | None = None

    def batches(self, shuffle: np.random.Generator) -> Iterator[Array]:
        """Yield the indices of the rows of each batch of an epoch."""
        for index, lengths in self._windows(shuffle):
            for batch in self._buckets(lengths, shuffle):
                yield index[batch]

    def count(self, shuffle: np.random.Generator) -> int:
        """Return the number of batches of an epoch; an estimate for more than WINDOW rows."""
        _, lengths = next(self._windows(shuffle))
        in_window = sum(1 for _ in self._buckets(lengths, shuffle))
        return round(in_window * len(self.rows) / len(lengths))

    def _buckets(self, lengths: Array, shuffle: np.random.Generator) -> Iterator[Array]:
        return buckets(lengths, max_rows=self.max_rows, max_tokens=self.max_tokens, shuffle=shuffle)

    def _windows(self, shuffle: np.random.Generator) -> Iterator[tuple[Array, Array]]:
        """Yield the indices and the lengths of the rows that are bucketed together."""
        count = len(self.rows)
        # Neighbours are read together, in runs that are short enough to mix rows in a window.
        run_length = count if count <= WINDOW else NEIGHBOURS
        starts = np.arange(0, count, run_length)
        if len(starts) > 1:
            shuffle.shuffle(starts)
        step = max(1, WINDOW // run_length)
        for first in range(0, len(starts), step):
            window = starts[first : first + step].tolist()
            runs = [(start, min(start + run_length, count)) for start in window]
            index = np.concatenate([np.arange(start, stop) for start, stop in runs])
            lengths = np.concatenate([self.rows.lengths(start, stop) for start, stop in runs])
            yield index, lengths if self.longest is None else np.minimum(lengths, self.longest)


def contiguous_columns(
    stream: IdSequence, rows: int, start: int, stop: int, selected: slice = slice(None)
) -> Array:
    """Split a stream of ids into `rows` equal rows, and return columns `start` to `stop` - 1 of
    the `selected` rows: (selected rows, stop - start).

    Row r continues where row r - 1 ends, so that each row is contiguous text; the last ids that do
    not fill a column are dropped.
    """
    length = len(stream) // rows
    stop = min(stop, length)
    return np.stack([stream[r * length + start : r * length + stop] for r in range(rows)[selected]])
