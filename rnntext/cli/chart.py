"""A chart as lines of text for a terminal: a legend, and panels one above the other with axes.

Knows: colours, frames, and how to divide the lines of a terminal among the panels. Does not know:
what the curves mean (`plotting/curves.py`), or where the terminal is.

Why not a library: plotext, the best known, draws its legend over the curves, counts a wide
character as one column, writes ticks as `3.3e2`, and its versions 5 and 6 share no API.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text

from rnntext.cli.canvas import ACROSS, DOWN, Canvas, Cell, Scale
from rnntext.plotting.curves import Chart, Panel, replace_unprintable

_MIN_ROWS, _MIN_COLUMNS = 3, 16  # of a panel, even if the terminal is smaller
_ROWS_PER_TICK, _COLUMNS_PER_TICK = 2, 12


@dataclass(frozen=True, slots=True)
class Look:
    """The colours and characters of curves and axes."""

    colours: tuple[str, ...]  # of the runs, in a cycle
    characters: str  # of the runs, in a cycle: in the legend, and for curves without braille
    braille: bool  # draw curves as braille dots
    best: str  # marks the best evaluation
    frame: str  # side, side with a tick, corner, bottom, bottom with a tick

    def colour(self, run: int) -> str:
        return self.colours[run % len(self.colours)]

    def character(self, run: int) -> str:
        return self.characters[run % len(self.characters)]

    def cell(self, cell: Cell | None) -> tuple[str, str]:
        """The character of a cell and its colour."""
        if cell is None:
            return " ", ""
        curve = cell.braille if self.braille else self.character(cell.pen)
        return self.best if cell.is_marker else curve, self.colour(cell.pen)


COLOURED = Look(("cyan", "magenta", "yellow", "green", "blue", "red"), "━", True, "●", "│┤└─┬")
PLAIN = Look(("",), "*+xo#%&=", False, "@", "||+-+")


def render(chart: Chart, look: Look, width: int, height: int) -> list[Text]:
    """Render the chart as lines of at most `width` columns.

    There are at most `height` - 1 lines, which leaves one for the prompt, except on a terminal that
    is too small for the least size of a panel.
    """
    lines = [
        Text.assemble((look.character(run), look.colour(run)), " ", replace_unprintable(text))
        for run, text in enumerate(chart.legend)
    ]
    # Each panel has a title and a bottom line; the tick labels of the x axis are below the last.
    rows = max(_MIN_ROWS, (height - 2 - len(lines)) // len(chart.panels) - 2)
    y_scales = [
        Scale.over([curve.trend for curve in panel.curves], rows * DOWN, panel.is_log)
        for panel in chart.panels
    ]
    y_labels = [text for scale in y_scales for text in _labels_by_row(scale).values()]
    margin = max(map(len, [chart.axis, *y_labels]))
    columns = max(_MIN_COLUMNS, width - margin - 1)
    x_scale = Scale.over([c.x for panel in chart.panels for c in panel.curves], columns * ACROSS)
    x_labels = {dot // ACROSS: text for dot, text in x_scale.ticks(columns // _COLUMNS_PER_TICK)}
    bottom = "".join(look.frame[3 + (column in x_labels)] for column in range(columns))
    for panel, y_scale in zip(chart.panels, y_scales, strict=True):
        title = replace_unprintable(panel.title)
        lines.append(Text.assemble(" " * (margin + 1), (title, "bold")))
        lines.extend(_panel_rows(panel, look, x_scale, y_scale, margin))
        lines.append(Text(" " * margin + look.frame[2] + bottom))
    lines.append(Text(chart.axis.rjust(margin) + " " + _centred(x_labels, columns)))
    for line in lines:
        line.truncate(width)
    return lines


def _labels_by_row(y_scale: Scale) -> dict[int, str]:
    """Tick labels of a y axis, by row from the top."""
    rows = y_scale.dots // DOWN
    return {rows - 1 - dot // DOWN: text for dot, text in y_scale.ticks(rows // _ROWS_PER_TICK)}


def _panel_rows(
    panel: Panel, look: Look, x_scale: Scale, y_scale: Scale, margin: int
) -> Iterator[Text]:
    canvas, labels = Canvas(x_scale.dots // ACROSS, y_scale.dots // DOWN), _labels_by_row(y_scale)
    for curve in panel.curves:
        dots = zip(map(x_scale.dot, curve.x), map(y_scale.dot, curve.trend), strict=True)
        canvas.draw_line(dots, curve.run)
    for curve in panel.curves:
        if curve.best is not None:
            x, y = curve.x[curve.best], curve.y[curve.best]
            canvas.draw_marker(x_scale.dot(x), y_scale.dot(y), curve.run)
    for row, cells in enumerate(canvas.rows()):
        side = labels.get(row, "").rjust(margin) + look.frame[row in labels]
        yield Text.assemble(side, *map(look.cell, cells))


def _centred(labels: dict[int, str], columns: int) -> str:
    """A line with each label centred at its column."""
    line = ""
    for column, text in labels.items():
        line = line.ljust(min(column - len(text) // 2, columns - len(text))) + text
    return line
