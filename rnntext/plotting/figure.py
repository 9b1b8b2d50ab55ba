"""A chart as a PNG or SVG picture, drawn by Matplotlib.

Knows: Matplotlib, whose global state it leaves unchanged, and which settings make its files
reproducible, also those of other figures (`answer_figure.py`). Does not know: what the curves mean
(`curves.py`), or where the picture is written.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from rnntext.plotting.curves import Chart, Panel, replace_unprintable

# Keep text in an SVG as text, and keep all points of a curve.
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "rnntext", "path.simplify": False}
# Without the date and Matplotlib's version, two pictures of one run have the same bytes.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
_WIDTH, _HEIGHT, _DPI = 8.0, 3.2, 144  # of one panel in inches, and dots per inch


def render(chart: Chart, file_format: str) -> bytes:
    """Return the content of a picture file; `file_format` is png or svg."""
    return picture(lambda: _draw(chart), file_format)


def picture(draw: Callable[[], Figure], file_format: str) -> bytes:
    """Return the content of a picture file of the figure that `draw` makes; `file_format` is png or
    svg. It is the same bytes whatever the settings of the user or of the process."""
    content = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        # A character that the font does not have is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        mpl.rcdefaults()  # ignore the user's own matplotlibrc
        mpl.rcParams.update(_SETTINGS)
        draw().savefig(content, format=file_format, dpi=_DPI, metadata=_METADATA[file_format])
    return content.getvalue()


def _draw(chart: Chart) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT * len(chart.panels)), layout="constrained")
    all_axes = figure.subplots(len(chart.panels), sharex=True, squeeze=False)[:, 0]
    for panel, axes in zip(chart.panels, all_axes, strict=True):
        _draw_panel(panel, axes)
    all_axes[-1].set_xlabel(chart.axis)
    legend = figure.legend(
        [Line2D([], [], color=colour(run)) for run in range(len(chart.legend))],
        [replace_unprintable(line) for line in chart.legend],
        loc="outside upper left",
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # the name of a directory may have dollar signs
    return figure


def _draw_panel(panel: Panel, axes: Axes) -> None:
    axes.set_title(
        replace_unprintable(panel.title), loc="left", fontsize="medium", parse_math=False
    )
    axes.grid(alpha=0.3)
    for curve in panel.curves:
        run_colour = colour(curve.run)
        if curve.is_smoothed:
            axes.plot(curve.x, curve.y, color=run_colour, alpha=0.25, linewidth=0.8)
        # A single point has no line.
        axes.plot(curve.x, curve.trend, color=run_colour, marker="." if len(curve.x) == 1 else None)
        if curve.best is not None:
            axes.plot(curve.x[curve.best], curve.y[curve.best], "o", color=run_colour)
    if panel.is_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def colour(number: int) -> str:
    """The colour of the run, the label ... of this number."""
    return f"C{number % 10}"
