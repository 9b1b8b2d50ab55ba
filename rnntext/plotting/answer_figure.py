"""A picture of how far the answers of a model can be trusted.

Knows: how reliability, coverage and the curves of labels look in Matplotlib. Does not know: what
they are computed from (`answer_curves.py`), or where the picture is written.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rnntext.answer_curves import MOST_LABELS, AnswerCurves, Kind
from rnntext.metric_sums import THRESHOLDS
from rnntext.plotting.curves import format_value, replace_unprintable
from rnntext.plotting.figure import colour, picture

_WIDTH, _HEIGHT = 15.0, 4.8  # inches
_LABEL, _TITLE = 24, 90  # characters
_WRITTEN_MARKS = (0.5, 0.9, 0.99)  # thresholds that are written beside their dots
_ROOM = 0.08  # that one takes, in coverage
_GREY = "0.45"


class _Words(NamedTuple):
    """What the axes are named for a kind of answer."""

    unit: str
    label: str
    confidence: str
    share: str  # of statements that are true
    accuracy: str


_WORDS = {
    Kind.LABEL: _Words("texts", "label", "confidence", "accuracy", "accuracy"),
    Kind.SET: _Words(
        "texts",
        "label",
        "probability of a label",
        "share of texts that have the label",
        "accuracy of whole sets of labels",
    ),
    Kind.TAG: _Words("words", "tag", "confidence", "accuracy", "accuracy"),
}


def render_answers(curves: AnswerCurves, title: str, file_format: str) -> bytes:
    """Return the content of a picture file; `file_format` is png or svg. `title`: the model."""
    return picture(lambda: _draw(curves, title), file_format)


def _draw(curves: AnswerCurves, title: str) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    figure.suptitle(
        f"{_cut(title, _TITLE)}: {curves.answers:,} {_WORDS[curves.kind].unit}",
        x=0.01,
        ha="left",
        parse_math=False,
    )
    reliability, coverage, labels = figure.subplots(1, 3)
    _draw_reliability(curves, reliability)
    _draw_coverage(curves, coverage)
    _draw_labels(curves, labels)
    # Beside the curves, which may be anywhere.
    legend = figure.legend(
        [Line2D([], [], color=colour(number)) for number in range(len(curves.labels))],
        [f"{_cut(each.label, _LABEL)} ({each.support:,})" for each in curves.labels],
        loc="outside right upper",
        frameon=False,
        fontsize="small",
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label may have dollar signs
    return figure


def _draw_reliability(curves: AnswerCurves, axes: Axes) -> None:
    words = _WORDS[curves.kind]
    title = f"reliability: ECE {format_value(curves.ece)} (with the number in each bin)"
    _name(axes, title, words.confidence, words.share)
    axes.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1)
    axes.bar(
        [each.low for each in curves.bins],
        [each.accuracy for each in curves.bins],
        [each.high - each.low for each in curves.bins],
        align="edge",
        color=colour(0),
        alpha=0.5,
        edgecolor="white",
    )
    axes.plot(
        [each.confidence for each in curves.bins],
        [each.accuracy for each in curves.bins],
        ".",
        color=colour(0),
    )
    for each in curves.bins:
        is_high = each.accuracy > 0.75  # no room above
        axes.annotate(
            f"{each.statements:,}",
            ((each.low + each.high) / 2, each.accuracy),
            xytext=(0, -7 if is_high else 7),
            textcoords="offset points",
            rotation="vertical",
            ha="center",
            va="top" if is_high else "bottom",
            fontsize="x-small",
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.03))


def _draw_coverage(curves: AnswerCurves, axes: Axes) -> None:
    words = _WORDS[curves.kind]
    below = f"coverage: share of {words.unit} that are answered"
    title = f"answers of at least some confidence (dots: {THRESHOLDS[0]} … {THRESHOLDS[-1]})"
    _name(axes, title, below, words.accuracy)
    # A single point has no line.
    marker = "." if len(curves.coverage) == 1 else None
    axes.plot(curves.coverage, curves.accuracy, color=colour(0), marker=marker)
    axes.plot(
        [mark.coverage for mark in curves.marks],
        [mark.accuracy for mark in curves.marks],
        "o",
        color=colour(0),
        markersize=4,
    )
    written = -1.0
    for mark in reversed(curves.marks):  # rising coverage
        if mark.threshold not in _WRITTEN_MARKS or mark.coverage < written + _ROOM:
            continue
        written = mark.coverage
        axes.annotate(
            f"{mark.threshold:g}",
            (mark.coverage, mark.accuracy),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )
    least = min(curves.accuracy.tolist(), default=0.0)
    axes.set(xlim=(0, 1.03), ylim=(max(0.0, least - 0.05), 1.03))


def _draw_labels(curves: AnswerCurves, axes: Axes) -> None:
    _name(axes, _title_of_labels(curves), "recall", "precision")
    for number, each in enumerate(curves.labels):
        axes.plot(
            each.recall,
            each.precision,
            color=colour(number),
            # From one point to the next no threshold lies between (Davis and Goadrich 2006).
            drawstyle="steps-pre",
            marker="." if len(each.recall) == 1 else None,
        )
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03))


def _title_of_labels(curves: AnswerCurves) -> str:
    label, left_out = _WORDS[curves.kind].label, f"{curves.left_out:,}"
    if not curves.left_out:
        return f"each {label}"
    if len(curves.labels) == MOST_LABELS:
        return f"the {MOST_LABELS} most frequent {label}s ({left_out} are left out)"
    return f"each {label} ({left_out} that the data lack are left out)"


def _name(axes: Axes, title: str, below: str, beside: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium", parse_math=False)
    axes.set(xlabel=below, ylabel=beside)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def _cut(text: str, most: int) -> str:
    line = replace_unprintable(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
