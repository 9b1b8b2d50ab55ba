"""Pages with hostile texts and numbers, for tests of all that draw pages."""

from __future__ import annotations

import numpy as np

from rnntext.plotting.page import (
    ColouredText,
    Heatmap,
    Line,
    Lines,
    Note,
    Page,
    Piece,
    Table,
)

NAUGHTY = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "<script>alert('x')</script>",
    '"><b onclick="x">&amp;',
    "w" * 300,
    "你好吗",
    "🙂👩\u200d💻",
    "e\u0301toile",
    "a\tb\r\nc\u2028d",
    "$x_1$ [bold]",
    "\u202eright to left",
    "",
    " ",
)


def heatmap(steps: int, units: int = 3, low: float = -1.0) -> Heatmap:
    """A heatmap with the naughty labels in a cycle, and one empty cell, the first."""
    values = np.random.default_rng(steps).uniform(low, 1.0, (units, steps)).astype(np.float32)
    values[0, 0] = np.nan
    labels = [NAUGHTY[step % len(NAUGHTY)] for step in range(steps)]
    return Heatmap(NAUGHTY[0], [*NAUGHTY[2:], *NAUGHTY][:units], labels, values, low, 1.0, "unit")


def coloured_text(low: float) -> ColouredText:
    values = [float("nan"), *np.linspace(low, 2.0, len(NAUGHTY) - 1).tolist()]
    pieces = [Piece(f" {t}", v, f"not {t}") for t, v in zip(NAUGHTY, values, strict=True)]
    return ColouredText(NAUGHTY[2], pieces, low, 2.0, "surprisal <bits>")


X = np.arange(1.0, 31.0)
LINES = Lines(
    NAUGHTY[2],
    "distance <x>",
    "effect $y$",
    (
        Line(NAUGHTY[0], X, np.exp(-X / 5), np.full(30, 0.1)),
        Line(NAUGHTY[2], X, np.where(X == 7, np.nan, -X)),
        Line("你好", X[:1], X[:1]),
        Line("none", X[:0], X[:0]),
    ),
)
LOG_LINES = Lines("log", "", "", (*LINES.lines, Line("zero", X, X - 1, X)), log_y=True)
TABLE = Table(NAUGHTY[1], ("<word>", "value"), [(t, i / 7) for i, t in enumerate(NAUGHTY)])
NAUGHTY_PAGE = Page(
    NAUGHTY[0],
    (
        Note(" ".join(NAUGHTY)),
        heatmap(13),
        heatmap(40, low=0.0),
        LINES,
        LOG_LINES,
        coloured_text(-1.5),
        coloured_text(0.0),
        TABLE,
    ),
)
EMPTY = np.zeros((0, 0))
# Everything without a value.
EMPTY_PANELS = Page(
    "empty",
    (
        Note(""),
        Heatmap("no cells", (), (), EMPTY, 0.0, 1.0),
        Lines("no lines", "x", "y", ()),
        Lines("no points", "x", "y", (Line("a", X[:0], X[:0]), Line("b", X, X * np.nan))),
        ColouredText("no pieces", (), 0.0, 0.0, "value"),
        Table("no rows", ("a", "b"), ()),
    ),
)
