"""The interface of a task in the runtime.

Knows: the names and functions that opening and evaluating a model need. Does not know: any one
task; the module of each task in this package provides them as `RUNTIME`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnntext.config import ModelConfig
from rnntext.tasks import task_module

if TYPE_CHECKING:
    from rnntext.checkpoint_config import LineBits
    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.runtime.answers import Watch
    from rnntext.runtime.model import TrainedModel
    from rnntext.text.formats import DataOptions
    from rnntext.text.tokenizer import Ids


def _labels(config: ModelConfig) -> tuple[str, ...]:
    return config.labels


def _no_linear(content: bytes, config: ModelConfig) -> Any:
    raise ValueError(f"a model of the task {config.task} has none")


def _as_text(model: TrainedModel, texts: Sequence[str]) -> list[Ids]:
    return model.tokenizer.encode(texts)


def _no_temperature(model: Any, paths: Sequence[str], options: Any) -> None:
    return None


def _no_lines(model: Any, paths: Sequence[str], options: Any) -> None:
    return None


Answerer = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class RuntimeTask:
    """Names and functions of one task."""

    # Names of the metrics that are single numbers.
    metric_names: Callable[[ModelConfig], tuple[str, ...]]
    # Returns metrics on labelled data or text; rates are from 0 to 1. If there is a `Watch`, it is
    # given each answer, unless the task has no labels. Raises DataError.
    evaluate: Callable[[TrainedModel, Sequence[str], DataOptions, Watch | None], dict[str, Any]]
    # Returns the columns of an answer, and a function that answers texts, or lists of their words,
    # in order; the keywords are those of `answer_options`.
    answering: Callable[..., tuple[AnswerColumns, Answerer]]
    answer_options: tuple[str, ...]
    # Returns the temperature that calibrates the model on data; None if the task has none.
    fit_temperature: Callable[[TrainedModel, Sequence[str], DataOptions], float | None] = (
        _no_temperature
    )
    # Returns the quantiles of the lines of text files; None if the task is not about lines.
    measure_lines: Callable[[TrainedModel, Sequence[str], DataOptions], LineBits | None] = _no_lines
    # Names in the metric `per_label` that come from the model's labels.
    label_names: Callable[[ModelConfig], tuple[str, ...]] = _labels
    # Returns the linear model whose scores are added to those of the graph, from the content of its
    # file. Raises ValueError for one that cannot be used.
    parse_linear: Callable[[bytes, ModelConfig], Any] = _no_linear
    # Names of the metrics on raw text, and a function that returns them; none for a task without.
    raw_metrics: tuple[str, ...] = ()
    evaluate_raw: Callable[[TrainedModel, Sequence[str], DataOptions], dict[str, Any]] | None = None
    # Returns the tokens of each text as the network reads them; a text may have none.
    encode: Callable[[TrainedModel, Sequence[str]], list[Ids]] = _as_text
    # The network reads the end of a line before a text, as in the running text of its training.
    follows_line_end: bool = False


def runtime_task(config: ModelConfig) -> RuntimeTask:
    """Return the interface of the configuration's task."""
    task: RuntimeTask = task_module("runtime", config.task).RUNTIME
    return task
