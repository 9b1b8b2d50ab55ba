"""The table of tasks; other code looks a task up here instead of comparing names.

Knows: the names of each task and of its modules. Does not know: how a task works; importing this
module imports no task.

A task has an entry in `TASKS`, and a module of the same name in each of these packages:
    training/tasks      its examples, objective, metric and defaults
    training/networks   its network
    graphs              its graph
    training/onnx       how its graph is compared with its network
    training/comparison the models that it is compared with
    runtime             running and evaluating its models
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One entry of the table."""

    name: str  # on the command line and in config.json
    title: str  # in messages
    module: str  # the name of its module in each package
    command: str  # the command that runs its models
    summary: str  # of its command that trains
    reads: str  # the data that it trains on, for the help
    has_labels: bool
    # Metrics that `plot` draws, in order of preference. A run logs at least the last.
    metrics: tuple[str, ...]
    # The metric of an evaluation for each name that `--select` shows.
    selectors: Mapping[str, str]
    # Of the texts in tables, where none is named; None: the rows hold lists of words.
    text_column: str | None = "text"

    def selector(self, name: str) -> str | None:
        """Return the one name, of those of a metric, that `config.json` has for what a user calls
        `name`: one of `selectors`, or the metric's own name. None for other names."""
        metric = self.selectors.get(name, name)
        return next((known for known, of in self.selectors.items() if of == metric), None)


TASKS = {
    task.name: task
    for task in (
        TaskInfo(
            "lm",
            "language model",
            "language_model",
            "generate",
            "Train a language model from text.",
            "text files, .gz files, directories of either, or tables with a column of texts",
            has_labels=False,
            metrics=("perplexity",),
            selectors={"perplexity": "perplexity", "loss": "perplexity"},
        ),
        TaskInfo(
            "classify",
            "classifier",
            "classifier",
            "classify",
            "Train a text classifier from labelled texts.",
            "tables with the columns text and label, fastText lines, or a directory with a folder "
            "of .txt files for each class",
            has_labels=True,
            metrics=("micro_f1", "accuracy"),
            selectors={
                "loss": "log_loss",
                "accuracy": "accuracy",
                "macro_f1": "macro_f1",
                "micro_f1": "micro_f1",
            },
        ),
        TaskInfo(
            "tag",
            "tagger",
            "tagger",
            "tag",
            "Train a tagger from tagged sentences.",
            "CoNLL-U, columns of words and tags, or JSON Lines with words and tags",
            has_labels=True,
            metrics=("f1", "accuracy"),
            selectors={"loss": "tag_log_loss", "accuracy": "accuracy", "f1": "f1"},
            text_column=None,
        ),
    )
}


def task_module(package: str, task: str) -> Any:
    """Import the module of `task` in a package, such as `training.networks`."""
    return import_module(f"rnntext.{package}.{TASKS[task].module}")
