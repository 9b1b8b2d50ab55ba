"""What a training run has logged, as curves.

Knows: the lines of `metrics.jsonl`, those of a run that is still going on and those that older
versions wrote; which of their values belong into a chart. Does not know: how a chart is drawn,
on a terminal (`cli/canvas.py`) or into a file (`plotting/figure.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.checkpoint import CONFIG, METRICS, load_config, read_file
from rnntext.errors import CheckpointError, UsageError
from rnntext.tasks import TASKS

AXES = ("steps", "seconds")

# A point of a smoothed line is the mean over this part of all points.
_SMOOTH = 1 / 50

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the log."""

    event: str  # step or evaluation
    step: int
    epoch: int
    seconds: float  # since the run began
    best: bool  # an evaluation that was better than all before it
    values: Mapping[str, float]  # all else that is a finite number, in the log's order

    def at(self, axis: str) -> float:
        return self.step if axis == "steps" else self.seconds


@dataclass(frozen=True, slots=True)
class Run:
    """The log of one run."""

    name: str  # its directory, as it was given
    task: str
    rows: tuple[Row, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The values that it logs, in the order in which they first appear."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.values))

    def rows_of(self, name: str) -> list[Row]:
        """Where a value stands: in the steps, or else in the evaluations. (An evaluation's loss
        is the mean of the steps' since the last one, and says nothing new where these are.)"""
        rows = [row for row in self.rows if name in row.values]
        return [row for row in rows if row.event == "step"] or rows


@dataclass(frozen=True, slots=True)
class Curve:
    """One value of one run."""

    run: int  # which of the chart's runs
    x: Array
    y: Array
    trend: Array  # y, smoothed where there are many points
    best: int | None  # the index of the run's best evaluation

    @property
    def is_smoothed(self) -> bool:
        return self.trend is not self.y


@dataclass(frozen=True, slots=True)
class Panel:
    """One value of several runs."""

    name: str
    curves: tuple[Curve, ...]

    @property
    def is_log(self) -> bool:
        """Whether it is drawn on a logarithmic scale: perplexity, the exponential of a loss."""
        positive = all((curve.y > 0).all() for curve in self.curves)
        return self.name.startswith("perplexity") and positive

    @property
    def title(self) -> str:
        smoothed = any(curve.is_smoothed for curve in self.curves)
        return f"{self.name}, smoothed" if smoothed else self.name


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn: panels one above the other, over the same axis."""

    axis: str  # one of AXES
    legend: tuple[str, ...]  # one line a run
    panels: tuple[Panel, ...]


def read_runs(directories: Sequence[Path]) -> list[Run]:
    """The runs in some checkpoint directories, which must be of one task.

    Raises CheckpointError, one line that names the file, and UsageError for several tasks.
    """
    runs = [_read_run(directory) for directory in dict.fromkeys(directories)]
    names = {task: [run.name for run in runs if run.task == task] for task in TASKS}
    found = [f"{TASKS[task].title}: {', '.join(names[task])}" for task in names if names[task]]
    if len(found) > 1:
        raise UsageError(
            f"these runs share no metric ({'; '.join(found)}): plot one task at a time"
        )
    return runs


def check_metric(runs: Sequence[Run], metric: str) -> None:
    """Raise UsageError where no run logs `metric`."""
    known = dict.fromkeys(name for run in runs for name in run.names)
    if metric not in known:
        raise UsageError(f"--metric: no {metric!r} is logged; it is one of {', '.join(known)}")


def make_chart(runs: Sequence[Run], metric: str | None = None, axis: str = "steps") -> Chart:
    """The chart of the loss and of `metric` (None: the one that the task is judged by).

    `axis` is one of AXES. A panel that would be empty is left out, as that of a run not yet
    evaluated. Raises CheckpointError where nothing is left.
    """
    metric = metric or _main_metric(runs)
    curves = {name: _curves(runs, name, axis) for name in ("loss", metric)}
    panels = tuple(Panel(name, found) for name, found in curves.items() if found)
    if not panels:
        raise CheckpointError(f"{', '.join(run.name for run in runs)}: neither loss nor {metric}")
    legend = [run.name for run in runs]
    for curve in curves[metric]:
        if curve.best is not None:
            x, y = curve.x[curve.best], curve.y[curve.best]
            where = f"at step {x:.0f}" if axis == "steps" else f"after {x:.0f} s"
            legend[curve.run] += f" (best: {metric} {short(y)} {where})"
    return Chart(axis, tuple(legend), panels)


def short(value: float) -> str:
    """A value as one reads it: four digits, and never fewer than before its point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def printable(text: str) -> str:
    """`text` without what a terminal would obey or a picture cannot hold."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def smoothed(values: Array) -> Array:
    """Each point the mean of those around it, a fiftieth of all; the values themselves where
    that would be one alone."""
    reach = int(len(values) * _SMOOTH / 2)
    if not reach:
        return values
    index = np.arange(len(values))
    first, end = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    sums = np.concatenate(([0.0], np.cumsum(values)))
    means: Array = (sums[end] - sums[first]) / (end - first)
    return means


def _main_metric(runs: Sequence[Run]) -> str:
    evaluated = [run.names for run in runs if any(row.event == "evaluation" for row in run.rows)]
    candidates = TASKS[runs[0].task].metrics
    shared = (name for name in candidates if all(name in names for names in evaluated))
    return next(shared, candidates[-1])


def _curves(runs: Sequence[Run], name: str, axis: str) -> tuple[Curve, ...]:
    found = ((number, run.rows_of(name)) for number, run in enumerate(runs))
    return tuple(_curve(number, rows, name, axis) for number, rows in found if rows)


def _curve(number: int, rows: Sequence[Row], name: str, axis: str) -> Curve:
    x = np.array([row.at(axis) for row in rows], np.float64)
    y = np.array([row.values[name] for row in rows], np.float64)
    evaluations = rows[0].event == "evaluation"
    # What is called loss is of the training data: it has no best.
    best = [i for i, row in enumerate(rows) if row.best] if evaluations and name != "loss" else []
    return Curve(number, x, y, y if evaluations else smoothed(y), best[-1] if best else None)


# Reading


def _read_run(directory: Path) -> Run:
    config = load_config(directory)
    model = config.get("model")
    task = model.get("task") if isinstance(model, dict) else None
    if not isinstance(task, str) or task not in TASKS:
        raise CheckpointError(f"{directory / CONFIG} does not say which task its model is for")
    path = directory / METRICS
    rows = tuple(_read_rows(path, read_file(directory, METRICS)))
    if not rows:
        raise CheckpointError(f"{path} is empty: the run has logged nothing yet")
    return Run(str(directory), task, rows)


def _read_rows(path: Path, log: bytes) -> Iterator[Row]:
    lines = log.split(b"\n")
    # A run that is still going on may have written a part of its last line.
    if _parsed(lines[-1]) is None:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            row = _row(_parsed(line))
        except (KeyError, ValueError, OverflowError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"{path}, line {number} is damaged: {why}") from None
        if row is not None:
            yield row


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8
        return None
    return fields if isinstance(fields, dict) else None


def _row(fields: dict[str, Any] | None) -> Row | None:
    """None for a kind of event that this version does not know."""
    if fields is None:
        raise ValueError("it is not a JSON object")
    # The first versions logged evaluations alone, and did not say so.
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
