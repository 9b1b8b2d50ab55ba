"""A page of panels as a PNG or SVG picture, drawn by Matplotlib.

Knows: how the panels look in Matplotlib, and how much room each takes: everything is placed in
inches, from top to bottom. Does not know: where the numbers come from, or where the picture is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter

from rnntext.errors import UsageError
from rnntext.plotting import page_style as style
from rnntext.plotting import unrolled_figure
from rnntext.plotting.figure import colour, picture
from rnntext.plotting.page import ColouredText, Heatmap, Lines, Note, Page, Panel, Table, Unrolled
from rnntext.text.columns import columns_of

_WIDTH, _MARGIN = 11.0, 0.3  # inches, also below
_MOST_HEIGHT = 400.0  # Matplotlib draws no PNG of over 65,536 dots
_GAP, _HEAD = 0.3, 0.3  # above a panel; its title
_SIZE = 9.0  # of letters, in points
_LINE = 1.5 * _SIZE / 72  # the height of a line of text, in inches
_LETTER = 0.602 * _SIZE / 72  # the width of a letter of DejaVu Sans Mono
_CELL = 0.17  # the least height and width of a cell of a heatmap
_MOST_CELL = 0.6  # its greatest width
_LINES_HEIGHT, _LEGEND_WIDTH = 3.0, 2.6
_MOST_LABEL, _MOST_ROW, _MOST_FIELD, _MOST_TITLE = 20, 32, 48, 100  # columns of letters
_MONO = "DejaVu Sans Mono"
_LETTERS = int((_WIDTH - 2 * _MARGIN) / _LETTER)  # in a line
_NO_VALUE = "0.85"  # grey


def render(page: Page, file_format: str) -> bytes:
    """Return the content of a picture file; `file_format` is png or svg. Raises UsageError for a
    page that is too long for a picture."""
    return picture(lambda: _draw(page), file_format)


class _Sheet:
    """A figure that is filled from its top."""

    def __init__(self, height: float) -> None:
        if height > _MOST_HEIGHT:
            raise UsageError(
                f"the picture would be {height:,.0f} inches high, and {_MOST_HEIGHT:.0f} are the "
                "most: give fewer or shorter texts, or write an .html page"
            )
        self.figure = Figure(figsize=(_WIDTH, height))
        self._height = height
        self.top = 0.0  # where the next panel begins, in inches from the top

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place below the top of the panel, in inches."""
        lower = self._height - self.top - top - height
        return self.figure.add_axes(
            (left / _WIDTH, lower / self._height, width / _WIDTH, height / self._height)
        )

    def write(self, left: float, top: float, text: str, bold: bool = False) -> None:
        """Write a line of text, its middle half a line below `top`."""
        self.figure.text(
            left / _WIDTH,
            1 - (self.top + top + _LINE / 2) / self._height,
            text,
            fontsize=_SIZE + 1 if bold else _SIZE,
            fontweight="bold" if bold else "normal",
            va="center",
            parse_math=False,
        )


# A panel's height in inches, and a function that draws it on a sheet whose top is the panel's.
_Drawing = tuple[float, Callable[[_Sheet], None]]


def _draw(page: Page) -> Figure:
    drawings = [_drawing(panel) for panel in page.panels]
    height = _MARGIN + _LINE + sum(_GAP + height for height, _ in drawings) + _MARGIN
    sheet = _Sheet(height)
    sheet.top = _MARGIN
    sheet.write(_MARGIN, 0, style.cut(page.title, _MOST_TITLE), bold=True)
    sheet.top += _LINE
    for panel_height, draw in drawings:
        sheet.top += _GAP
        draw(sheet)
        sheet.top += panel_height
    return sheet.figure


def _drawing(panel: Panel) -> _Drawing:
    match panel:
        case Heatmap():
            return _heatmap(panel)
        case Lines():
            return _lines(panel)
        case ColouredText():
            return _coloured_text(panel)
        case Table():
            return _table(panel)
        case Unrolled():
            return _unrolled(panel)
        case Note():
            return _note(panel)


def _head(sheet: _Sheet, title: str) -> None:
    sheet.write(_MARGIN, 0, style.cut(title, _MOST_TITLE), bold=True)


# Heatmaps


def _heatmap(panel: Heatmap) -> _Drawing:
    values = np.asarray(panel.values, np.float64)
    if not values.size:
        return _without_values(panel.title)
    rows = [style.cut(row, _MOST_ROW) for row in panel.rows]
    labels = [style.cut(column, _MOST_LABEL) for column in panel.columns]
    left = _MARGIN + (max(map(columns_of, rows)) + 1) * _LETTER
    room = _WIDTH - _MARGIN - left
    in_block = int(room / _CELL)
    cell = min(max(_CELL, room / len(labels)), _MOST_CELL)
    # As in a text, labels stand side by side where there is room.
    upright = all(columns_of(label) * _LETTER < cell for label in labels)
    longest = max(map(columns_of, labels))
    label_height = _LINE if upright else (longest + 1) * _LETTER
    block_height = label_height + len(rows) * _CELL + _GAP
    firsts = range(0, len(labels), in_block)

    def draw(sheet: _Sheet) -> None:
        _head(sheet, panel.title)
        for number, first in enumerate(firsts):
            block = values[:, first : first + in_block]
            top = _HEAD + number * block_height + label_height
            axes = sheet.axes(left, top, block.shape[1] * cell, len(rows) * _CELL)
            _draw_cells(axes, block, panel.low, panel.high)
            axes.set_xlim(0, block.shape[1])
            axes.set_ylim(len(rows), 0)
            for row, label in enumerate(rows):
                _label(axes, -_LETTER / cell, row + 0.5, label, ha="right", va="center_baseline")
            for column, label in enumerate(labels[first : first + in_block]):
                _label(
                    axes,
                    column + 0.5,
                    -0.25,
                    label,
                    ha="center",
                    va="bottom",
                    rotation="horizontal" if upright else "vertical",
                )
        top = _HEAD + len(firsts) * block_height
        _draw_legend(sheet, left, top, panel.low, panel.high)
        says = [style.describe(panel)]
        if np.isnan(values).any():
            says.append(f"grey: {style.NO_VALUE}")
        sheet.write(left + 3.6, top, "; ".join(filter(None, says)))

    return _HEAD + len(firsts) * block_height + _LINE, draw


def _draw_cells(axes: Axes, values: style.Values, low: float, high: float) -> None:
    rows, columns = values.shape
    colours: dict[str, int] = {}  # each with its number in the colour map
    numbers = np.array(
        [colours.setdefault(_hex(value, low, high), len(colours)) for value in values.flat]
    )
    axes.pcolormesh(
        np.arange(columns + 1),
        np.arange(rows + 1),
        numbers.reshape(rows, columns),
        cmap=ListedColormap(list(colours)),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
    )
    axes.set_axis_off()


def _hex(value: float, low: float, high: float) -> str:
    found = style.colour_of(value, low, high)
    return style.hex_of(found) if found else _NO_VALUE


def _draw_legend(sheet: _Sheet, left: float, top: float, low: float, high: float) -> None:
    """The scale, with its ends and its zero written below it."""
    axes = sheet.axes(left + 0.3, top, 2.4, _LINE)
    _draw_cells(axes, np.array([style.gradient(low, high, 61)]), low, high)
    axes.set_xlim(0, 61)
    marks = style.scale_marks(low, high)
    span = marks[-1] - marks[0]
    for mark in marks:
        place = 61 * (mark - low) / span if span > 0 else 0
        _label(axes, place, -0.1, style.show_number(mark), ha="center", va="top")


def _label(axes: Axes, x: float, y: float, text: str, **place: str) -> None:
    axes.text(x, y, text, fontsize=_SIZE - 1, fontfamily=_MONO, parse_math=False, **place)  # type: ignore[arg-type]


# Curves


def _lines(panel: Lines) -> _Drawing:
    lines = [style.drawable(line, panel.log_y) for line in panel.lines]
    if not any(len(line.x) for line in lines):
        return _without_values(panel.title)

    def draw(sheet: _Sheet) -> None:
        _head(sheet, panel.title)
        left, width = _MARGIN + 0.8, _WIDTH - 2 * _MARGIN - 0.8 - _LEGEND_WIDTH
        axes = sheet.axes(left, _HEAD + 0.05, width, _LINES_HEIGHT)
        for number, line in enumerate(lines):
            # A single point has no line.
            marker = "." if len(line.x) == 1 else None
            name = style.cut(line.name, _MOST_ROW)
            axes.plot(line.x, line.y, color=colour(number), marker=marker, label=name)
            if line.error is not None and len(line.x):
                lower, upper = line.y - line.error, line.y + line.error
                if panel.log_y:
                    lower = np.where(lower > 0, lower, line.y)
                axes.fill_between(
                    line.x, lower, upper, color=colour(number), alpha=0.2, linewidth=0
                )
        if panel.log_y:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=_SIZE - 1)
        for name_axis, name in ((axes.set_xlabel, panel.x_name), (axes.set_ylabel, panel.y_name)):
            name_axis(style.cut(name, _MOST_FIELD), fontsize=_SIZE, parse_math=False)
        legend = axes.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=_SIZE
        )
        for text in legend.get_texts():
            text.set_parse_math(False)

    return _HEAD + _LINES_HEIGHT + 0.6, draw


# Texts and tables


def _coloured_text(panel: ColouredText) -> _Drawing:
    fragments: list[style.Fragment] = []
    for piece in panel.pieces:
        before, inner, after = style.without_margins(style.flowing(piece.text))
        found = style.text_colour(piece.value, panel.low, panel.high)
        fragments += [(before, None), (inner, found), (after, None)]
    lines = style.flow(fragments, _LETTERS)
    notes = [
        style.cut(
            f"{piece.text.strip()} ({style.show_number(piece.value)}): {piece.note}", _LETTERS
        )
        for piece in style.written_notes(panel)
    ]
    text_height = len(lines) * _LINE * 1.2
    below = _HEAD + text_height + 0.1

    def draw(sheet: _Sheet) -> None:
        _head(sheet, panel.title)
        _draw_text(sheet, lines, text_height)
        name = style.cut(panel.value_name, _MOST_LABEL * 2)
        sheet.write(_MARGIN, below, name)
        legend_left = _MARGIN + (columns_of(name) + 1) * _LETTER
        _draw_legend(sheet, legend_left, below, panel.low, panel.high)
        for number, note in enumerate(notes):
            sheet.write(_MARGIN, below + (number + 2.2) * _LINE, note)

    return below + (2.2 + len(notes)) * _LINE, draw


def _draw_text(sheet: _Sheet, lines: Sequence[Sequence[style.Fragment]], height: float) -> None:
    """Lines of letters of equal width, with colours behind them."""
    axes = sheet.axes(_MARGIN, _HEAD, _LETTERS * _LETTER, height)
    axes.set_axis_off()
    axes.set_xlim(0, _LETTERS)
    axes.set_ylim(len(lines), 0)
    for row, line in enumerate(lines):
        column = 0
        for text, behind in line:
            width = columns_of(text)
            if behind is not None:
                axes.add_patch(
                    Rectangle((column, row + 0.08), width, 0.84, facecolor=style.hex_of(behind))
                )
            axes.text(
                column,
                row + 0.5,
                text,
                fontsize=_SIZE,
                fontfamily=_MONO,
                va="center_baseline",
                parse_math=False,
                color=style.hex_of(style.ink_on(behind) if behind else style.BLACK),
            )
            column += width


def _table(panel: Table) -> _Drawing:
    header = [style.cut(name, _MOST_FIELD) for name in panel.header]
    rows = [
        [style.cut(style.show_field(field), _MOST_FIELD) for field in row] for row in panel.rows
    ]
    numeric = [style.is_numeric(row[i] for row in panel.rows) for i in range(len(header))]
    widths = [max(map(columns_of, column)) for column in zip(header, *rows, strict=True)]
    gap = 3
    # A table that is too wide is cut at the right margin.
    lines = [header, *rows]

    def draw(sheet: _Sheet) -> None:
        _head(sheet, panel.title)
        axes = sheet.axes(_MARGIN, _HEAD, _LETTERS * _LETTER, len(lines) * _LINE)
        axes.set_axis_off()
        axes.set_xlim(0, _LETTERS)
        axes.set_ylim(len(lines), 0)
        for row, fields in enumerate(lines):
            column = 0
            for field, width, is_right in zip(fields, widths, numeric, strict=True):
                axes.text(
                    column + width if is_right else column,
                    row + 0.5,
                    field,
                    ha="right" if is_right else "left",
                    va="center_baseline",
                    fontsize=_SIZE,
                    fontfamily=_MONO,
                    fontweight="normal" if row else "bold",
                    parse_math=False,
                    clip_on=True,
                )
                column += width + gap
        axes.plot([0, sum(widths) + gap * (len(widths) - 1)], [1, 1], color="black", linewidth=0.8)

    return _HEAD + len(lines) * _LINE, draw


def _unrolled(panel: Unrolled) -> _Drawing:
    layout = unrolled_figure.Layout(panel, _WIDTH - 2 * _MARGIN)
    pitch = layout.block_height + _GAP

    def draw(sheet: _Sheet) -> None:
        _head(sheet, panel.title)
        for number, block in enumerate(layout.blocks):
            top = _HEAD + number * pitch
            axes = sheet.axes(_MARGIN, top, layout.width, layout.block_height)
            unrolled_figure.draw(layout, axes, block)

    return _HEAD + len(layout.blocks) * pitch - _GAP, draw


def _note(panel: Note) -> _Drawing:
    lines = style.flow([(style.flowing(panel.text), None)], _LETTERS)

    def draw(sheet: _Sheet) -> None:
        for number, line in enumerate(lines):
            sheet.write(_MARGIN, number * _LINE, "".join(text for text, _ in line))

    return len(lines) * _LINE, draw


def _without_values(title: str) -> _Drawing:
    def draw(sheet: _Sheet) -> None:
        _head(sheet, title)
        sheet.write(_MARGIN, _HEAD, "no values")

    return _HEAD + _LINE, draw
