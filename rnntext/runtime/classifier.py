"""Classification of texts: labels with their probabilities.

Knows: how to feed a classifier's graph and how to read its logits. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rnntext.config import POOLING_FLOOR, ModelConfig
from rnntext.errors import DataError
from rnntext.probabilities import label_probabilities
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.task import RuntimeTask
from rnntext.text.batches import pad, split_into_windows

if TYPE_CHECKING:
    from rnntext.text.formats import DataOptions

Array = npt.NDArray[Any]

_TEXTS_PER_RANKING = 256


@dataclass(frozen=True, slots=True)
class Classification:
    """The labels of one text with their probabilities, most probable first."""

    text: str
    labels: dict[str, float]

    @property
    def label(self) -> str:
        return next(iter(self.labels))

    @property
    def probability(self) -> float:
        return self.labels[self.label]


class Classifier:
    """A trained classifier. It is safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self.labels = model.config.labels
        self._label_array = np.array(self.labels, object)
        self.multi_label = model.config.multi_label

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Classifier:
        """Load a checkpoint. Raises CheckpointError if it is not an intact classifier."""
        return cls(open_model(directory, "classify", threads))

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """Classify each text; results in order."""
        return list(self.stream(texts))

    def stream(self, texts: Sequence[str]) -> Iterator[Classification]:
        """Yield the results of `classify`.

        Inference starts when this is called (see `Session.map`). Labels are ranked as results are
        read: with many labels the ranked results of all texts would fill memory.
        """
        return self._rank_labels(texts, self._submit(self._model.tokenizer.encode(texts)))

    def _rank_labels(
        self, texts: Sequence[str], wait_for_logits: Callable[[], Array]
    ) -> Iterator[Classification]:
        probabilities = label_probabilities(wait_for_logits(), self.multi_label)
        for start in range(0, len(texts), _TEXTS_PER_RANKING):
            batch = texts[start : start + _TEXTS_PER_RANKING]
            part = probabilities[start : start + len(batch)]
            # A stable sort: labels of equal probability keep their own order.
            order = np.argsort(-part, axis=1, kind="stable")
            ranked = np.take_along_axis(part, order, axis=1).tolist()
            ranked_labels = self._label_array[order].tolist()
            for text, labels, row in zip(batch, ranked_labels, ranked, strict=True):
                yield Classification(text, dict(zip(labels, row, strict=True)))

    def probabilities(self, texts: Sequence[str]) -> Array:
        """Probabilities (N, labels) of texts. With `multi_label` each label has its own; otherwise
        a row sums to 1."""
        return self.probabilities_of_ids(self._model.tokenizer.encode(texts))

    def probabilities_of_ids(self, texts: Sequence[Array]) -> Array:
        """Return the same as `probabilities`, for encoded texts."""
        return label_probabilities(self.logits(texts), self.multi_label)

    def logits(self, texts: Sequence[Array]) -> Array:
        """Logits (N, labels) of encoded texts, in float64.

        A text longer than the model's `max_length` is read in windows of that many tokens. A
        unidirectional encoder carries its state and its pooled values from window to window, so
        the result is that of the whole text. A bidirectional one reads each window by itself, and
        the text's logits are the mean of its windows' logits, weighted by length.
        """
        return self._submit(texts)()

    def _submit(self, texts: Sequence[Array]) -> Callable[[], Array]:
        """Submit texts to the thread pool. Return a function that waits for the logits."""
        # A text without any token is read as an empty line.
        empty_line = np.array([self._model.tokenizer.eos_id], np.int32)
        rows = [ids if len(ids) else empty_line for ids in texts]
        max_length = self._model.config.max_length
        if not self._model.config.encoder.bidirectional:
            return self._submit_rows(rows, max_length)
        windows, owners = split_into_windows(rows, max_length)
        wait_for_windows = self._submit_rows(windows, max_length)
        if len(windows) == len(rows):
            return wait_for_windows
        lengths = np.array([len(ids) for ids in rows])
        weights = np.array([len(window) for window in windows]) / lengths[owners]

        def mean() -> Array:
            logits = np.zeros((len(rows), len(self.labels)))
            np.add.at(logits, owners, wait_for_windows() * weights[:, None])
            return logits

        return mean

    def _submit_rows(self, rows: Sequence[Array], max_length: int) -> Callable[[], Array]:
        """Submit rows of any length, read in windows of `max_length` with the state carried on.
        Return a function that waits for the logits (N, labels)."""
        lengths = np.array([len(row) for row in rows], np.int64)
        batches = self._model.batches(lengths)
        results = self._model.session.map(
            lambda batch: self._read_batch([rows[i] for i in batch], max_length), batches
        )

        def collect() -> Array:
            logits = np.empty((len(rows), len(self.labels)))
            for batch, part in zip(batches, results, strict=True):
                logits[batch] = part
            return logits

        return collect

    def _read_batch(self, rows: Sequence[Array], max_length: int) -> Array:
        carried = self._initial_state(len(rows))
        logits = np.empty((len(rows), len(self.labels)), np.float32)
        for start in range(0, max(map(len, rows)), max_length):
            active = [row for row, ids in enumerate(rows) if len(ids) > start]
            ids, lengths = pad([rows[row][start : start + max_length] for row in active])
            feeds = {name: part.take(active, axis) for name, (axis, part) in carried.items()}
            outputs = ["logits", *(f"next_{name}" for name in carried)]
            feeds.update(ids=ids, lengths=lengths)
            logits[active], *after = self._model.session.run(outputs, feeds)
            for (axis, part), new in zip(carried.values(), after, strict=True):
                part[(slice(None),) * axis + (active,)] = new
        return logits

    def _initial_state(self, rows: int) -> dict[str, tuple[int, Array]]:
        """The state and the pooled values before the first token, by name, each with its batch
        axis. Empty for a bidirectional encoder, which carries nothing from window to window."""
        encoder = self._model.config.encoder
        if encoder.bidirectional:
            return {}
        shape = (encoder.num_layers, rows, encoder.hidden_size)
        return {
            **{part: (1, np.zeros(shape, np.float32)) for part in encoder.state_names},
            "largest": (0, np.full(shape[1:], POOLING_FLOOR, np.float32)),
            "total": (0, np.zeros(shape[1:], np.float32)),
            "count": (0, np.zeros(rows, np.float32)),
        }


_EXAMPLES = 4096  # classified together in an evaluation


def _evaluate(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> dict[str, Any]:
    from rnntext import metrics
    from rnntext.text.labelled import read_labelled

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


def _fit_temperature(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> float:
    """See `metrics.fit_temperature`; texts with a label that the model lacks are left out."""
    from rnntext import metrics
    from rnntext.text.labelled import read_labelled
    from rnntext.text.source import source_name

    classifier = Classifier(model)
    column = {label: index for index, label in enumerate(classifier.labels)}
    texts, rows = [], []
    for example in read_labelled(paths, options):
        if all(label in column for label in example.labels):
            texts.append(example.text)
            row = np.zeros(len(column), np.float32)
            row[[column[label] for label in example.labels]] = 1
            rows.append(row)
    if not rows:
        raise DataError(f"{source_name(paths[0])} has no text with a label that the model knows")
    logits = classifier.logits(model.tokenizer.encode(texts))
    return metrics.fit_temperature(logits, np.stack(rows), classifier.multi_label)


def _metric_names(config: ModelConfig) -> tuple[str, ...]:
    from rnntext import metrics

    return metrics.classification_metric_names(config.multi_label)


RUNTIME = RuntimeTask("logits", "lengths", _metric_names, _evaluate, _fit_temperature)
