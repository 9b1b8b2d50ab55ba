"""Evaluates a trained model on labelled data or text.

Knows: that a checkpoint records how its training data were read. Does not know: any one task, or
how metrics are printed or compared with bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from rnntext.checkpoint import Checkpoint
from rnntext.checkpoint_config import CheckpointConfig
from rnntext.config import ModelConfig
from rnntext.errors import UsageError
from rnntext.json_fields import FieldError, read_record
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.task import runtime_task
from rnntext.text.formats import DataOptions
from rnntext.text.source import extension

Metrics = dict[str, Any]


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


def evaluate(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> Metrics:
    """Return the metrics of a model on data files; rates are from 0 to 1. Raises DataError."""
    return runtime_task(model.config).evaluate(model, paths, options)


def fit_temperature(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> float | None:
    """Return the temperature that calibrates a classifier's probabilities on data files; None for
    other tasks. Raises DataError."""
    return runtime_task(model.config).fit_temperature(model, paths, options)


def recorded_reading(found: Checkpoint, paths: Sequence[str]) -> DataOptions:
    """Return the options with which the model's training data were read, without the format if
    the extensions of `paths` determine it. Raises CheckpointError."""
    config = CheckpointConfig.of(found)
    recorded = config.training.options
    names = {field.name for field in fields(DataOptions)} - {"split", "buffered_sources"}
    if any(extension(path) for path in paths):
        names.remove("format")
    given = {name: recorded[name] for name in names if recorded.get(name) is not None}
    try:
        return read_record(DataOptions, given, "training.options")
    except (FieldError, UsageError) as error:
        raise config.damaged(error) from None
