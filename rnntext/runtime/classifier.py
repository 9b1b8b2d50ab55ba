"""Classification of texts: labels with their probabilities.

Knows: how to feed a classifier's graph and how to read its logits. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rnntext.config import POOLING_FLOOR, ModelConfig
from rnntext.errors import DataError
from rnntext.ngrams import NgramModel, Tables
from rnntext.probabilities import label_probabilities
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.task import Answerer, RuntimeTask
from rnntext.text.batches import blocks, pad, split_into_windows, window_counts

if TYPE_CHECKING:
    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.runtime.answers import Watch
    from rnntext.text.formats import DataOptions

Array = npt.NDArray[Any]

# Logits that are in memory together, 34 MB in float64: those of 4,096 texts with 1,024 labels.
_BLOCK_LOGITS = 1 << 22
# Probabilities that are ranked together. As Python objects they take ten times the memory.
_RANKED = 1 << 18


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

    def stream(self, texts: Sequence[str], top_k: int | None = None) -> Iterator[Classification]:
        """Yield the results of `classify`, with `top_k` only the so many likeliest labels of each.

        Inference starts when this is called (see `Session.map`). Labels are ranked as results are
        read: with many labels the ranked results of all texts would fill memory.
        """
        found = self.probabilities_of_texts(texts)
        return self._rank_labels(texts, found, top_k)

    def _rank_labels(
        self,
        texts: Sequence[str],
        found: Iterator[tuple[slice, Array]],
        top_k: int | None,
    ) -> Iterator[Classification]:
        for block, probabilities in found:
            texts_of_block = texts[block]
            for part in blocks(np.full(len(probabilities), len(self.labels)), _RANKED):
                order = _ranking(probabilities[part], top_k)
                ranked = np.take_along_axis(probabilities[part], order, axis=1).tolist()
                ranked_labels = self._label_array[order].tolist()
                for text, labels, row in zip(
                    texts_of_block[part], ranked_labels, ranked, strict=True
                ):
                    yield Classification(text, dict(zip(labels, row, strict=True)))

    def probabilities(self, texts: Sequence[str]) -> Array:
        """Probabilities (N, labels) of texts. With `multi_label` each label has its own; otherwise
        a row sums to 1."""
        found = [part for _, part in self.probabilities_of_texts(texts)]
        return np.concatenate(found) if found else np.zeros((0, len(self.labels)))

    def probabilities_of_texts(self, texts: Sequence[str]) -> Iterator[tuple[slice, Array]]:
        """Yield the probabilities of consecutive texts, so that those of all need not be in memory:
        which texts, and what `probabilities` returns for them."""
        return self.probabilities_in_blocks(
            self._model.tokenizer.encode(texts), lambda block: self.ngram_logits(texts[block])
        )

    def ngram_logits(self, texts: Sequence[str]) -> Array | None:
        """Return the logits (N, labels) that the n-gram model adds; None if there is none."""
        ngrams: NgramModel | None = self._model.ngrams()
        return None if ngrams is None else ngrams.logits(texts)

    def probabilities_in_blocks(
        self, texts: Sequence[Array], added: Callable[[slice], Array | None] = lambda block: None
    ) -> Iterator[tuple[slice, Array]]:
        """Yield the same as `probabilities_of_texts`, for encoded texts. `added`: returns what is
        added to the logits of the network for some of them.

        The first texts are submitted now, others while those before them are being used.
        """
        windows = window_counts(texts, self._model.config.max_length)
        parts = list(blocks(windows * len(self.labels), _BLOCK_LOGITS))
        first = self._submit(texts[parts[0]])

        def results() -> Iterator[tuple[slice, Array]]:
            wait_for_logits = first
            for part, following in zip_longest(parts, parts[1:]):
                more = added(part)  # while other threads run the graph
                logits = wait_for_logits()
                if more is not None:
                    logits = logits + more
                if following is not None:
                    wait_for_logits = self._submit(texts[following])
                yield part, label_probabilities(logits, self.multi_label)

        return results()

    def logits(self, texts: Sequence[Array]) -> Array:
        """Logits (N, labels) of encoded texts, in float64: those of the network.

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


def _ranking(probabilities: Array, top_k: int | None) -> Array:
    """Probabilities (N, labels) -> positions of the likeliest labels, (N, K). Labels of equal
    probability keep their own order."""
    rows, labels = probabilities.shape
    if top_k is None or top_k >= labels:
        return np.argsort(-probabilities, axis=1, kind="stable")
    if top_k == 1:
        return np.asarray(probabilities.argmax(axis=1)[:, None])
    # Only labels as likely as the K-th are sorted: with many labels sorting takes most of the time.
    least = np.partition(probabilities, -top_k, axis=1)[:, -top_k]  # (N)
    row, label = np.nonzero(probabilities >= least[:, None])
    order = np.lexsort((label, -probabilities[row, label], row))
    first = np.searchsorted(row, np.arange(rows))  # of each row
    return np.asarray(label[order][first[:, None] + np.arange(top_k)])


_EXAMPLES = 4096  # read together in an evaluation


def _evaluate(
    model: TrainedModel,
    paths: Sequence[str],
    options: DataOptions,
    watch: Watch | None = None,
) -> dict[str, Any]:
    from rnntext import metrics
    from rnntext.runtime.label_answers import label_answers
    from rnntext.text.labelled import read_labelled

    classifier = Classifier(model)
    tally = metrics.classification_tally(classifier.labels, classifier.multi_label)
    answers = label_answers(classifier.labels, classifier.multi_label)
    examples = read_labelled(paths, options, keep_rows=watch is not None)
    while some := list(islice(examples, _EXAMPLES)):
        gold: Any = [e.labels if classifier.multi_label else e.labels[0] for e in some]
        found = classifier.probabilities_of_texts([example.text for example in some])
        for part, probabilities in found:
            tally.add(gold[part], probabilities)
            if watch is not None:
                watch(answers(some[part], probabilities))
    return tally.metrics()


def _fit_temperature(model: TrainedModel, paths: Sequence[str], options: DataOptions) -> float:
    """See `calibration.fit_temperature`; texts with a label that the model lacks are left out."""
    from rnntext import calibration
    from rnntext.text.labelled import read_labelled
    from rnntext.text.source import source_name

    classifier = Classifier(model)
    column = {label: index for index, label in enumerate(classifier.labels)}
    examples = [e for e in read_labelled(paths, options) if column.keys() >= set(e.labels)]
    if not examples:
        raise DataError(f"{source_name(paths[0])} has no text with a label that the model knows")
    examples = [examples[i] for i in calibration.temperature_sample(len(examples), len(column))]
    truth = np.zeros((len(examples), len(column)), np.bool_)
    for row, example in zip(truth, examples, strict=True):
        row[[column[label] for label in example.labels]] = True
    texts = [example.text for example in examples]
    logits = classifier.logits(model.tokenizer.encode(texts))
    added = classifier.ngram_logits(texts)
    return calibration.fit_temperature(
        logits, truth, classifier.multi_label, 0.0 if added is None else added
    )


def _answering(
    model: TrainedModel, *, top_k: int | None = None, threshold: float | None = None
) -> tuple[AnswerColumns, Answerer]:
    from rnntext.runtime.answer_columns import LabelPairs

    classifier = Classifier(model)
    pairs = LabelPairs(classifier.labels, classifier.multi_label, top_k, threshold)
    return pairs.columns(), partial(classifier.stream, top_k=pairs.most)


def _metric_names(config: ModelConfig) -> tuple[str, ...]:
    from rnntext import metrics

    return metrics.classification_metric_names(config.multi_label)


def _parse_linear(content: bytes, config: ModelConfig) -> NgramModel:
    return NgramModel(Tables.parse(content), len(config.labels))


RUNTIME = RuntimeTask(
    _metric_names,
    _evaluate,
    _answering,
    ("top_k", "threshold"),
    _fit_temperature,
    parse_linear=_parse_linear,
)
