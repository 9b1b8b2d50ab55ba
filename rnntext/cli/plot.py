"""`rnntext plot`: the curves of training runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnntext.cli import output
from rnntext.cli.completion import logged_metrics
from rnntext.cli.options import OutputOptions
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, model_argument, path_option
from rnntext.errors import UsageError
from rnntext.files import write_file
from rnntext.plotting.picture_file import picture_format, silence_font_warnings

if TYPE_CHECKING:
    from rnntext.plotting.curves import Chart, Row, Run


@expanded
def command(
    *,
    directories: Annotated[list[Path], model_argument("DIR...", help="The models' directories.")],
    out: Annotated[
        Path | None, path_option("-o", "--output", metavar="FILE.png|.svg", help="A picture.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="The value beside the loss, of those logged.",
            show_default="that of the task",
            autocompletion=logged_metrics,
        ),
    ] = None,
    x: Annotated[
        str,
        choice_option("--x", metavar="steps|seconds", help="What the values are drawn over."),
    ] = "steps",
    printing: OutputOptions,
) -> None:
    """Draw the training curves of one or several runs: the loss, and the metric of their task.

    A run may still be going on. In a pipe: `run<TAB>step<TAB>name<TAB>value` for all that was
    logged, with --metric for that alone; under --x seconds these stand in place of the step. -o
    writes a picture instead.
    """
    for text in plot(directories, out, metric, x, printing.json):
        output.write(text)


def plot(
    directories: Sequence[Path],
    out: Path | None,
    metric: str | None,
    x: str,
    json: bool,
) -> Iterator[str]:
    """Write the picture if `out` is given; yield the text that the command prints."""
    from rnntext.plotting.curves import AXES, check_metric, make_chart, read_runs

    if x not in AXES:
        raise UsageError(f"--x is one of {', '.join(AXES)}, not {x!r}")
    file_format = ""
    if out is not None:
        silence_font_warnings()
        file_format = picture_format(out)
    runs = read_runs(directories)
    if metric is not None:
        check_metric(runs, metric)
    if out is not None:
        from rnntext.plotting.figure import render

        write_file(out, render(make_chart(runs, metric, x), file_format))
    if json:
        yield from _json_lines(runs, metric)
    elif out is None and output.on_terminal():
        yield _terminal_chart(make_chart(runs, metric, x))
    elif out is None:
        yield from _tsv_lines(runs, metric, x)


def _tsv_lines(runs: Sequence[Run], metric: str | None, x: str) -> Iterator[str]:
    for run in runs:
        for name in run.names if metric is None else (metric,):
            yield "".join(
                output.tsv_line((run.name, _number(row.at(x)), name, _number(row.values[name])))
                for row in run.rows_of(name)
            )


def _number(value: float) -> str:
    """Format a value with all digits that were logged, without an exponent."""
    from numpy import format_float_positional

    return format_float_positional(value, trim="-")


def _json_lines(runs: Sequence[Run], metric: str | None) -> Iterator[str]:
    for run in runs:
        rows = run.rows if metric is None else run.rows_of(metric)
        # Passed as the row of a table, whose numbers `json_line` does not round.
        yield "".join(output.json_line({}, _row_object(run, row, metric)) for row in rows)


def _row_object(run: Run, row: Row, metric: str | None) -> dict[str, Any]:
    return {
        "run": run.name,
        "event": row.event,
        "step": row.step,
        "epoch": row.epoch,
        "seconds": row.seconds,
        **({"best": row.best} if row.event == "evaluation" else {}),
        **(row.values if metric is None else {metric: row.values[metric]}),
    }


def _terminal_chart(chart: Chart) -> str:
    from rnntext.cli.chart import COLOURED, PLAIN, render

    console = output.console()
    look = COLOURED if console.color_system else PLAIN
    # Rich assumes that a dumb terminal has 80 columns.
    size = shutil.get_terminal_size()
    with console.capture() as capture:
        for line in render(chart, look, size.columns, size.lines):
            console.print(line)
    return capture.get()
