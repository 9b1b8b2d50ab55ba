"""What a view into a model shows: a page of panels, each a picture as data.

Knows: the few kinds of panels that all views are made of, and which numbers belong together. Does
not know: where the numbers come from (`inspection/`), or how a panel is drawn: on a terminal
(`cli/page.py`), as PNG or SVG (`page_figure.py`) or as a web page (`page_html.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A matrix as colours.

    `values` (rows, columns) from `low` to `high`; NaN is an empty cell. Where `low` is negative the
    colours diverge from 0 (states), else they rise from `low` (shares). `low` and `high` are those
    of the scale, not of the values, so that pictures of two models compare.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Array
    low: float
    high: float
    row_name: str = ""  # what a row is, such as "unit"
    column_name: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve of `Lines`: y over x, with the half-width of its error, if it has one."""

    name: str
    x: Array
    y: Array
    error: Array | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """Curves over a common axis. On a logarithmic y axis only positive values are drawn."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text with its value; `note` says more about it, in a few words."""

    text: str
    value: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class ColouredText:
    """A text whose words or tokens have colours by value. White space between pieces is part of
    their texts. Negative and positive values have two colours where `low` is negative."""

    title: str
    pieces: Sequence[Piece]
    low: float
    high: float
    value_name: str  # with its unit, such as "surprisal in bits"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text and numbers under a header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float]]


@dataclass(frozen=True, slots=True)
class Band:
    """One row of boxes of an unrolled network: a vector at each of T steps.

    `values` (T, N) are drawn as a strip in each box, on the scale from `low` to `high`; N may be 0.
    `captions`: the lines of text in each box.
    """

    name: str
    values: Array
    captions: Sequence[Sequence[str]]
    low: float
    high: float
    along: str = ""  # → or ← where each box depends on the one before or after it
    is_fed: bool = True  # each box depends on the one below it


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A network unrolled in time: bands from the input to the answer, drawn from the bottom up,
    with the tokens below."""

    title: str
    steps: Sequence[str]
    bands: Sequence[Band]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence or two that explain what the panels around it show."""

    text: str


Panel = Heatmap | Lines | ColouredText | Table | Unrolled | Note


@dataclass(frozen=True, slots=True)
class Page:
    """Panels from top to bottom under one title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class View:
    """What an inspection found: `objects` for `--json`, one a line; `rows` for a pipe, fields of a
    line each; `page` for a reader's eyes."""

    page: Page
    objects: Sequence[dict[str, Any]]
    rows: Sequence[Sequence[str | float]]


def symmetric(values: Array) -> tuple[float, float]:
    """Return the least scale around 0 that holds all values: (-m, m), with m = 1 for none."""
    finite = np.abs(values[np.isfinite(values)])
    most = float(finite.max()) if finite.size else 0.0
    return (-most, most) if most > 0 else (-1.0, 1.0)
