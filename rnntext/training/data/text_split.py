"""Seeded splits of running text into a training and a validation part.

Knows: what must stay together (a document, a paragraph), and how to count what stands in both
parts. Does not know: where lines come from, or how large a part should be.

No text is held, only where its units begin, or so many of them as MOST_UNITS says. What was
chosen is then taken from the lines as they are read again.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice

import numpy as np

from rnntext.text.lines import Line
from rnntext.training.data.store import Array

FEWEST_UNITS = 20  # documents or paragraphs from which validation text can be drawn
MOST_UNITS = 1 << 16  # of more, neighbours are taken as one
BLOCKS = 100  # pieces, at the least, of a text that has neither
# Pieces that would make the validation part, at the least.
_FEWEST_DRAWN = 2


class Outline:
    """Where the documents, paragraphs and lines of a text begin, in bounded memory."""

    def __init__(self) -> None:
        self.lines = 0
        self.characters = 0  # with one for each line's end
        self._documents, self._paragraphs, self._stretches = (_Units() for _ in range(3))
        self._document: int | None = None
        self._blank = False

    def add(self, line: Line) -> None:
        """Tell of the next line."""
        new_document = line.document != self._document
        blank = not line.text or line.text.isspace()
        if new_document:
            self._documents.begin(self.lines, self.characters)
        if new_document or (self._blank and not blank):
            self._paragraphs.begin(self.lines, self.characters)
        self._stretches.begin(self.lines, self.characters)
        self._document, self._blank = line.document, blank
        self.lines += 1
        self.characters += len(line.text) + 1

    def choose_validation(self, share: float, seed: int) -> tuple[Array, int]:
        """Choose validation text: (ranges, 2) the first line of each and the one after its last,
        in order; and how many characters they have, near `share` of all.

        Whole documents are chosen if there are FEWEST_UNITS of them, else paragraphs (lines up
        to and with the blank lines after them) if there are as many, else BLOCKS stretches of
        lines, or more where few are wanted. Documents or paragraphs of which one holds over half
        of the text, or most are over twice as long as what is wanted, are too uneven or too
        long. Some text stays on each side if there are two lines.
        """
        require_share(share)
        if share == 0 or self.lines < 2:
            return np.empty((0, 2), np.int64), 0
        starts, sizes = self._units(share)
        chosen = np.sort(_near_share(sizes, share, np.random.Generator(np.random.PCG64(seed))))
        ends = np.append(starts[1:], self.lines)
        return np.stack([starts[chosen], ends[chosen]], axis=1), int(sizes[chosen].sum())

    def _units(self, share: float) -> tuple[Array, Array]:
        """The first line and the size of each unit, of the first kind that will do."""
        for units in (self._documents, self._paragraphs):
            starts, offsets = units.arrays()
            sizes = np.diff(offsets, append=self.characters)
            if (
                len(starts) >= FEWEST_UNITS
                and 2 * sizes.max() <= self.characters
                and np.median(sizes) <= 2 * share * self.characters
            ):
                return starts, sizes
        starts, offsets = self._stretches.arrays()
        count = min(self.lines, max(BLOCKS, round(_FEWEST_DRAWN / share)))
        wanted = np.arange(count) * self.lines // count
        chosen = np.unique(np.searchsorted(starts, wanted, side="right") - 1)
        return starts[chosen], np.diff(offsets[chosen], append=self.characters)


class _Units:
    """Where units begin: of at most MOST_UNITS, some of which may be several in one."""

    def __init__(self) -> None:
        self._starts = array("q")  # the first line
        self._offsets = array("q")  # characters before it
        self._together = 1
        self._room = 0  # units that the last entry still takes in

    def begin(self, line: int, offset: int) -> None:
        if self._room:
            self._room -= 1
            return
        self._starts.append(line)
        self._offsets.append(offset)
        if len(self._starts) > MOST_UNITS:
            self._starts, self._offsets = self._starts[::2], self._offsets[::2]
            self._together *= 2
        self._room = self._together - 1

    def arrays(self) -> tuple[Array, Array]:
        return np.array(self._starts, np.int64), np.array(self._offsets, np.int64)


def _near_share(sizes: Array, share: float, generator: np.random.Generator) -> list[int]:
    """Draw units, at least one and not all, each of which brings the sum nearer to the share."""
    target = share * int(sizes.sum())
    taken: list[int] = []
    total = 0
    for unit in generator.permutation(len(sizes)).tolist():
        size = int(sizes[unit])
        if len(taken) < len(sizes) - 1 and abs(total + size - target) < abs(total - target):
            taken.append(unit)
            total += size
    return taken or [int(sizes.argmin())]


def select_part(lines: Iterator[Line], ranges: Array, *, valid: bool) -> Iterator[Line]:
    """The lines inside `ranges` that `Outline.draw` gave, or those outside."""
    position = 0
    for start, stop in ranges.tolist():
        outside, inside = islice(lines, start - position), islice(lines, stop - start)
        position = stop
        if valid:
            _pass_over(outside)
            yield from inside
        else:
            yield from outside
            _pass_over(inside)
    if not valid:
        yield from lines


def _pass_over(lines: Iterator[Line]) -> None:
    deque(lines, maxlen=0)


def require_share(share: float) -> None:
    """Raise ValueError for a share that is none."""
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and less than 1, not {share}")


class Overlap:
    """Counts the validation items that also stand in training; memory grows with the
    validation items alone."""

    def __init__(self) -> None:
        self.count = 0
        self._valid: Counter[int] = Counter()

    def add_valid(self, items: Iterable[Hashable]) -> None:
        """Tell of validation items, before any of training."""
        self._valid.update(map(hash, items))

    def add_train(self, items: Iterable[Hashable]) -> None:
        """Tell of training items."""
        self.count += sum(self._valid.pop(hash(item), 0) for item in items)
