"""A value as the characters of a cell, with colours and without, and the legend of a scale.

Knows: Rich, and how a line of cells keeps its width. Does not know: what the cells are part of.
"""

from __future__ import annotations

from itertools import pairwise

from rich.cells import cell_len
from rich.color import Color
from rich.style import Style
from rich.text import Text

from rnntext.plotting import page_style as style

CELL = 2  # columns of a value under a label that is written downwards
_BAR = 24  # columns of a legend
# Without colours a value is a character: a rising share, or a sign and its strength.
_SHARES, _STRENGTHS = " .:-=+*#%@", " .:*#"
EMPTY = "/"


def cell(
    value: float, low: float, high: float, width: int, coloured: bool
) -> tuple[str, Style | None]:
    """The characters of a value and their style."""
    colour = style.colour_of(value, low, high, stepped=True)
    gap = " " if width > CELL else ""
    if colour is None:
        return EMPTY * (width - len(gap)) + gap, None
    if coloured:
        return " " * width, background(colour)
    if low >= 0:
        return _mark(value, low, high, _SHARES) * (width - len(gap)) + gap, None
    strength = _mark(value, low, high, _STRENGTHS)
    sign = " " if strength == " " else "-" if value < 0 else "+"
    return sign + strength * (width - 1 - len(gap)) + gap, None


def _mark(value: float, low: float, high: float, marks: str) -> str:
    return marks[round(style.strength(value, low, high) * (len(marks) - 1))]


def scale_legend(low: float, high: float, coloured: bool) -> Text:
    """The scale from its lowest value to its highest, with zero between them if it has signs."""
    marks = style.scale_marks(low, high)
    legend = Text(style.show_number(marks[0]) + " ")
    parts = len(marks) - 1
    for start, end in pairwise(marks):
        if coloured:
            for value in style.gradient(start, end, _BAR // parts):
                colour = style.colour_of(value, low, high, stepped=True)
                legend.append(" ", background(colour or style.WHITE))
        else:
            steps = len(_STRENGTHS if low < 0 else _SHARES)
            for value in style.gradient(start, end, steps):
                legend.append(cell(value, low, high, CELL, coloured)[0] + " " * (low < 0))
        legend.append(f" {style.show_number(end)} ")
    legend.rstrip()
    return legend


def background(colour: style.Colour) -> Style:
    ink = style.ink_on(colour)
    return Style(color=Color.from_rgb(*ink), bgcolor=Color.from_rgb(*colour))


def padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def fixed(line: Text) -> Text:
    """Keep spaces at the end of a line: they are cells."""
    line.no_wrap, line.overflow = True, "ignore"
    return line
