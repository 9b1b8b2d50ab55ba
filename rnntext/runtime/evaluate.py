"""Evaluates a trained model on labelled data or text.

Knows: that a checkpoint records how its training data were read. Does not know: any one task, or
how metrics are printed or compared with bounds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rnntext.checkpoint import CONFIG, load_config
from rnntext.checkpoint_config import CheckpointConfig, LineBits
from rnntext.config import ModelConfig
from rnntext.errors import UsageError
from rnntext.json_fields import FieldError, read_record
from rnntext.runtime.answers import Answer, Mistake, Watch, WorstMistakes
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.task import runtime_task
from rnntext.tasks import TASKS
from rnntext.text.format_detection import is_table_extension
from rnntext.text.formats import HUB_PREFIX, DataOptions
from rnntext.text.source import extension

Metrics = dict[str, Any]

# Options for reading data that say nothing of other data.
_OF_TRAINING = {"split", "group_column", "buffered_sources", "unread"}


def metric_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the model's metrics that are single numbers."""
    return runtime_task(config).metric_names(config)


def label_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names that the metric `per_label` has of the model's own labels: those of spans
    without their B- and I-."""
    return runtime_task(config).label_names(config)


def unknown_labels(metrics: Metrics, known: Sequence[str]) -> dict[str, int]:
    """Return how often each gold label occurs that is not among the `known` ones of `label_names`,
    by the metrics of `evaluate`."""
    names = set(known)
    table = metrics.get("per_label", {})
    supports = {label: scores["support"] for label, scores in table.items() if label not in names}
    return {label: support for label, support in supports.items() if support}


def evaluate(
    model: TrainedModel, paths: Sequence[str], options: DataOptions, watch: Watch | None = None
) -> Metrics:
    """Return the metrics of a model on data files; rates are from 0 to 1. `watch` is given the
    answers of a classifier or tagger in the order of the records. Raises DataError."""
    return runtime_task(model.config).evaluate(model, paths, options, watch)


def evaluate_raw(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> Metrics:
    """Return the metrics of a tagger on the raw text of data files. Raises UsageError for another
    model, and DataError."""
    measure = runtime_task(model.config).evaluate_raw
    if measure is None:
        raise UsageError(f"--raw is for a tagger: this is a {TASKS[model.config.task].title}")
    return measure(model, paths, options)


def raw_metric_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the metrics on raw text."""
    return runtime_task(config).raw_metrics


def evaluate_answers(
    model: TrainedModel,
    paths: Sequence[str],
    options: DataOptions,
    *,
    mistakes: int | None = None,
    predictions: Path | None = None,
    watch: Watch | None = None,
) -> tuple[Metrics, list[Mistake]]:
    """Return the metrics of a classifier or tagger and its worst mistakes, at most so many.

    With `predictions` every answer is written to that file, see `Predictions`; `watch` is given
    them too. Raises
    UsageError for a file that cannot be written, DataError and RnntextError.
    """
    from rnntext.files import replaced_file
    from rnntext.runtime.predictions import OPTION, Predictions

    worst = WorstMistakes(mistakes or 0)
    watches: list[Watch] = [] if watch is None else [watch]
    if mistakes is not None:
        watches.append(worst.add)
    with ExitStack() as stack:
        if predictions is not None:
            # A tag may hold any separator.
            separator = options.label_separator or "," if model.config.multi_label else None
            write = stack.enter_context(replaced_file(predictions, OPTION))
            watches.append(Predictions(write, extension(str(predictions)), separator).add)

        def watch_all(answers: Sequence[Answer]) -> None:
            for each in watches:
                each(answers)

        metrics = evaluate(model, paths, options, watch_all if watches else None)
    return metrics, worst.ranked()


def check_predictions(model: TrainedModel, predictions: Path, paths: Sequence[str]) -> None:
    """Raise UsageError if predictions cannot be written to that file, because it is one of the data
    or of the model."""
    from rnntext.runtime.predictions import check_predictions

    check_predictions(predictions, [*paths, *files_of(model)])


def files_of(model: TrainedModel) -> list[str]:
    """Return the paths of the files in the model's directory."""
    saved = model.saved
    if saved is None:
        return []
    return [str(saved.path.parent / name) for name in (CONFIG, *saved.content["files"])]


def fit_temperature(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> float | None:
    """Return the temperature that calibrates a classifier's probabilities on data files; None for
    other tasks. Raises DataError."""
    return runtime_task(model.config).fit_temperature(model, paths, options)


def measure_lines(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> LineBits | None:
    """Return the quantiles of the lines of text files under a language model; None for other tasks.
    Raises DataError."""
    return runtime_task(model.config).measure_lines(model, paths, options)


def reading_options(
    model: TrainedModel, paths: Sequence[str], given: Mapping[str, Any]
) -> DataOptions:
    """Return the options with which `paths` are read: those `given` by name, else those with which
    the model's training data were read; of an `hf:` data set the split `test`. Raises UsageError
    for invalid options, and CheckpointError."""
    saved = model.saved
    recorded = DataOptions()
    if saved is not None and saved.is_trained:
        recorded = recorded_reading(saved, paths, given.get("format"))
    return replace(recorded, **{"split": "test", **given, "multi_label": model.config.multi_label})


def other_tag_column(model: TrainedModel, options: DataOptions) -> tuple[str, str] | None:
    """Return the column whose tags the model was trained on and that which is read with `options`,
    as --tag-column names them (empty: the usual one), if these are two. Raises CheckpointError."""
    from rnntext.text.tagged import column_name

    trained = None if model.saved is None else model.saved.tag_column
    if trained is None or column_name(trained) == column_name(options.tag_column or ""):
        return None
    return trained, options.tag_column or ""


def trained_tables(directory: Path, paths: Sequence[str]) -> DataOptions | None:
    """Return how tables of texts are read like those that the model in a directory was trained
    with, by the task's own column where none was named; None if it was not trained with tables of
    texts, or is one file, which does not say. Raises CheckpointError."""
    if os.path.isfile(directory):
        return None
    config = CheckpointConfig(directory / CONFIG, load_config(directory))
    column = TASKS[config.model.task].text_column
    if not config.is_trained or column is None:
        return None
    options = config.training.options
    data = options.get("data")
    names = [path for path in data if isinstance(path, str)] if isinstance(data, list) else []
    formats = [f".{options['format']}"] if options.get("format") else map(extension, names)
    remote = any(name.startswith(HUB_PREFIX) for name in names)
    if not (remote or options.get("text_column") or any(map(is_table_extension, formats))):
        return None
    reading = recorded_reading(config, paths)
    return replace(reading, text_column=reading.text_column or column)


def recorded_reading(
    config: CheckpointConfig, paths: Sequence[str], format_name: str | None = None
) -> DataOptions:
    """Return the options with which the model's training data were read, as far as they suit
    `paths`. Raises CheckpointError.

    The format is left out if a path has an extension that no training file had, and the columns if
    there is one of another kind of format: `xpos` names a column of CoNLL-U, and a plain text has
    none. `format_name`: the format of `paths`, if it is given.
    """
    recorded = config.training.options
    names = {field.name for field in fields(DataOptions)} - _OF_TRAINING
    data = recorded.get("data")
    trained_on = [path for path in data if isinstance(path, str)] if isinstance(data, list) else []
    before, now = ({_suffix(path) for path in each} for each in (trained_on, paths))
    same_format = format_name is None and now <= {*before, ""}
    if not same_format:
        names -= {"format", "delimiter"}
    if trained_format := recorded.get("format"):
        before = {f".{trained_format}"}
        now = before if same_format else now
    if format_name is not None:
        now = {f".{format_name}"}
    if "" not in before and not _kinds(now) <= {*_kinds(before), ""}:
        names.remove("tag_column")
        if not all(map(is_table_extension, now)):
            names -= {"text_column", "label_column"}
    # An empty name of a column is none.
    given = {name: recorded[name] for name in names if recorded.get(name) not in (None, "")}
    try:
        return read_record(DataOptions, given, "training.options")
    except (FieldError, UsageError) as error:
        raise config.damaged(error) from None


def _suffix(path: str) -> str:
    """The extension of a path, "/" for a directory; empty where neither tells what it holds."""
    return "/" if os.path.isdir(path) else "" if path.startswith(HUB_PREFIX) else extension(path)


def _kinds(suffixes: Iterable[str]) -> set[str]:
    """The extensions, with one for all tables, whose columns have the same names."""
    return {"table" if is_table_extension(suffix) else suffix for suffix in suffixes}
