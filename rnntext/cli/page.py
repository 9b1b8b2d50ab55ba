"""A page of panels drawn on a terminal.

Knows: Rich, how wide labels are on a terminal, and how a panel is drawn with colours and without.
Does not know: where the numbers come from, or where the terminal is. Curves are drawn by
`chart.py`; their errors are left to files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rnntext.cli.chart import COLOURED, PLAIN
from rnntext.cli.chart import render as render_chart
from rnntext.cli.page_cells import CELL, EMPTY, background, cell, fixed, padded, scale_legend
from rnntext.cli.page_unrolled import draw as draw_unrolled
from rnntext.plotting import page_style as style
from rnntext.plotting.curves import Chart, Curve
from rnntext.plotting.curves import Panel as ChartPanel
from rnntext.plotting.page import ColouredText, Heatmap, Lines, Note, Page, Panel, Table, Unrolled

_MOST_LABEL, _MOST_CELL = 16, 80  # columns of a label, and of a cell of a table
_NOTE_WIDTH = 100  # a longer line is hard to read
_CHART_HEIGHT = 20


def render(page: Page, width: int, coloured: bool) -> Iterator[RenderableType]:
    """Yield what a console of `width` columns prints, one after the other, each at most so wide
    (a console that is narrower than two columns a value wraps)."""
    yield Text(style.one_line(page.title), "bold")
    for panel in page.panels:
        yield Text()
        yield from _draw(panel, width, coloured)


def _draw(panel: Panel, width: int, coloured: bool) -> Iterator[RenderableType]:
    if not isinstance(panel, Note):
        yield Text(style.one_line(panel.title), "bold")
    match panel:
        case Heatmap():
            yield from _heatmap(panel, width, coloured)
        case Lines():
            yield from _lines(panel, width, coloured)
        case ColouredText():
            yield from _coloured_text(panel, coloured)
        case Table():
            yield _table(panel)
        case Unrolled():
            yield from draw_unrolled(panel, width, coloured)
        case Note():
            text = style.flowing(panel.text)
            for line in style.flow([(text, None)], min(width, _NOTE_WIDTH)):
                yield Text("".join(part for part, _ in line))


# Heatmaps


class _Column(NamedTuple):
    label: str
    width: int


def _heatmap(panel: Heatmap, width: int, coloured: bool) -> Iterator[Text]:
    values = np.asarray(panel.values, np.float64)
    if not values.size:
        yield Text("no values")
        return
    rows = [style.cut(row, max(4, min(2 * _MOST_LABEL, width // 3))) for row in panel.rows]
    margin = max(map(cell_len, rows)) + 1
    labels = [style.cut(column, _MOST_LABEL) for column in panel.columns]
    room = width - margin
    columns = [_Column(label, max(CELL, cell_len(label) + 1)) for label in labels]
    downwards = sum(column.width for column in columns) > room
    if downwards:
        columns = [_Column(label, CELL) for label in labels]
    in_block = max(1, room // CELL) if downwards else len(columns)
    for first in range(0, len(columns), in_block):
        block = columns[first : first + in_block]
        if len(block) < len(columns):
            if first:
                yield Text()
            yield Text(f"columns {first + 1} to {first + len(block)} of {len(columns)}")
        for labels_line in _head(block, downwards):
            yield fixed(Text(" " * margin + labels_line))
        for row, row_values in zip(rows, values[:, first : first + in_block], strict=True):
            line = Text(" " * (margin - 1 - cell_len(row)) + row + " ")
            for value, column in zip(row_values.tolist(), block, strict=True):
                line.append(*cell(value, panel.low, panel.high, column.width, coloured))
            yield fixed(line)
    legend = scale_legend(panel.low, panel.high, coloured)
    if np.isnan(values).any():
        legend.append(f"   {EMPTY * CELL} {style.NO_VALUE}")
    yield Text()
    yield Text(" " * margin).append_text(legend)
    if description := style.describe(panel):
        yield Text(" " * margin + description)


def _head(block: Sequence[_Column], downwards: bool) -> Iterator[str]:
    """The labels of columns, beside each other or each downwards, ending above its column."""
    if not downwards:
        yield "".join(padded(*column) for column in block)
        return
    letters = [_letters(column.label) for column in block]
    height = max(map(len, letters))
    for row in range(height):
        yield "".join(
            padded(each[row - height] if row >= height - len(each) else "", CELL)
            for each in letters
        )


def _letters(label: str) -> list[str]:
    """Split into characters, each with the marks that are written over it."""
    found: list[str] = []
    for char in label:
        if found and not cell_len(char):
            found[-1] += char
        else:
            found.append(char)
    return found


# Curves


def _lines(panel: Lines, width: int, coloured: bool) -> Iterator[Text]:
    lines = [style.drawable(line, panel.log_y) for line in panel.lines]
    curves = tuple(
        Curve(number, line.x, line.y, line.y, None)
        for number, line in enumerate(lines)
        if len(line.x)
    )
    if not curves:
        yield Text("no values")
        return
    names = tuple(style.one_line(line.name) for line in lines)
    chart = Chart("", names, (ChartPanel(style.one_line(panel.y_name), curves, panel.log_y),))
    look = COLOURED if coloured else PLAIN
    yield from map(fixed, render_chart(chart, look, width, _CHART_HEIGHT + len(names)))
    name = style.cut(panel.x_name, width)
    yield Text(" " * (width - cell_len(name)) + name)


# Texts and tables


def _coloured_text(panel: ColouredText, coloured: bool) -> Iterator[Text]:
    bracketed = set()
    if not coloured:
        bracketed = set(map(id, style.strongest(panel, max(1, len(panel.pieces) // 4))))
    text = Text()
    for piece in panel.pieces:
        before, inner, after = style.without_margins(style.flowing(piece.text))
        colour = None
        if coloured:
            colour = style.text_colour(piece.value, panel.low, panel.high, stepped=True)
        text.append(before)
        text.append(inner, background(colour) if colour else None)
        if id(piece) in bracketed:
            text.append(f"[{style.show_number(piece.value)}]")
        text.append(after)
    yield text
    yield Text()
    name = style.one_line(panel.value_name)
    if coloured:
        yield Text(f"{name}: ").append_text(scale_legend(panel.low, panel.high, coloured))
    else:
        scale = " to ".join(map(style.show_number, (panel.low, panel.high)))
        yield Text(f"in brackets: {name}, of a scale from {scale}")
    for piece in style.written_notes(panel):
        word = style.cut(piece.text.strip(), 2 * _MOST_LABEL)
        yield Text(f"  {word} ({style.show_number(piece.value)}): {style.one_line(piece.note)}")


def _table(panel: Table) -> RichTable:
    table = RichTable()
    for number, name in enumerate(panel.header):
        is_numeric = style.is_numeric(row[number] for row in panel.rows)
        table.add_column(
            Text(style.one_line(name)),
            justify="right" if is_numeric else "left",
            no_wrap=is_numeric,  # a number in two lines would be read as two
            overflow="ellipsis" if is_numeric else "fold",
        )
    for row in panel.rows:
        table.add_row(*(Text(style.cut(style.show_field(field), _MOST_CELL)) for field in row))
    return table
