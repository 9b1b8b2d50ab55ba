"""Lines drawn with characters: a canvas of braille dots, and scales with ticks.

Knows: which dot is in which cell, and which values are round. Does not know: colours, frames,
nor what the lines mean (`chart.py` does).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnntext.plotting.curves import Array

# Dots of a cell: two across, four down; the bit of each, by column and by row from the top.
ACROSS, DOWN = 2, 4
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800


@dataclass(slots=True)
class Cell:
    """A character, and who drew it last."""

    pen: int
    bits: int = 0
    is_mark: bool = False  # it is to show one point

    @property
    def braille(self) -> str:
        return chr(_BRAILLE + self.bits)


class Canvas:
    """Cells in columns and rows; dots are counted from the lower left."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells: dict[tuple[int, int], Cell] = {}

    def line(self, dots: Iterable[tuple[int, int]], pen: int) -> None:
        """A line from dot to dot."""
        last = None
        for x, y in dots:
            if (x, y) == last:
                continue
            from_x, from_y = last or (x, y)
            across, up = x - from_x, y - from_y
            steps = max(abs(across), abs(up), 1)
            for i in range(steps + 1):
                self._dot(from_x + round(across * i / steps), from_y + round(up * i / steps), pen)
            last = (x, y)

    def mark(self, x: int, y: int, pen: int) -> None:
        """A mark in the place of the cell's dots."""
        self._dot(x, y, pen).is_mark = True

    def rows(self) -> list[list[Cell | None]]:
        """The cells from the top, None where nothing was drawn."""
        columns = range(self._columns)
        return [[self._cells.get((c, row)) for c in columns] for row in range(self._rows)]

    def _dot(self, x: int, y: int, pen: int) -> Cell:
        below_top = self._rows * DOWN - 1 - y
        cell = self._cells.setdefault((x // ACROSS, below_top // DOWN), Cell(pen))
        cell.pen = pen
        cell.bits |= _BITS[x % ACROSS][below_top % DOWN]
        return cell


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, over a number of dots."""

    low: float
    high: float
    dots: int
    is_log: bool = False

    @classmethod
    def over(cls, values: Sequence[Array], dots: int, is_log: bool = False) -> Scale:
        """The scale that all these values fill."""
        low = min(float(array.min()) for array in values)
        high = max(float(array.max()) for array in values)
        if low == high:
            # The one value lies in the middle.
            apart = abs(low) / 10 or 1.0
            low, high = low - apart, high + apart
        return cls(low, high, dots, is_log)

    def dot(self, value: float) -> int:
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round((value - low) / (high - low) * (self.dots - 1))

    def ticks(self, most: int) -> list[tuple[int, str]]:
        """Some round values, at most so many (or three): the dot of each, and how it is written."""
        return [(self.dot(value), text) for value, text in self._round(max(most, 3))]

    def _round(self, most: int) -> list[tuple[float, str]]:
        for factors, apart in (((1, 2, 5), 1), ((1,), 1), ((1,), 3)) if self.is_log else ():
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            decades = range(first, last + 1, apart)
            found = [factor * 10.0**decade for decade in decades for factor in factors]
            found = [value for value in found if self.low <= value <= self.high]
            if 2 <= len(found) <= most:
                return [(value, f"{value:g}") for value in found]
        # Multiples of 1, 2 or 5 times a power of ten: of the smallest that gives few enough.
        decade = math.floor(math.log10((self.high - self.low) / most))
        for power, factor in ((decade, 1), (decade, 2), (decade, 5), (decade + 1, 1)):
            step = factor * 10.0**power
            # 0.0003 / 0.0001 is a little less than 3.
            lowest, highest = self.low / step - 1e-9, self.high / step + 1e-9
            numbers = range(math.ceil(lowest), math.floor(highest) + 1)
            if len(numbers) <= most:
                break
        return [(number * step, f"{number * step:.{max(0, -power)}f}") for number in numbers]
