"""A page of panels as a file for a browser: one HTML file without scripts, which needs no network.

Knows: HTML and SVG, and how a page stays readable in a browser that prefers dark pages. Does not
know: where the numbers come from, or where the file is written.

A cell, a piece of text and a point of a curve show their exact value when the pointer rests on
them. All text of users is escaped, and the page forbids itself to load anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from rnntext.plotting import page_style as style
from rnntext.plotting import unrolled_html
from rnntext.plotting.page import (
    ColouredText,
    Heatmap,
    Line,
    Lines,
    Note,
    Page,
    Panel,
    Table,
    Unrolled,
)
from rnntext.plotting.ticks import round_values
from rnntext.text.columns import columns_of

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --quiet: #5c5c5c;
  --rule: #d4d4d4; --none: #dcdcdc; }
@media (prefers-color-scheme: dark) { :root { --paper: #161616; --ink: #e6e6e6; --quiet: #a4a4a4;
  --rule: #444; --none: #3a3a3a; } }
body { margin: 2rem auto; padding: 0 1rem; max-width: 75rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { max-width: 45rem; }
.wide { overflow-x: auto; }
.quiet { color: var(--quiet); font-size: .85rem; }
table { border-collapse: collapse; }
.heat { font: 12px/1.2 ui-monospace, monospace; overflow-wrap: normal; }
.heat th { font-weight: normal; white-space: pre; padding: 1px 4px; }
.heat thead th { vertical-align: bottom; text-align: center; }
.heat .down span { display: inline-block; writing-mode: vertical-rl; transform: rotate(180deg); }
.heat tbody th { position: sticky; left: 0; background: var(--paper); text-align: right; }
.heat tbody td { min-width: 16px; height: 16px; padding: 0; background: var(--none); }
.bar { display: inline-block; width: 12rem; height: .8rem; vertical-align: middle;
  margin: 0 .5rem; }
.text { white-space: pre-wrap; font-size: 1.1rem; line-height: 1.7; max-width: none; }
.text span { border-radius: 3px; padding: 1px 0; }
.rows th, .rows td { border-bottom: 1px solid var(--rule); padding: .2rem .8rem; text-align: left;
  max-width: 40rem; }
.rows .number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; display: block; }
svg text { fill: currentColor; font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); }
"""
_HEAD = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
)
_MOST_LABEL, _MOST_ROW, _MOST_NAME = 24, 48, 40
_UPRIGHT = 110  # columns of letters that labels may take side by side
_BAR_COLOURS = 25


def render(page: Page) -> bytes:
    """Return the content of an HTML file."""
    title = _text(page.title)
    parts = [
        _HEAD,
        f"<title>{title}</title>\n<style>{_STYLE}{unrolled_html.STYLE}</style>\n</head>\n<body>\n",
    ]
    parts.append(f"<main>\n<h1>{title}</h1>\n")
    for panel in page.panels:
        parts += [*_draw(panel), "\n"]
    parts.append("</main>\n</body>\n</html>\n")
    return "".join(parts).encode()


def _draw(panel: Panel) -> Iterator[str]:
    match panel:
        case Heatmap():
            yield from _heatmap(panel)
        case Lines():
            yield from _lines(panel)
        case ColouredText():
            yield from _coloured_text(panel)
        case Table():
            yield from _table(panel)
        case Unrolled():
            yield _title(panel.title)
            yield from unrolled_html.draw(panel)
        case Note():
            yield f"<p>{_text(panel.text).replace(chr(10), '<br>')}</p>"


def _text(text: str) -> str:
    """Escape text for an element or an attribute."""
    return escape(style.flowing(text))


def _title(text: str) -> str:
    return f"<h2>{_text(text)}</h2>\n"


# Heatmaps


def _heatmap(panel: Heatmap) -> Iterator[str]:
    values = np.asarray(panel.values, np.float64)
    yield _title(panel.title)
    if not values.size:
        yield "<p>no values</p>"
        return
    labels = [style.cut(column, _MOST_LABEL) for column in panel.columns]
    upright = sum(columns_of(label) + 1 for label in labels) <= _UPRIGHT
    yield '<div class="wide"><table class="heat">\n<thead><tr><td></td>'
    for label, column in zip(labels, panel.columns, strict=True):
        kind = "" if upright else ' class="down"'
        yield f'<th{kind} scope="col" title="{_text(column)}"><span>{_text(label)}</span></th>'
    yield "</tr></thead>\n<tbody>\n"
    for row, row_values in zip(panel.rows, values, strict=True):
        label = _text(style.cut(row, _MOST_ROW))
        yield f'<tr><th scope="row" title="{_text(row)}">{label}</th>'
        name = f"{panel.row_name} {row}"
        for column, value in zip(labels, row_values.tolist(), strict=True):
            says = _text(f"{name}, {panel.column_name} {column}: {style.show_exactly(value)}")
            yield f'<td title="{says}"{_background(value, panel.low, panel.high)}></td>'
        yield "</tr>\n"
    yield "</tbody></table></div>\n"
    says = style.describe(panel)
    if np.isnan(values).any():
        says = "; ".join(filter(None, (says, f"grey: {style.NO_VALUE}")))
    yield f'<p class="quiet">{_legend(panel.low, panel.high)} &emsp; {_text(says)}</p>'


def _background(value: float, low: float, high: float) -> str:
    found = style.colour_of(value, low, high)
    return f' style="background:{style.hex_of(found)}"' if found else ""


def _legend(low: float, high: float) -> str:
    """The ends of the scale around its colours, with its zero, if it has signs."""
    stops = [
        style.hex_of(style.colour_of(value, low, high) or style.WHITE)
        for value in style.gradient(low, high, _BAR_COLOURS)
    ]
    marks = [style.show_number(mark) for mark in style.scale_marks(low, high)]
    bar = (
        f'<span class="bar" style="background:linear-gradient(to right,{",".join(stops)})"></span>'
    )
    white = " (white: 0)" if len(marks) > 2 else ""
    return f"{marks[0]}{bar}{marks[-1]}{white}"


# Curves

_WIDTH, _HEIGHT = 900, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 10, 10, 50  # margins
_TICKS = 8
# Colours that can be told apart with a colour deficiency, on white and on black (Okabe and Ito
# 2008); after them, dashes.
_PENS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_DASHES = ("", "8 4", "2 4")


class _Axis(NamedTuple):
    """Maps values to places in the drawing."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        values = round_values(self.low, self.high, _TICKS, self.is_log)
        return [(self.place(value), text) for value, text in values]


def _lines(panel: Lines) -> Iterator[str]:
    yield _title(panel.title)
    lines = [style.drawable(line, panel.log_y) for line in panel.lines]
    if not any(len(line.x) for line in lines):
        yield "<p>no values</p>"
        return
    x_axis = _axis([line.x for line in lines], _LEFT, _WIDTH - _RIGHT)
    edges = [edge for line in lines for edge in _edges(line, panel.log_y)]
    y_axis = _axis(edges, _HEIGHT - _BOTTOM, _TOP, panel.log_y)
    yield '<p class="quiet">'
    for number, line in enumerate(lines):
        yield (
            f'<svg width="30" height="10" style="display:inline-block">'
            f'<path {_pen(number)} d="M0 5H30"/></svg>'
            f" {_text(style.cut(line.name, _MOST_NAME))} &emsp;"
        )
    yield f'</p>\n<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">\n'
    yield f"<title>{_text(panel.title)}</title>\n"
    yield from _frame(panel, x_axis, y_axis)
    for number, line in enumerate(lines):
        yield from _curve(line, number, panel.log_y, x_axis, y_axis)
    yield "</svg>"


def _axis(values: Sequence[style.Values], start: float, end: float, is_log: bool = False) -> _Axis:
    """The axis from the least to the greatest of all values."""
    every = np.concatenate(values)
    low, high = float(every.min()), float(every.max())
    if low == high:  # put the single value in the middle
        margin = abs(low) / 10 or 1.0
        low, high = low - margin, high + margin
    return _Axis(low, high, start, end, is_log)


def _edges(line: Line, log_y: bool) -> tuple[style.Values, style.Values]:
    """The curve with its error taken off and added; on a logarithmic axis not down to zero."""
    error = np.zeros_like(line.y) if line.error is None else line.error
    lower = line.y - error
    return np.where(lower > 0, lower, line.y) if log_y else lower, line.y + error


def _frame(panel: Lines, x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for place, text in x_axis.ticks():
        yield f'<path class="grid" d="M{place} {_TOP}V{bottom}"/>'
        yield f'<text x="{place}" y="{bottom + 18}" text-anchor="middle">{text}</text>\n'
    for place, text in y_axis.ticks():
        yield f'<path class="grid" d="M{_LEFT} {place}H{right}"/>'
        yield f'<text x="{_LEFT - 6}" y="{place + 4}" text-anchor="end">{text}</text>\n'
    x_name, y_name = (_text(style.cut(n, _MOST_ROW)) for n in (panel.x_name, panel.y_name))
    middle = (_TOP + bottom) / 2
    yield f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{x_name}</text>'
    yield (
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{y_name}'
        "</text>\n"
    )


def _curve(line: Line, number: int, log_y: bool, x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    x = [x_axis.place(value) for value in line.x.tolist()]
    y = [y_axis.place(value) for value in line.y.tolist()]
    colour = _PENS[number % len(_PENS)]
    if line.error is not None and x:
        lower, upper = ([y_axis.place(v) for v in edge.tolist()] for edge in _edges(line, log_y))
        outline = [*zip(x, upper, strict=True), *reversed([*zip(x, lower, strict=True)])]
        points = " ".join(f"{a},{b}" for a, b in outline)
        yield f'<polygon points="{points}" fill="{colour}" fill-opacity=".18"/>\n'
    points = " ".join(f"{a},{b}" for a, b in zip(x, y, strict=True))
    yield f'<polyline {_pen(number)} points="{points}"/>\n'
    name = style.cut(line.name, _MOST_NAME)
    radius = 3 if len(x) <= 100 else 1.5
    for place, height, at, value in zip(x, y, line.x.tolist(), line.y.tolist(), strict=True):
        says = f"{name}: {style.show_exactly(value)} at {style.show_exactly(at)}"
        yield (
            f'<circle cx="{place}" cy="{height}" r="{radius}" fill="{colour}">'
            f"<title>{_text(says)}</title></circle>\n"
        )


def _pen(number: int) -> str:
    colour, dashes = _PENS[number % len(_PENS)], _DASHES[number // len(_PENS) % len(_DASHES)]
    return f'fill="none" stroke-width="2" stroke="{colour}" stroke-dasharray="{dashes}"'


# Texts and tables


def _coloured_text(panel: ColouredText) -> Iterator[str]:
    yield _title(panel.title)
    yield '<p class="text">'
    for piece in panel.pieces:
        before, inner, after = style.without_margins(style.flowing(piece.text))
        says = f"{panel.value_name}: {style.show_exactly(piece.value)}"
        if piece.note:
            says += f"; {piece.note}"
        behind = style.text_colour(piece.value, panel.low, panel.high)
        colours = ""
        if behind:
            ink = style.hex_of(style.ink_on(behind))
            colours = f' style="background:{style.hex_of(behind)};color:{ink}"'
        yield f'{before}<span title="{_text(says)}"{colours}>{escape(inner)}</span>{after}'
    yield "</p>\n"
    legend = _legend(panel.low, panel.high)
    yield f'<p class="quiet">{_text(panel.value_name)}: {legend}</p>'
    if notes := style.written_notes(panel):
        yield "\n<ul>\n"
        for piece in notes:
            word, value = _text(piece.text.strip()), style.show_number(piece.value)
            yield f"<li><b>{word}</b> ({value}): {_text(piece.note)}</li>\n"
        yield "</ul>"


def _table(panel: Table) -> Iterator[str]:
    yield _title(panel.title)
    numeric = [
        ' class="number"' if style.is_numeric(row[i] for row in panel.rows) else ""
        for i in range(len(panel.header))
    ]
    yield '<div class="wide"><table class="rows">\n<thead><tr>'
    for name, kind in zip(panel.header, numeric, strict=True):
        yield f'<th{kind} scope="col">{_text(name)}</th>'
    yield "</tr></thead>\n<tbody>\n"
    for row in panel.rows:
        fields = (
            f"<td{kind}{_exact(field)}>{_text(style.show_field(field))}</td>"
            for field, kind in zip(row, numeric, strict=True)
        )
        yield f"<tr>{''.join(fields)}</tr>\n"
    yield "</tbody></table></div>"


def _exact(field: str | float) -> str:
    if not isinstance(field, float | np.floating):
        return ""
    return f' title="{style.show_exactly(float(field))}"'
