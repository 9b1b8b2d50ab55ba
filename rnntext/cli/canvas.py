"""Drawing with characters: a canvas of braille dots, and scales with ticks.

Knows: which dot is in which character cell. Does not know: which numbers are round
(`plotting/ticks.py`), colours, frames, or what the lines mean (`chart.py` does).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnntext.plotting.curves import Array
from rnntext.plotting.ticks import round_values

# The dots of a character cell: two columns and four rows. _BITS is indexed by column, then by row
# from the top.
ACROSS, DOWN = 2, 4
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800


@dataclass(slots=True)
class Cell:
    """A character cell."""

    pen: int  # the curve that was drawn here last
    bits: int = 0  # braille dots
    is_marker: bool = False  # shows a single point instead of dots

    @property
    def braille(self) -> str:
        return chr(_BRAILLE + self.bits)


class Canvas:
    """Character cells in columns and rows. The dot (0, 0) is at the lower left."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells: dict[tuple[int, int], Cell] = {}

    def draw_line(self, dots: Iterable[tuple[int, int]], pen: int) -> None:
        """Draw a polyline through these dots."""
        last = None
        for x, y in dots:
            if (x, y) == last:
                continue
            from_x, from_y = last or (x, y)
            dx, dy = x - from_x, y - from_y
            steps = max(abs(dx), abs(dy), 1)
            for i in range(steps + 1):
                self._set_dot(from_x + round(dx * i / steps), from_y + round(dy * i / steps), pen)
            last = (x, y)

    def draw_marker(self, x: int, y: int, pen: int) -> None:
        """Show a marker instead of the dots of the cell at a dot."""
        self._set_dot(x, y, pen).is_marker = True

    def rows(self) -> list[list[Cell | None]]:
        """The rows of cells from the top; None is an empty cell."""
        columns = range(self._columns)
        return [[self._cells.get((c, row)) for c in columns] for row in range(self._rows)]

    def _set_dot(self, x: int, y: int, pen: int) -> Cell:
        below_top = self._rows * DOWN - 1 - y
        cell = self._cells.setdefault((x // ACROSS, below_top // DOWN), Cell(pen))
        cell.pen = pen
        cell.bits |= _BITS[x % ACROSS][below_top % DOWN]
        return cell


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps the values from `low` to `high` to a number of dots."""

    low: float
    high: float
    dots: int
    is_log: bool = False

    @classmethod
    def over(cls, values: Sequence[Array], dots: int, is_log: bool = False) -> Scale:
        """The scale from the least to the greatest of all values."""
        low = min(float(array.min()) for array in values)
        high = max(float(array.max()) for array in values)
        if low == high:
            # Put the single value in the middle.
            margin = abs(low) / 10 or 1.0
            low, high = low - margin, high + margin
        return cls(low, high, dots, is_log)

    def dot(self, value: float) -> int:
        """The dot of a value, which is clipped to the scale."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round((value - low) / (high - low) * (self.dots - 1))

    def ticks(self, max_count: int) -> list[tuple[int, str]]:
        """Round values, at most `max_count` (or three if it is less): the dot and the label of
        each."""
        values = round_values(self.low, self.high, max(max_count, 3), self.is_log)
        return [(self.dot(value), text) for value, text in values]
