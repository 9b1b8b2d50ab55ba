"""`rnntext evaluate`: the metrics of a model on data, and bounds that they must meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any

import typer

from rnntext import arguments
from rnntext.cli import output
from rnntext.cli.bounds import known_bounds, parse_bounds, unmet_bounds
from rnntext.cli.completion import bounds
from rnntext.cli.declared import Given
from rnntext.cli.metric_tables import print_metrics
from rnntext.cli.mistakes import print_mistakes
from rnntext.cli.options import Model, RunOptions, model_directory, refuse_terminal
from rnntext.cli.signature import expanded
from rnntext.cli.values import choice_option, number_option, path_argument, path_option
from rnntext.config import listed, one_of
from rnntext.errors import UsageError
from rnntext.evaluation import Extras, evaluate_with
from rnntext.plotting.picture_file import silence_font_warnings
from rnntext.runtime.answers import Mistake
from rnntext.text.formats import ON_ERROR, Unread
from rnntext.text.source import for_message
from rnntext.training.options import TrainingOptions

BOUNDS_NOT_MET = 3
_SHOWN_CHARACTERS = 160  # of the names of labels that the model does not know
# Options for reading data that have the same meaning as in training.
_READING = (
    "format", "text_column", "label_column", "tag_column", "label_separator", "split", "delimiter",
    "header", "encoding", "encoding_errors", "max_line",
)  # fmt: skip
_SHOWN_DEFAULTS = {**dict.fromkeys(_READING, "as in training"), "split": "test"}


@expanded
def command(
    *,
    data: Annotated[list[str], path_argument("DATA...", help="Files with the answers.")],
    model: Model = None,
    reading: Annotated[dict[str, Any], Given(TrainingOptions, _READING, _SHOWN_DEFAULTS)],
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="METRIC=VALUE",
            help="Exit 3 below this: accuracy, f1.LABEL ...; repeatable.",
            autocompletion=bounds,
        ),
    ] = None,
    maximum: Annotated[
        list[str] | None,
        typer.Option(
            "--max",
            metavar="METRIC=VALUE",
            help="Exit 3 above this; repeatable.",
            autocompletion=bounds,
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        path_option(
            "--predictions",
            metavar="FILE",
            help="Write each record with its gold label and the model's: .jsonl, .csv or .tsv.",
        ),
    ] = None,
    errors: Annotated[
        int | None,
        number_option(
            "--errors",
            metavar="N",
            within=arguments.MISTAKES,
            help="Print the N worst mistakes of a classifier or tagger.",
        ),
    ] = None,
    on_error: Annotated[
        str,
        choice_option(
            "--on-error",
            metavar="fail|null|skip",
            help="A record that cannot be read: stop, or (null, skip) leave it out of the metrics; "
            "exit 1 at the end.",
        ),
    ] = "fail",
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Measure a tagger on the raw text of CoNLL-U: words, sentences, tags."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        path_option(
            "-o",
            "--output",
            metavar="FILE.png|.svg",
            help="A picture: how far the confidence of answers can be trusted.",
        ),
    ] = None,
    run: RunOptions,
) -> None:
    """Measure a model on data with known answers. In a pipe: `metric<TAB>value` lines,
    those of the labels as f1.LABEL.

    The data are read like those that the model was trained with: columns, format and encoding are
    the same, unless they are given (an extension that the training data did not have tells the
    format anew). -o also draws a picture: reliability, accuracy by coverage, and precision by
    recall of each label.
    """
    directory = model_directory(model)
    refuse_terminal(data)
    one_of("--on-error", on_error, ON_ERROR)
    unread = None if on_error == "fail" else Unread()
    floors, ceilings = parse_bounds("--min", minimum), parse_bounds("--max", maximum)
    extras = Extras(errors, predictions, out)
    if raw and extras != Extras():
        raise UsageError("--raw gives metrics alone: leave --errors, --predictions and -o out")
    if out is not None:
        silence_font_warnings()
    from rnntext.runtime.evaluate import (
        evaluate_raw,
        label_names,
        metric_names,
        other_tag_column,
        raw_metric_names,
        reading_options,
        unknown_labels,
    )
    from rnntext.runtime.model import open_model

    opened = open_model(directory, threads=run.threads)
    labels = label_names(opened.config)
    known = metric_names(opened.config), labels
    if raw:
        known = raw_metric_names(opened.config), ()
    floors, ceilings = known_bounds(floors, *known), known_bounds(ceilings, *known)
    extras.check(opened, directory, data)
    # An empty name of these two is none.
    names = ("label_column", "split")
    given = {name: value for name, value in reading.items() if value or name not in names}
    options = replace(reading_options(opened, data, given), unread=unread)
    if columns := other_tag_column(opened, options):
        trained, read = map(for_message, columns)
        where = f"column {read}" if read else "the last column or upos"
        remark = f"the tags are those of {where}, the model was trained on those of {trained}"
        output.print_stderr(f"rnntext: {remark}", quiet=run.quiet)
    mistakes: list[Mistake] = []
    if raw:
        metrics = evaluate_raw(opened, data, options)
    else:
        metrics, mistakes = evaluate_with(extras, opened, str(directory), data, options)
    if unknown := unknown_labels(metrics, labels):
        output.print_stderr(f"rnntext: {_unknown_remark(unknown)}", quiet=run.quiet)
    if run.json and errors is not None:
        metrics = {**metrics, "errors": [mistake.as_object() for mistake in mistakes]}
    print_metrics(metrics, str(directory), run.json)
    if errors is not None and not run.json:
        print_mistakes(mistakes, options.label_separator or ",")
    if unmet := unmet_bounds(metrics, floors, ceilings):
        for line in unmet:
            output.print_stderr(f"rnntext: {line}", quiet=run.quiet)
    if unread is not None and unread.count:
        if not unmet:
            raise unread.error()
        output.print_stderr(f"rnntext: {unread.error()}")
    if unmet:
        raise typer.Exit(BOUNDS_NOT_MET)


def _unknown_remark(unknown: Mapping[str, int]) -> str:
    """A line that names the gold labels which the model does not know, the most frequent first."""
    order = sorted(unknown.items(), key=lambda item: -item[1])
    names = [f"{for_message(label)} ({count:,})" for label, count in order]
    # As many as make a short line: bundles of features have long names.
    widths = accumulate(len(name) + 2 for name in names)
    most = max(1, sum(width <= _SHOWN_CHARACTERS for width in widths))
    these, them = f"these {len(unknown):,} labels", "them"
    if len(unknown) == 1:
        these, them = "this label", "it"
    return f"the model does not know {these} of the data, and misses {them}: {listed(names, most)}"
