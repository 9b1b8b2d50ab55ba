"""A trained model in int8, and what that costs it.

Knows: that what is reported of an int8 model is measured with the graph that will run, in the
runtime itself, and that a classifier's probabilities are calibrated again on the same data. Does
not know: how weights become int8 (`graph.py`), or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from rnntext.config import ModelConfig
from rnntext.metrics import fit_temperature
from rnntext.runtime.classify import Classifier
from rnntext.runtime.language import LanguageModel
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.runtime.tag import Tagger
from rnntext.text.tokenizer import EncodedWords, Tokenizer
from rnntext.training.classification import Classification
from rnntext.training.graph import build, cooled
from rnntext.training.language_modelling import LanguageModelling
from rnntext.training.tagging import Tagging

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A graph in int8 and its metrics on the validation data."""

    graph: bytes
    metrics: dict[str, Any]
    temperature: float  # that a classifier's logits were divided by


def quantize(
    config: ModelConfig,
    weights: dict[str, Array],
    tokenizer: Tokenizer,
    objective: LanguageModelling | Classification | Tagging,
    threads: int,
) -> Quantized:
    """The graph of these weights in int8, calibrated and measured on the objective's data."""

    def opened(graph: bytes) -> TrainedModel:
        return TrainedModel(config, tokenizer, Session(graph, threads))

    graph = build(config, weights, "int8")
    if isinstance(objective, LanguageModelling):
        return Quantized(graph, _language_metrics(opened(graph), objective), 1.0)
    if isinstance(objective, Tagging):
        return Quantized(graph, _tagging_metrics(opened(graph), objective), 1.0)
    logits = Classifier(opened(graph)).logits(objective.valid.ids)
    temperature = fit_temperature(logits, objective.valid.labels, config.multi_label)
    graph = build(config, cooled(weights, temperature), "int8")
    probabilities = Classifier(opened(graph)).probabilities_of_ids(objective.valid.ids)
    metrics = objective.metrics_of(probabilities, range(len(probabilities)))
    return Quantized(graph, metrics, temperature)


def _language_metrics(model: TrainedModel, objective: LanguageModelling) -> dict[str, Any]:
    scores: list[Array] = []
    targets: list[Array] = []
    walker = LanguageModel(model)
    for document in objective.valid:
        for piece in walker.walk([document]):
            scores.append(piece.scores)
            targets.append(document[piece.start : piece.start + len(piece.scores)])
    return objective.metrics_of(scores, targets, objective.valid_bytes)


def _tagging_metrics(model: TrainedModel, objective: Tagging) -> dict[str, Any]:
    sentences = [EncodedWords(s.ids, s.first, s.last) for s in objective.valid]
    predicted = [
        [objective.labels[tag] for tag in tags.tolist()]
        for tags, _ in Tagger(model).tag_ids(sentences)
    ]
    return objective.metrics_of(predicted, objective.valid)
