"""Texts to labels with their probabilities.

Knows: how a classifier's graph is fed and its scores are read. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.batches import pad

Array = npt.NDArray[Any]

# Texts whose labels are ranked at once.
_RANKED = 256
# Below every state, which is at least -1.
_LOWEST = -1e4


@dataclass(frozen=True, slots=True)
class Classification:
    """One text's labels, likeliest first, each with its probability."""

    text: str
    labels: dict[str, float]

    @property
    def label(self) -> str:
        return next(iter(self.labels))

    @property
    def probability(self) -> float:
        return self.labels[self.label]


class Classifier:
    """A trained classifier; safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self.labels = model.config.labels
        self._names = np.array(self.labels, object)
        self.multi_label = model.config.multi_label

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Classifier:
        """Raises CheckpointError where the directory holds no sound classifier."""
        return cls(open_model(directory, "classify", threads))

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """The labels of each text, in order."""
        return list(self.answers(texts))

    def answers(self, texts: Sequence[str]) -> Iterator[Classification]:
        """What `classify` gives. Reading begins at once (see `Session.map`); answers are ranked as
        they are taken, for of many labels all would fill memory."""
        return self._ranked(texts, self._begin(self._model.tokenizer.encode(texts)))

    def _ranked(
        self, texts: Sequence[str], logits: Callable[[], Array]
    ) -> Iterator[Classification]:
        probabilities = self._probabilities(logits())
        for start in range(0, len(texts), _RANKED):
            part = probabilities[start : start + _RANKED]
            # Equal probabilities keep the labels' own order.
            order = np.argsort(-part, axis=1, kind="stable")
            ranked = np.take_along_axis(part, order, axis=1).tolist()
            named = self._names[order].tolist()
            for text, names, row in zip(texts[start : start + _RANKED], named, ranked, strict=True):
                yield Classification(text, dict(zip(names, row, strict=True)))

    def probabilities(self, texts: Sequence[str]) -> Array:
        """(N, labels): a distribution in each row, or with several labels a probability each."""
        return self.probabilities_of_ids(self._model.tokenizer.encode(texts))

    def probabilities_of_ids(self, texts: Sequence[Array]) -> Array:
        """What `probabilities` gives, of texts that are encoded already."""
        return self._probabilities(self.logits(texts))

    def _probabilities(self, logits: Array) -> Array:
        if self.multi_label:
            return np.asarray(1 / (1 + np.exp(-logits)))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def logits(self, texts: Sequence[Array]) -> Array:
        """(N, labels) in float64, before softmax or sigmoid.

        A text of more tokens than the model's `max_length` is read in windows of that many. An
        encoder of one direction carries its state and what it pools from one to the next, so
        that the text is read as a whole. One of two directions reads each by itself, and the
        text's scores are their mean by length.
        """
        return self._begin(texts)()

    def _begin(self, texts: Sequence[Array]) -> Callable[[], Array]:
        """What waits for the logits of texts that are being read."""
        # A text without a single token is read as an empty line.
        empty = np.array([self._model.tokenizer.eos_id], np.int32)
        rows = [ids if len(ids) else empty for ids in texts]
        window = self._model.config.max_length
        if not self._model.config.encoder.bidirectional:
            return self._begin_rows(rows, window)
        windows = [
            ids[start : start + window] for ids in rows for start in range(0, len(ids), window)
        ]
        read = self._begin_rows(windows, window)
        if len(windows) == len(rows):
            return read
        lengths = np.array([len(ids) for ids in rows])
        owner = np.repeat(np.arange(len(rows)), -(-lengths // window))
        share = np.array([len(part) for part in windows]) / lengths[owner]

        def mean() -> Array:
            logits = np.zeros((len(rows), len(self.labels)))
            np.add.at(logits, owner, read() * share[:, None])
            return logits

        return mean

    def _begin_rows(self, rows: Sequence[Array], window: int) -> Callable[[], Array]:
        """What waits for the logits (N, labels) of rows of any length, `window` tokens at a
        time."""
        lengths = np.array([len(row) for row in rows], np.int64)
        order = self._model.batches(lengths)
        found = self._model.session.map(
            lambda index: self._read_batch([rows[i] for i in index], window), order
        )

        def joined() -> Array:
            logits = np.empty((len(rows), len(self.labels)))
            for index, part in zip(order, found, strict=True):
                logits[index] = part
            return logits

        return joined

    def _read_batch(self, rows: Sequence[Array], window: int) -> Array:
        carried = self._start(len(rows))
        logits = np.empty((len(rows), len(self.labels)), np.float32)
        for start in range(0, max(map(len, rows)), window):
            going = [row for row, ids in enumerate(rows) if len(ids) > start]
            ids, left = pad([rows[row][start : start + window] for row in going])
            feeds = {name: part.take(going, axis) for name, (axis, part) in carried.items()}
            outputs = ["logits", *(f"next_{name}" for name in carried)]
            feeds.update(ids=ids, lengths=left)
            logits[going], *after = self._model.session.run(outputs, feeds)
            for (axis, part), new in zip(carried.values(), after, strict=True):
                part[(slice(None),) * axis + (going,)] = new
        return logits

    def _start(self, rows: int) -> dict[str, tuple[int, Array]]:
        """What is carried from window to window by name, with its axis of rows: the state, and
        what was pooled. Nothing where the encoder reads in both directions."""
        encoder = self._model.config.encoder
        if encoder.bidirectional:
            return {}
        shape = (encoder.num_layers, rows, encoder.hidden_size)
        return {
            **{part: (1, np.zeros(shape, np.float32)) for part in encoder.state_names},
            "largest": (0, np.full(shape[1:], _LOWEST, np.float32)),
            "total": (0, np.zeros(shape[1:], np.float32)),
            "count": (0, np.zeros(rows, np.float32)),
        }
