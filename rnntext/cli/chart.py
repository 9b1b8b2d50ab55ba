"""A chart on a terminal: panels one above the other, a legend, axes.

Knows: colours, frames and how the lines of a terminal are shared out. Does not know: what the
curves are of (`plotting/curves.py`), nor where the terminal is.

No library draws this: plotext, the known one, lays its legend over the curves, takes a wide
character for one column, writes ticks as `3.3e2`, and its versions 5 and 6 have no call in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from rnntext.cli.canvas import ACROSS, DOWN, Canvas, Cell, Scale
from rnntext.plotting.curves import Chart, Panel, printable

_LEAST_ROWS, _LEAST_COLUMNS = 3, 16  # of a panel, however small the terminal
_ROWS_A_TICK, _COLUMNS_A_TICK = 2, 12


@dataclass(frozen=True, slots=True)
class Look:
    """What curves and axes are drawn with."""

    colours: tuple[str, ...]  # one a run, from the first again where there are more runs
    marks: str  # the same, of characters
    braille: bool  # whether curves are of dots, else they are of the marks
    best: str
    frame: str  # side, side with a tick, corner, bottom, bottom with a tick

    def colour(self, run: int) -> str:
        return self.colours[run % len(self.colours)]

    def mark(self, run: int) -> str:
        return self.marks[run % len(self.marks)]

    def cell(self, cell: Cell | None) -> tuple[str, str]:
        """A character and its colour."""
        if cell is None:
            return " ", ""
        curve = cell.braille if self.braille else self.mark(cell.pen)
        return self.best if cell.is_mark else curve, self.colour(cell.pen)


COLOURED = Look(("cyan", "magenta", "yellow", "green", "blue", "red"), "━", True, "●", "│┤└─┬")
PLAIN = Look(("",), "*+xo#%&=", False, "@", "||+-+")


def draw(chart: Chart, look: Look, width: int, height: int) -> list[Text]:
    """The lines of the chart: none wider than `width`, and one fewer than `height`, which the
    prompt needs, unless that is very few."""
    lines = [
        Text.assemble((look.mark(run), look.colour(run)), " ", printable(text))
        for run, text in enumerate(chart.legend)
    ]
    # A panel has its title and its bottom; the numbers below the last are for all.
    rows = max(_LEAST_ROWS, (height - 2 - len(lines)) // len(chart.panels) - 2)
    ups = [
        Scale.over([curve.trend for curve in panel.curves], rows * DOWN, panel.is_log)
        for panel in chart.panels
    ]
    margin = max(map(len, [chart.axis, *(text for up in ups for text in _labels(up).values())]))
    columns = max(_LEAST_COLUMNS, width - margin - 1)
    across = Scale.over([c.x for panel in chart.panels for c in panel.curves], columns * ACROSS)
    numbers = {dot // ACROSS: text for dot, text in across.ticks(columns // _COLUMNS_A_TICK)}
    bottom = "".join(look.frame[3 + (column in numbers)] for column in range(columns))
    for panel, up in zip(chart.panels, ups, strict=True):
        lines.append(Text.assemble(" " * (margin + 1), (printable(panel.title), "bold")))
        lines.extend(_rows(panel, look, across, up, margin))
        lines.append(Text(" " * margin + look.frame[2] + bottom))
    lines.append(Text(chart.axis.rjust(margin) + " " + _centred(numbers, columns)))
    for line in lines:
        line.truncate(width)
    return lines


def _labels(up: Scale) -> dict[int, str]:
    """The numbers beside a panel, by row from the top."""
    rows = up.dots // DOWN
    return {rows - 1 - dot // DOWN: text for dot, text in up.ticks(rows // _ROWS_A_TICK)}


def _rows(panel: Panel, look: Look, across: Scale, up: Scale, margin: int) -> Iterator[Text]:
    canvas, labels = Canvas(across.dots // ACROSS, up.dots // DOWN), _labels(up)
    for curve in panel.curves:
        dots = zip(map(across.dot, curve.x), map(up.dot, curve.trend), strict=True)
        canvas.line(dots, curve.run)
    for curve in panel.curves:
        if curve.best is not None:
            canvas.mark(across.dot(curve.x[curve.best]), up.dot(curve.y[curve.best]), curve.run)
    for row, cells in enumerate(canvas.rows()):
        side = labels.get(row, "").rjust(margin) + look.frame[row in labels]
        yield Text.assemble(side, *map(look.cell, cells))


def _centred(numbers: dict[int, str], columns: int) -> str:
    """A line that has the middle of each number at its column."""
    line = ""
    for column, text in numbers.items():
        line = line.ljust(min(column - len(text) // 2, columns - len(text))) + text
    return line
