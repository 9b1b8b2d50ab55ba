"""Seeded splits of running text into a training and a validation part.

Knows: what must stay together (a document, a paragraph), and how to count duplicates between the
parts. Does not know: where lines come from, or how large a part should be.

No text is held, only the positions of at most MAX_UNITS units. The lines are read a second time,
and each is then assigned to its part.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice

import numpy as np

from rnntext.text.lines import Line
from rnntext.training.data.store import Array

MIN_UNITS = 20  # documents or paragraphs needed to sample validation text from them
MAX_UNITS = 1 << 16  # units held in memory; of more, neighbours are merged
MIN_BLOCKS = 100  # blocks of lines, for a text without documents and paragraphs
_MIN_SAMPLED_BLOCKS = 2  # blocks that make up the validation part


class TextSplitter:
    """Records where documents, paragraphs and lines begin, and samples validation text.

    Memory is bounded.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.characters = 0  # one per line end included
        self._documents, self._paragraphs, self._lines = (_UnitPositions() for _ in range(3))
        self._document: int | None = None  # of the last line
        self._blank = False  # whether the last line was blank

    def add(self, line: Line) -> None:
        """Add the next line."""
        new_document = line.document != self._document
        blank = not line.text or line.text.isspace()
        if new_document:
            self._documents.add(self.lines, self.characters)
        if new_document or (self._blank and not blank):
            self._paragraphs.add(self.lines, self.characters)
        self._lines.add(self.lines, self.characters)
        self._document, self._blank = line.document, blank
        self.lines += 1
        self.characters += len(line.text) + 1

    def choose_validation(self, share: float, seed: int) -> tuple[Array, int]:
        """Sample validation text of about `share` of all characters.

        Returns line ranges, (N, 2) with the first line and the line after the last, in order; and
        the number of their characters. Samples whole documents if there are MIN_UNITS of them, else
        paragraphs (lines with the blank lines after them) if there are as many, else blocks: the
        text is then split into MIN_BLOCKS blocks of lines, or more for a small share. Documents or
        paragraphs are not used if one has over half of the text, or if their median is over
        twice the wanted size. With two lines or more neither part is empty.
        """
        require_share(share)
        if share == 0 or self.lines < 2:
            return np.empty((0, 2), np.int64), 0
        starts, sizes = self._units(share)
        chosen = np.sort(_sample_units(sizes, share, np.random.Generator(np.random.PCG64(seed))))
        ends = np.append(starts[1:], self.lines)
        return np.stack([starts[chosen], ends[chosen]], axis=1), int(sizes[chosen].sum())

    def _units(self, share: float) -> tuple[Array, Array]:
        """Return the first line and the characters of each unit, of the first suitable kind."""
        for units in (self._documents, self._paragraphs):
            starts, offsets = units.arrays()
            sizes = np.diff(offsets, append=self.characters)
            if (
                len(starts) >= MIN_UNITS
                and 2 * sizes.max() <= self.characters
                and np.median(sizes) <= 2 * share * self.characters
            ):
                return starts, sizes
        starts, offsets = self._lines.arrays()
        count = min(self.lines, max(MIN_BLOCKS, round(_MIN_SAMPLED_BLOCKS / share)))
        block_starts = np.arange(count) * self.lines // count
        blocks = np.unique(np.searchsorted(starts, block_starts, side="right") - 1)
        return starts[blocks], np.diff(offsets[blocks], append=self.characters)


class _UnitPositions:
    """The positions where units begin. Above MAX_UNITS every two neighbours are merged into one."""

    def __init__(self) -> None:
        self._starts = array("q")  # the first line of each unit
        self._offsets = array("q")  # the characters before it
        self._merged = 1  # units per entry
        self._to_merge = 0  # units that the last entry still takes

    def add(self, line: int, offset: int) -> None:
        if self._to_merge:
            self._to_merge -= 1
            return
        self._starts.append(line)
        self._offsets.append(offset)
        if len(self._starts) > MAX_UNITS:
            self._starts, self._offsets = self._starts[::2], self._offsets[::2]
            self._merged *= 2
        self._to_merge = self._merged - 1

    def arrays(self) -> tuple[Array, Array]:
        return np.array(self._starts, np.int64), np.array(self._offsets, np.int64)


def _sample_units(sizes: Array, share: float, generator: np.random.Generator) -> list[int]:
    """Sample units, at least one and not all, whose total size is about `share` of the text.

    Takes the units of a random permutation that bring the total nearer to the target.
    """
    target = share * int(sizes.sum())
    sampled: list[int] = []
    total = 0
    for unit in generator.permutation(len(sizes)).tolist():
        size = int(sizes[unit])
        if len(sampled) < len(sizes) - 1 and abs(total + size - target) < abs(total - target):
            sampled.append(unit)
            total += size
    return sampled or [int(sizes.argmin())]


def select_part(lines: Iterator[Line], ranges: Array, *, valid: bool) -> Iterator[Line]:
    """Yield the lines inside the `ranges` of `TextSplitter.choose_validation` if `valid`, else the
    lines outside."""
    position = 0
    for start, stop in ranges.tolist():
        outside, inside = islice(lines, start - position), islice(lines, stop - start)
        position = stop
        if valid:
            _skip(outside)
            yield from inside
        else:
            yield from outside
            _skip(inside)
    if not valid:
        yield from lines


def _skip(lines: Iterator[Line]) -> None:
    deque(lines, maxlen=0)


def require_share(share: float) -> None:
    """Raise ValueError unless 0 <= `share` < 1."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and less than 1, not {share}")


class Overlap:
    """Counts the validation items that are also in the training part.

    Memory grows with the number of validation items only.
    """

    def __init__(self) -> None:
        self.count = 0
        self._valid: Counter[int] = Counter()

    def add_valid(self, items: Iterable[Hashable]) -> None:
        """Add validation items; all of them before the training items."""
        self._valid.update(map(hash, items))

    def add_train(self, items: Iterable[Hashable]) -> None:
        """Add training items."""
        self.count += sum(self._valid.pop(hash(item), 0) for item in items)
