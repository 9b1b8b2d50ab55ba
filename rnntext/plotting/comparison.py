"""The view of a comparison of models: a table, the answer, and the metric over the steps.

Knows: what a comparison shows, as data. Does not know: how models are trained, or how a page is
drawn.
"""

from __future__ import annotations

import numpy as np

from rnntext.comparison import Comparison, Row, format_value
from rnntext.plotting.page import Line, Lines, Note, Page, Panel, Table, View

_HOW = (
    "± is the standard deviation over the seeds. Each network has about as many parameters as the "
    "LSTM, is trained with the same objective, schedule and budget, and runs in PyTorch on the "
    "validation data; its size is that of its weights in float32."
)


def comparison_view(found: Comparison) -> View:
    """Return the view of the runs so far. A row of a pipe has the name of the model, the mean of
    the metric, its spread (empty: unknown), parameters, seconds of training, records a second, and
    bytes."""
    rows, metric, records = found.rows(), found.metric, found.question.records
    answer = found.answer()
    panels: list[Panel] = [
        Table(
            "",
            (
                *("model", metric.name, "±", "parameters", "training, s"),
                *(f"{records}/s", "size, kB"),
            ),
            [_cells(row) for row in rows],
        ),
        *([Note(answer)] if answer else []),
        *_curves(found, rows),
        Note(_HOW),
    ]
    return View(
        Page(f"{metric.name} of {len(rows)} models", panels),
        [row.to_json(metric, found.question) for row in rows],
        [
            [
                row.model.name,
                row.mean(),
                "" if row.spread is None else row.spread,
                row.runs[0].parameters,
                row.mean(lambda run: run.seconds),
                row.mean(lambda run: run.rate),
                row.runs[0].size,
            ]
            for row in rows
        ],
    )


def _cells(row: Row) -> list[str | float]:
    seconds, rate = row.mean(lambda run: run.seconds), row.mean(lambda run: run.rate)
    spread = "" if row.spread is None or not row.model.seeded else format_value(row.spread)
    return [
        row.model.title.removeprefix("the "),
        format_value(row.mean()),
        spread,
        f"{row.runs[0].parameters:,}",
        f"{seconds:.1f}",
        f"{rate:,.0f}",
        f"{row.runs[0].size / 1000:,.0f}",
    ]


def _curves(found: Comparison, rows: list[Row]) -> list[Panel]:
    """Return the panel of the metric over the steps, if there is a model with two evaluations. A
    curve has the steps after which all runs of the model were evaluated."""
    lines = []
    for row in rows:
        curves = [dict(run.curve) for run in row.runs]
        steps = sorted(set.intersection(*map(set, curves)))
        if len(steps) < 2:
            continue
        values = np.array([[curve[step] for step in steps] for curve in curves])  # (runs, steps)
        lines.append(
            Line(
                row.model.title.removeprefix("the "),
                np.array(steps),
                values.mean(0),
                values.std(0, ddof=1) if len(curves) > 1 else None,
            )
        )
    if not lines:
        return []
    name = found.metric.name
    return [Lines(f"{name} on the way", "step", name, lines)]
