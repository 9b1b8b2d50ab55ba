"""The table of tasks, which every room asks in place of testing for a task's name.

Knows: what each task is called and which module of each room serves it. Does not know: anything
that a task does; importing this imports no task.

A task has a module of the same name in each of these rooms, and `TASKS` has a line for it:
    training/tasks      its examples, objective, metric and defaults
    training/networks   its network
    training/onnx       its graph
    runtime             how a trained model of it runs and is evaluated
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One line of the table."""

    name: str  # on the command line and in config.json
    title: str  # in sentences
    module: str  # the name of its module in each room
    command: str  # runs a model of it
    summary: str  # of its command that trains
    has_labels: bool
    # The metrics that judge a model, in order of preference; a run logs at least the last.
    metrics: tuple[str, ...]


TASKS = {
    task.name: task
    for task in (
        TaskInfo(
            "lm",
            "language model",
            "language_model",
            "generate",
            "Train a language model from text.",
            has_labels=False,
            metrics=("perplexity",),
        ),
        TaskInfo(
            "classify",
            "classifier",
            "classifier",
            "classify",
            "Train a text classifier from labelled texts.",
            has_labels=True,
            metrics=("micro_f1", "accuracy"),
        ),
        TaskInfo(
            "tag",
            "tagger",
            "tagger",
            "tag",
            "Train a tagger from tagged sentences.",
            has_labels=True,
            metrics=("f1", "accuracy"),
        ),
    )
}


def task_module(room: str, task: str) -> Any:
    """The module that serves `task` in a room, such as `training.networks`."""
    return import_module(f"rnntext.{room}.{TASKS[task].module}")
