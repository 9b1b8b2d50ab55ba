"""`rnntext evaluate`: how good a model is on data, and whether that is good enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rnntext.cli import options, output
from rnntext.errors import UsageError

NOT_MET = 3


def command(
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Files with the answers.")],
    model: options.Model = None,
    format_name: options.Format = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    tag_column: options.TagColumn = None,
    label_separator: options.LabelSeparator = None,
    split: options.Split = None,
    least: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="METRIC=VALUE", help="Exit 3 below this; repeatable."),
    ] = None,
    most: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=VALUE", help="Exit 3 above this; repeatable."),
    ] = None,
    encoding: options.Encoding = "utf-8",
    encoding_errors: options.EncodingErrors = "strict",
    json: options.Json = False,
    quiet: options.Quiet = False,
    threads: options.Threads = None,
) -> None:
    """Measure a model on data with known answers. In a pipe: `metric<TAB>value` lines."""
    directory = options.model_directory(model)
    options.require_piped(data)
    floors, ceilings = _bounds("--min", least), _bounds("--max", most)
    from rnntext.runtime.evaluate import evaluate, metric_names
    from rnntext.runtime.model import open_model
    from rnntext.text.formats import DataOptions

    opened = open_model(directory, threads=threads)
    known = metric_names(opened.config)
    if unknown := [name for name in (*floors, *ceilings) if name not in known]:
        raise UsageError(f"there is no metric {unknown[0]!r} here: there are {', '.join(known)}")
    reading = DataOptions(
        format_name, text_column, label_column or "label", tag_column,
        opened.config.multi_label, label_separator, encoding, encoding_errors, split or "test",
    )  # fmt: skip
    metrics = evaluate(opened, data, reading)
    show(metrics, str(directory), json)
    if not _met(metrics, floors, ceilings, quiet):
        raise typer.Exit(NOT_MET)


def show(metrics: dict[str, Any], title: str, json: bool) -> None:
    """Print metrics as the output is meant to be."""
    if json:
        output.write(output.json_line(metrics))
        return
    output.show_pairs(output.flat(metrics), title)
    if output.on_terminal() and "per_label" in metrics:
        output.show_labels(metrics["per_label"], "by label")


def _bounds(flag: str, given: Sequence[str] | None) -> dict[str, float]:
    bounds: dict[str, float] = {}
    for bound in given or ():
        name, _, value = bound.partition("=")
        try:
            bounds[name.strip()] = float(value)
        except ValueError:
            value = "nan"
        if not math.isfinite(float(value)):
            raise UsageError(f"{flag} {bound}: write METRIC=VALUE, as accuracy=0.9")
    return bounds


def _met(
    metrics: dict[str, Any], floors: dict[str, float], ceilings: dict[str, float], quiet: bool
) -> bool:
    """Whether every bound is met; says on stderr which are not."""
    single = {n: v for n, v in output.flat(metrics).items() if v is not None}
    # Not every model has a figure for each: bits of a text that its tokenizer loses, say.
    for name in (*floors, *ceilings):
        if name not in single:
            raise UsageError(f"{name} is not known of this model: leave it out")
    failed = [
        *(f"{n} is {single[n]:.6g}, less than {v:g}" for n, v in floors.items() if single[n] < v),
        *(f"{n} is {single[n]:.6g}, more than {v:g}" for n, v in ceilings.items() if single[n] > v),
    ]
    for line in failed:
        output.note(f"rnntext: {line}", quiet=quiet)
    return not failed
