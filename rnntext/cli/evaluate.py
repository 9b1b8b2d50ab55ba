"""`rnntext evaluate`: the metrics of a model on data, and bounds that they must meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rnntext.arguments import METRIC_BOUND
from rnntext.cli import output
from rnntext.cli.declared import Given
from rnntext.cli.options import Model, RunOptions, model_directory, refuse_terminal
from rnntext.cli.signature import expanded
from rnntext.cli.values import path_argument
from rnntext.errors import UsageError
from rnntext.training.options import TrainingOptions

BOUNDS_NOT_MET = 3
# Options for reading data that have the same meaning as in training.
_READING = (
    "format", "text_column", "label_column", "tag_column", "label_separator", "split", "encoding",
    "encoding_errors", "max_line",
)  # fmt: skip


@expanded
def command(
    *,
    data: Annotated[list[str], path_argument("DATA...", help="Files with the answers.")],
    model: Model = None,
    reading: Annotated[dict[str, Any], Given(TrainingOptions, _READING)],
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="METRIC=VALUE", help="Exit 3 below this; repeatable."),
    ] = None,
    maximum: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=VALUE", help="Exit 3 above this; repeatable."),
    ] = None,
    run: RunOptions,
) -> None:
    """Measure a model on data with known answers. In a pipe: `metric<TAB>value` lines."""
    directory = model_directory(model)
    refuse_terminal(data)
    floors, ceilings = _bounds("--min", minimum), _bounds("--max", maximum)
    from rnntext.runtime.evaluate import evaluate, metric_names
    from rnntext.runtime.model import open_model
    from rnntext.text.formats import DataOptions

    opened = open_model(directory, threads=run.threads)
    known = metric_names(opened.config)
    if unknown := [name for name in (*floors, *ceilings) if name not in known]:
        raise UsageError(f"there is no metric {unknown[0]!r} here: there are {', '.join(known)}")
    defaults = {"label_column": "label", "split": "test"}
    given = {name: value for name, value in reading.items() if value or name not in defaults}
    data_options = DataOptions(multi_label=opened.config.multi_label, **{**defaults, **given})
    metrics = evaluate(opened, data, data_options)
    print_metrics(metrics, str(directory), run.json)
    if not _bounds_met(metrics, floors, ceilings, run.quiet):
        raise typer.Exit(BOUNDS_NOT_MET)


def print_metrics(metrics: dict[str, Any], title: str, json: bool) -> None:
    """Print metrics as JSON, as tables on a terminal, or as `metric<TAB>value` lines."""
    if json:
        output.write(output.json_line(metrics))
        return
    output.print_pairs(output.scalar_metrics(metrics), title)
    if output.on_terminal() and "per_label" in metrics:
        output.print_label_table(metrics["per_label"], "by label")


def _bounds(flag: str, values: Sequence[str] | None) -> dict[str, float]:
    bounds: dict[str, float] = {}
    for bound in values or ():
        name, _, value = bound.partition("=")
        try:
            bounds[name.strip()] = METRIC_BOUND.parse("VALUE", value)
        except UsageError as error:
            raise UsageError(
                f"{flag} {bound}: write METRIC=VALUE, as accuracy=0.9; {error}"
            ) from None
    return bounds


def _bounds_met(
    metrics: dict[str, Any], floors: dict[str, float], ceilings: dict[str, float], quiet: bool
) -> bool:
    """Return True if all bounds are met; print those that are not on stderr."""
    known = {n: v for n, v in output.scalar_metrics(metrics).items() if v is not None}
    # A metric can be unknown for one model: bits per byte, if the tokenizer loses text.
    for name in (*floors, *ceilings):
        if name not in known:
            raise UsageError(f"{name} is not known of this model: leave it out")
    failed = [
        *(f"{n} is {known[n]:.6g}, less than {v:g}" for n, v in floors.items() if known[n] < v),
        *(f"{n} is {known[n]:.6g}, more than {v:g}" for n, v in ceilings.items() if known[n] > v),
    ]
    for line in failed:
        output.print_stderr(f"rnntext: {line}", quiet=quiet)
    return not failed
