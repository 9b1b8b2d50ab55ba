"""A trained model in int8, and what that costs it.

Knows: that what is reported of an int8 model is measured with the graph that will run, in the
runtime itself, and that a classifier's probabilities are calibrated again on the same data. Does
not know: how weights become int8 (`graph/int8.py`), or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from rnntext.config import ModelConfig
from rnntext.metrics import fit_temperature
from rnntext.runtime.classify import Classifier
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.model import TrainedModel
from rnntext.runtime.session import Session
from rnntext.runtime.tag import Tagger
from rnntext.text.tokenizer import EncodedWords, Tokenizer
from rnntext.training.onnx.build import apply_temperature, build
from rnntext.training.tasks.classification import Classification
from rnntext.training.tasks.language_modelling import LanguageModelling
from rnntext.training.tasks.tagging import Tagging

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
    *,
    quick: bool = False,
) -> Quantized:
    """The graph of these weights in int8, calibrated and measured on the objective's data, or on
    what a quick evaluation reads of them."""

    def opened(graph: bytes) -> TrainedModel:
        return TrainedModel.from_session(config, tokenizer, Session(graph, threads))

    graph = build(config, weights, "int8")
    if isinstance(objective, LanguageModelling):
        return Quantized(graph, _language_metrics(opened(graph), objective, quick), 1.0)
    if isinstance(objective, Tagging):
        return Quantized(graph, _tagging_metrics(opened(graph), objective, quick), 1.0)
    chosen = objective.chosen(quick=quick)
    texts = [objective.valid.ids[i] for i in chosen]
    logits = Classifier(opened(graph)).logits(texts)
    labels = objective.valid.labels[list(chosen)]
    temperature = fit_temperature(logits, labels, config.multi_label)
    graph = build(config, apply_temperature(weights, temperature), "int8")
    probabilities = Classifier(opened(graph)).probabilities_of_ids(texts)
    metrics = objective.metrics_of(probabilities, chosen)
    return Quantized(graph, metrics, temperature)


def _language_metrics(
    model: TrainedModel, objective: LanguageModelling, quick: bool
) -> dict[str, Any]:
    scores: list[Array] = []
    targets: list[Array] = []
    walker = LanguageModel(model)
    for piece in objective.pieces(quick=quick):
        document = piece.ids[1:]
        for part in walker.score_documents([document]):
            start = max(part.start, piece.context)
            scores.append(part.scores[start - part.start :])
            targets.append(document[start : part.start + len(part.scores)])
    return objective.metrics_of(scores, targets, None if quick else objective.valid_bytes)


def _tagging_metrics(model: TrainedModel, objective: Tagging, quick: bool) -> dict[str, Any]:
    chosen = objective.chosen(quick=quick)
    sentences = [EncodedWords(s.ids, s.first, s.last) for s in chosen]
    predicted = [
        [objective.labels[tag] for tag in tags.tolist()]
        for tags, _ in Tagger(model).tag_ids(sentences)
    ]
    return objective.metrics_of(predicted, chosen)
