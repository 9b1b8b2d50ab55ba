"""Texts to labels with their probabilities.

Knows: how a classifier's graph is fed and its scores are read. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.batches import buckets, pad

Array = npt.NDArray[Any]

# Rows and tokens that go through the graph at once.
_MAX_ROWS = 64
_MAX_TOKENS = 1 << 14


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
    """A trained classifier."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self.labels = model.config.labels
        self.multi_label = model.config.multi_label

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Classifier:
        """Raises CheckpointError where the directory holds no sound classifier."""
        return cls(open_model(directory, "classify", threads))

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        """The labels of each text, in order."""
        probabilities = self.probabilities(texts)
        # Equal probabilities keep the labels' own order.
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            Classification(text, {self.labels[i]: float(row[i]) for i in ranks})
            for text, row, ranks in zip(texts, probabilities, order, strict=True)
        ]

    def probabilities(self, texts: Sequence[str]) -> Array:
        """(N, labels): a distribution in each row, or with several labels a probability each.

        A text longer than the model's `max_length` tokens is read in windows, and its scores
        are their mean by length.
        """
        windows: list[Array] = []
        owners: list[int] = []
        size = self._model.config.max_length
        lengths = np.empty(len(texts))
        for number, ids in enumerate(self._model.tokenizer.encode(texts)):
            # A text without a single token is read as an empty line.
            read = ids if len(ids) else np.array([self._model.tokenizer.eos_id], np.int32)
            lengths[number] = len(read)
            for start in range(0, len(read), size):
                windows.append(read[start : start + size])
                owners.append(number)
        owner = np.array(owners, np.int64)
        logits = np.zeros((len(texts), len(self.labels)))
        sizes = np.array([len(window) for window in windows], np.int64)
        for index in buckets(sizes, max_rows=_MAX_ROWS, max_tokens=_MAX_TOKENS):
            ids, rows = pad([windows[i] for i in index])
            (found,) = self._model.session.run(["logits"], {"ids": ids, "lengths": rows})
            share = rows / lengths[owner[index]]
            np.add.at(logits, owner[index], found * share[:, None])
        if self.multi_label:
            return np.asarray(1 / (1 + np.exp(-logits)))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))
