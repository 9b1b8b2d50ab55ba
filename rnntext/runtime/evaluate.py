"""How good a trained model is on labelled data or text.

Knows: which metrics belong to which task, and how a model's own data was read. Does not know: how
metrics are printed or judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext import metrics
from rnntext.checkpoint import Checkpoint
from rnntext.config import ModelConfig
from rnntext.errors import DataError
from rnntext.runtime.classify import Classifier
from rnntext.runtime.language_model import LanguageModel
from rnntext.runtime.model import TrainedModel, section
from rnntext.runtime.tag import Tagger
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import read_labelled
from rnntext.text.lines import Line, read_lines
from rnntext.text.source import extension, source_name
from rnntext.text.tagged import read_tagged

Array = npt.NDArray[Any]
Metrics = dict[str, Any]

# Documents scored together, examples answered together, lines of a document encoded together.
_DOCUMENTS = 64
_EXAMPLES = 4096
_LINES = 4096


def metric_names(config: ModelConfig) -> tuple[str, ...]:
    """The metrics of such a model that are single numbers."""
    if config.task == "lm":
        return ("perplexity", "perplexity_known", "bits_per_byte", "tokens", "unknown_rate")
    if config.task == "classify":
        micro = ("micro_f1",) if config.multi_label else ()
        return ("accuracy", "macro_f1", *micro, "ece", "majority")
    spans = ("precision", "recall", "f1") if metrics.is_span_tags(config.labels) else ()
    return ("accuracy", *spans)


def recorded_reading(found: Checkpoint, paths: Sequence[str]) -> DataOptions:
    """How the model's training data was read. A format that was named for it is kept where
    `paths` do not tell another by their extensions. Raises CheckpointError."""
    recorded = section(found, "training").get("options", {})
    names = {field.name for field in fields(DataOptions)} - {"split"}
    if any(extension(path) for path in paths):
        names.remove("format")
    given = {name: recorded[name] for name in names if recorded.get(name) is not None}
    return DataOptions(**given)


def evaluate(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> Metrics:
    """The metrics of a model on some data; rates are fractions from 0 to 1.

    Raises DataError.
    """
    if model.config.task == "lm":
        walker = LanguageModel(model.with_session(model.session.with_intra_op_threads()))
        return evaluate_language_model(walker, read_lines(paths, options))
    if model.config.task == "classify":
        return _evaluate_classifier(model, paths, options)
    return _evaluate_tagger(model, paths, options)


def evaluate_language_model(model: LanguageModel, lines: Iterator[Line]) -> Metrics:
    """Each document is walked from a zero state after a line's end, every token is scored."""
    unknown = -1 if model.tokenizer.unk_id is None else model.tokenizer.unk_id
    total = known = 0.0
    tokens = known_tokens = n_bytes = 0
    for batch, size in _batches_of_documents(model, lines):
        n_bytes += size
        for piece in model.score_documents(batch):
            targets = batch[piece.row][piece.start : piece.start + len(piece.scores)]
            is_known = targets != unknown
            total += float(piece.scores.sum(dtype=np.float64))
            tokens += len(targets)
            known += float(piece.scores[is_known].sum(dtype=np.float64))
            known_tokens += int(is_known.sum())
    keeps_all = not model.tokenizer.loses_text and tokens == known_tokens
    return metrics.language_model_metrics(
        total_nats=-total,
        tokens=tokens,
        known_nats=-known,
        known_tokens=known_tokens,
        n_bytes=n_bytes if keeps_all else None,
    )


def _batches_of_documents(
    model: LanguageModel, lines: Iterator[Line]
) -> Iterator[tuple[list[Array], int]]:
    """Encoded documents, a batch at a time, and the bytes of each batch's text."""
    batch: list[Array] = []
    size = 0
    for _, group in groupby(lines, key=lambda line: line.document):
        texts = [line.text for line in group]
        pieces: list[Array] = []
        for start in range(0, len(texts), _LINES):
            pieces += model.tokenizer.encode_lines(texts[start : start + _LINES])
        batch.append(np.concatenate(pieces))
        size += sum(len(text.encode()) + 1 for text in texts)
        if len(batch) == _DOCUMENTS:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def temperature_on(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> float:
    """What to divide a classifier's logits by to calibrate it on some data (see
    `metrics.fit_temperature`). Texts with a label that it does not have are left out."""
    classifier = Classifier(model)
    place = {label: index for index, label in enumerate(classifier.labels)}
    texts, rows = [], []
    for example in read_labelled(paths, options):
        if all(label in place for label in example.labels):
            texts.append(example.text)
            row = np.zeros(len(place), np.float32)
            row[[place[label] for label in example.labels]] = 1
            rows.append(row)
    if not rows:
        raise DataError(f"{source_name(paths[0])} has no text with a label that the model knows")
    logits = classifier.logits(model.tokenizer.encode(texts))
    return metrics.fit_temperature(logits, np.stack(rows), classifier.multi_label)


def _evaluate_classifier(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> Metrics:
    classifier = Classifier(model)
    gold: list[Any] = []
    rows: list[Array] = []
    texts: list[str] = []
    for example in read_labelled(paths, options):
        gold.append(frozenset(example.labels) if classifier.multi_label else example.labels[0])
        texts.append(example.text)
        if len(texts) == _EXAMPLES:
            rows.append(classifier.probabilities(texts))
            texts = []
    if texts:
        rows.append(classifier.probabilities(texts))
    return metrics.classification_metrics(
        gold, np.concatenate(rows), list(classifier.labels), classifier.multi_label
    )


def _evaluate_tagger(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> Metrics:
    tagger = Tagger(model)
    sentences = list(read_tagged(paths, options))
    if not sentences:
        raise DataError(f"{paths[0]} has no sentences")
    predicted = tagger.tag_words([sentence.words for sentence in sentences])
    return metrics.tagging_metrics(
        [sentence.tags for sentence in sentences],
        [sentence.tags for sentence in predicted],
        metrics.is_span_tags(tagger.labels),
    )
