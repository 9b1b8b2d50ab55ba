"""Training curves from the logs of runs.

Knows: the format of `metrics.jsonl`, also of an unfinished run and of older versions, and which
values a chart shows. Does not know: how a chart is drawn on a terminal (`cli/chart.py`) or to a
file (`plotting/figure.py`).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.checkpoint import CONFIG, METRICS, load_config, read_file
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.errors import CheckpointError, UsageError
from rnntext.tasks import TASKS

AXES = ("steps", "seconds")

# Window of the moving average, as a fraction of all points.
_WINDOW = 1 / 50

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the log."""

    event: str  # step or evaluation
    step: int
    epoch: int
    seconds: float  # since the start of the run
    best: bool  # an evaluation that was better than all before it
    values: Mapping[str, float]  # all other finite numbers, in the order of the log

    def at(self, axis: str) -> float:
        """The row's position on the x axis, one of AXES."""
        return self.step if axis == "steps" else self.seconds


@dataclass(frozen=True, slots=True)
class Run:
    """The log of one run."""

    name: str  # the directory, as the user wrote it
    task: str
    rows: tuple[Row, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the logged values, in the order in which they first appear."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    def rows_of(self, name: str) -> list[Row]:
        """The rows that log a value: steps if there are any, otherwise evaluations.

        The loss is in both. In an evaluation it is the mean over the steps since the last one,
        which adds nothing to the steps themselves.
        """
        rows = [row for row in self.rows if name in row.values]
        return [row for row in rows if row.event == "step"] or rows


@dataclass(frozen=True, slots=True)
class Curve:
    """One value of one run."""

    run: int  # index of the run in the chart
    x: Array
    y: Array
    trend: Array  # the moving average of y, or y itself if there are few points
    best: int | None  # index of the best evaluation

    @property
    def is_smoothed(self) -> bool:
        return self.trend is not self.y


@dataclass(frozen=True, slots=True)
class Panel:
    """One value of several runs."""

    name: str
    curves: tuple[Curve, ...]
    is_log: bool = False  # draw on a logarithmic scale; all values are positive

    @property
    def title(self) -> str:
        smoothed = any(curve.is_smoothed for curve in self.curves)
        return f"{self.name}, smoothed" if smoothed else self.name


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels one above the other, with the same x axis."""

    axis: str  # one of AXES
    legend: tuple[str, ...]  # one line for each run
    panels: tuple[Panel, ...]


def read_runs(directories: Sequence[Path]) -> list[Run]:
    """Read the logs of checkpoint directories, without duplicates.

    Raises CheckpointError, in one line that names the file, and UsageError if the runs are of
    different tasks.
    """
    runs = [_read_run(directory) for directory in dict.fromkeys(directories)]
    names = {task: [run.name for run in runs if run.task == task] for task in TASKS}
    tasks = [f"{TASKS[task].title}: {', '.join(names[task])}" for task in names if names[task]]
    if len(tasks) > 1:
        raise UsageError(
            f"these runs share no metric ({'; '.join(tasks)}): plot one task at a time"
        )
    return runs


def check_metric(runs: Sequence[Run], metric: str) -> None:
    """Raise UsageError if no run logs `metric`."""
    known = dict.fromkeys(name for run in runs for name in run.names)
    if metric not in known:
        raise UsageError(f"--metric: no {metric!r} is logged; it is one of {', '.join(known)}")


def make_chart(runs: Sequence[Run], metric: str | None = None, axis: str = "steps") -> Chart:
    """Make the chart of the loss and of `metric` (None: the task's main metric).

    `axis` is one of AXES. A panel without any value is left out, as the metric of a run that is
    not evaluated yet. Raises CheckpointError if no panel is left.
    """
    metric = metric or _main_metric(runs)
    curves = {name: _curves(runs, name, axis) for name in ("loss", metric)}
    panels = tuple(
        Panel(name, of_name, _is_log(name, of_name)) for name, of_name in curves.items() if of_name
    )
    if not panels:
        raise CheckpointError(f"{', '.join(run.name for run in runs)}: neither loss nor {metric}")
    legend = [run.name for run in runs]
    for curve in curves[metric]:
        if curve.best is not None:
            x, y = curve.x[curve.best], curve.y[curve.best]
            where = f"at step {x:.0f}" if axis == "steps" else f"after {x:.0f} s"
            legend[curve.run] += f" (best: {metric} {format_value(y)} {where})"
    return Chart(axis, tuple(legend), panels)


def format_value(value: float) -> str:
    """Format a value with four significant digits; all digits of the integer part are kept."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def replace_unprintable(text: str) -> str:
    """Replace control characters and others that a terminal would obey or cannot show."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def moving_average(values: Array) -> Array:
    """A centred moving average over a fiftieth of all points, shorter at the ends. Returns `values`
    itself if that window is a single point."""
    reach = int(len(values) * _WINDOW / 2)
    if not reach:
        return values
    index = np.arange(len(values))
    first, end = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    sums = np.concatenate(([0.0], np.cumsum(values)))
    means: Array = (sums[end] - sums[first]) / (end - first)
    return means


def _is_log(name: str, curves: Sequence[Curve]) -> bool:
    """True for perplexity, which is the exponential of a loss."""
    return name.startswith("perplexity") and all((curve.y > 0).all() for curve in curves)


def _main_metric(runs: Sequence[Run]) -> str:
    evaluated = [run.names for run in runs if any(row.event == "evaluation" for row in run.rows)]
    candidates = TASKS[runs[0].task].metrics
    shared = (name for name in candidates if all(name in names for names in evaluated))
    return next(shared, candidates[-1])


def _curves(runs: Sequence[Run], name: str, axis: str) -> tuple[Curve, ...]:
    rows_of_runs = ((index, run.rows_of(name)) for index, run in enumerate(runs))
    return tuple(_curve(index, rows, name, axis) for index, rows in rows_of_runs if rows)


def _curve(run: int, rows: Sequence[Row], name: str, axis: str) -> Curve:
    x = np.array([row.at(axis) for row in rows], np.float64)
    y = np.array([row.values[name] for row in rows], np.float64)
    is_evaluation = rows[0].event == "evaluation"
    # `loss` is measured on the training data, so it has no best evaluation.
    best = [i for i, row in enumerate(rows) if row.best] if is_evaluation and name != "loss" else []
    return Curve(run, x, y, y if is_evaluation else moving_average(y), best[-1] if best else None)


# Reading


def _read_run(directory: Path) -> Run:
    task = CheckpointConfig(directory / CONFIG, load_config(directory)).task
    path = directory / METRICS
    # A log may be deleted, and a slim directory never has one: the model is whole without it.
    if not os.path.lexists(path):
        raise CheckpointError(
            f"{path} is not there: a slim model has no log of its training; name the directory "
            "that it was trained into"
        )
    rows = tuple(_read_rows(path, read_file(directory, METRICS)))
    if not rows:
        raise CheckpointError(f"{path} is empty: the run has logged nothing yet")
    return Run(str(directory), task, rows)


def _read_rows(path: Path, log: bytes) -> Iterator[Row]:
    lines = log.split(b"\n")
    # A running process may have written only a part of its last line.
    if _parse_object(lines[-1]) is None:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            row = _parse_row(_parse_object(line))
        except (KeyError, ValueError, OverflowError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"{path}, line {number} is damaged: {why}") from None
        if row is not None:
            yield row


def _parse_object(line: bytes) -> dict[str, Any] | None:
    """Parse a line of JSON. Return None if it is not an object."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8
        return None
    return fields if isinstance(fields, dict) else None


def _parse_row(fields: dict[str, Any] | None) -> Row | None:
    """Make a row. Return None for an event that this version does not know."""
    if fields is None:
        raise ValueError("it is not a JSON object")
    # The first versions logged only evaluations, without the field `event`.
    event = fields.pop("event", "evaluation")
    if event not in ("step", "evaluation"):
        return None
    best = fields.pop("best", False) is True
    step, epoch, seconds = (fields.pop(name) for name in ("step", "epoch", "seconds"))
    if not all(map(_is_finite, (step, epoch, seconds))):
        raise ValueError("its step, epoch or seconds is not a number")
    values = {name: value for name, value in fields.items() if _is_finite(value)}
    return Row(event, int(step), int(epoch), seconds, best, values)


def _is_finite(value: object) -> bool:
    # A run that diverges logs NaN; a bool is an int to Python.
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)
