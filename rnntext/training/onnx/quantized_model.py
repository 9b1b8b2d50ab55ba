"""A trained model in int8, measured as it will run.

Knows: that the metrics of an int8 model are measured with the graph that will run, in the runtime
itself, and that a classifier's probabilities are calibrated again on the same data. Does not know:
how weights become int8 (`int8.py`), any one task, or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from rnntext.config import ModelConfig
from rnntext.graphs.common import task_graph
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.onnx.build import build

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A graph in int8 and its metrics on the validation data."""

    graph: bytes
    metrics: dict[str, Any]
    temperature: float  # that a classifier's logits were divided by


class RuntimeObjective(Protocol):
    """Measures a running model on the validation data of a run."""

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float | None:
        """The temperature that calibrates the model's probabilities; None where the task has
        none to calibrate."""

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> dict[str, Any]:
        """Metrics on the validation data, or on a part of it if `quick`."""


def quantize(
    config: ModelConfig,
    weights: dict[str, Array],
    tokenizer: Tokenizer,
    objective: RuntimeObjective,
    threads: int,
    *,
    quick: bool = False,
) -> Quantized:
    """The graph of these weights in int8, calibrated and measured on the objective's validation
    data, or on the part that a quick evaluation reads."""

    def opened(graph: bytes) -> TrainedModel:
        return TrainedModel.from_session(config, tokenizer, Session(graph, threads))

    graph = build(config, weights, "int8")
    temperature = objective.fit_temperature(opened(graph), quick=quick)
    if temperature is not None:
        graph = build(config, task_graph(config).apply_temperature(weights, temperature), "int8")
    metrics = objective.evaluate_runtime(opened(graph), quick=quick)
    return Quantized(graph, metrics, 1.0 if temperature is None else temperature)
