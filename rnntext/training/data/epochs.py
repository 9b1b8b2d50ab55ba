"""The batches of an epoch, of rows and of a stream.

Knows: how very many rows become buckets without being held, and the columns of a stream. Does not
know: text, labels or tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnntext.text.batches import buckets
from rnntext.training.data.store import Array, IdSequence, Rows

WINDOW = 200_000  # rows that are put into buckets together
NEIGHBOURS = 64  # of more rows, so many that lie together stay together


@dataclass(frozen=True, slots=True)
class BucketedEpochs:
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


def contiguous_columns(
    stream: IdSequence, rows: int, start: int, stop: int, own: slice = slice(None)
) -> Array:
    """Places `start` to `stop` of a stream of ids cut into `rows` equal pieces, of which `own`
    are wanted: (own rows, stop - start).

    Piece r goes on where piece r - 1 ended, so that each row is a text of its own to walk
    along; the few ids that do not fill the rectangle are left out.
    """
    length = len(stream) // rows
    stop = min(stop, length)
    return np.stack([stream[r * length + start : r * length + stop] for r in range(rows)[own]])
