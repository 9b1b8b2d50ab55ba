"""A trained model as it will run: its lines measured, and in int8 all of its metrics.

Knows: that the metrics of an int8 model are measured with the graph that will run, in the runtime
itself, and that a classifier's probabilities are calibrated again on the same data. Does not know:
how weights become int8 (`int8.py`), any one task, or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from rnntext.checkpoint_config import LineBits
from rnntext.config import ModelConfig
from rnntext.graphs.common import task_graph
from rnntext.runtime.model import TrainedModel, call_once
from rnntext.runtime.session import Session
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.onnx.build import build

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A graph in int8 and its metrics on the validation data."""

    graph: bytes
    metrics: dict[str, Any]
    line_bits: LineBits | None
    temperature: float  # that a classifier's logits were divided by


class RuntimeObjective(Protocol):
    """Measures a running model on the validation data of a run."""

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float | None:
        """The temperature that calibrates the model's probabilities; None where the task has
        none to calibrate."""

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> dict[str, Any]:
        """Metrics on the validation data, or on a part of it if `quick`."""

    def line_bits(self, model: TrainedModel) -> LineBits | None:
        """Quantiles of the lines of the validation text; None where the task has no lines."""


def running(config: ModelConfig, graph: bytes, tokenizer: Tokenizer, threads: int) -> TrainedModel:
    """The model that runs a graph in the runtime, which is opened when it first runs."""
    return TrainedModel(config, tokenizer, call_once(lambda: Session(graph, threads)))


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
        return running(config, graph, tokenizer, threads)

    graph = build(config, weights, "int8")
    temperature = objective.fit_temperature(opened(graph), quick=quick)
    if temperature is not None:
        graph = build(config, task_graph(config).apply_temperature(weights, temperature), "int8")
    model = opened(graph)
    metrics, line_bits = objective.evaluate_runtime(model, quick=quick), objective.line_bits(model)
    return Quantized(graph, metrics, line_bits, 1.0 if temperature is None else temperature)
