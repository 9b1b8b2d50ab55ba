"""A chart as a picture, PNG or SVG, drawn by Matplotlib.

Knows: Matplotlib, of which it leaves no state behind, and what makes its files the same every
time. Does not know: what the curves are of (`curves.py`), nor where the picture is written.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from rnntext.plotting.curves import Chart, Panel, printable

# Text in an SVG stays text, and no curve loses the points that would not be seen.
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "rnntext", "path.simplify": False}
# No date, and not Matplotlib's version: two pictures of one run are the same.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_WIDTH, _HEIGHT, _DPI = 8.0, 3.2, 144  # of one panel in inches, and dots in one of them


def draw(chart: Chart, form: str) -> bytes:
    """The content of a file that shows the chart; `form` is png or svg."""
    content = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        mpl.rcdefaults()  # whatever the user's own matplotlibrc says
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(chart.panels)), layout="constrained")
        every = figure.subplots(len(chart.panels), sharex=True, squeeze=False)[:, 0]
        for panel, axes in zip(chart.panels, every, strict=True):
            _draw_panel(panel, axes)
        every[-1].set_xlabel(chart.axis)
        legend = figure.legend(
            [Line2D([], [], color=_colour(run)) for run in range(len(chart.legend))],
            [printable(line) for line in chart.legend],
            loc="outside upper left",
            frameon=False,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a directory's name may hold dollars
        figure.savefig(content, format=form, dpi=_DPI, metadata=_METADATA[form])
    return content.getvalue()


def _draw_panel(panel: Panel, axes: Axes) -> None:
    axes.set_title(printable(panel.title), loc="left", fontsize="medium", parse_math=False)
    axes.grid(alpha=0.3)
    for curve in panel.curves:
        colour = _colour(curve.run)
        if curve.is_smoothed:
            axes.plot(curve.x, curve.y, color=colour, alpha=0.25, linewidth=0.8)
        # One point alone makes no line.
        axes.plot(curve.x, curve.trend, color=colour, marker="." if len(curve.x) == 1 else None)
        if curve.best is not None:
            axes.plot(curve.x[curve.best], curve.y[curve.best], "o", color=colour)
    if panel.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _colour(run: int) -> str:
    return f"C{run % 10}"
