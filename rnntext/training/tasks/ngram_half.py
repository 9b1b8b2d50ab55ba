"""The n-gram model of a classifier, whose logits are added to those of the recurrent network.

Knows: which texts it is learned from, how its strength is chosen, and how much each of the two
counts in the sum. Does not know: the network, or the loop that trains it.

Each of the two is trained to its own best, and the weights of the sum are fitted on validation
data. Trained together under one loss, both come out weaker (Wang, Tran and Feiszli 2019).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnntext.calibration import Weights, fit_mixture
from rnntext.checkpoint import NGRAMS
from rnntext.ngrams import NgramModel, Tables, read_notes
from rnntext.training.data.examples import TextRows, one_hot
from rnntext.training.data.store import Array
from rnntext.training.linear.ngrams import (
    MAX_LABELS,
    SPEED,
    STRENGTHS,
    NgramLearner,
    Strength,
    choose_texts,
    in_parts,
    largest_size,
    text_sizes,
)
from rnntext.training.tasks.labelled import LinearHalf

# The metric that says how much the n-grams count for each unit that the network does, of a tagger
# too (`word_half.py`).
WEIGHT = "ngrams_weight"
# What is known of the labels of each text: their indices, or probabilities [texts, labels].
Truth = Sequence[Array] | Array
# What is noted in the file of a model: the number of texts, and which strength it has.
_TEXTS, _STRENGTH = "texts", "strength"
# The time to learn once more, as a share of that of trying all strengths.
_ONE_STRENGTH = 0.5
# Logits of training texts, which are in memory together.
_MAX_LOGITS = 1 << 24


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread. The search takes thousands of small steps, between which
    threads wait for each other by spinning: with another run on the same two cores 22,500 film
    reviews took 253 s in two threads, and 43 s in one (6,920 sentences on idle cores: 1.2 s in two,
    3.0 s in one)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _joined(first: Truth, second: Truth) -> Truth:
    if isinstance(first, np.ndarray):
        return np.concatenate([first, np.asarray(second)])
    return [*first, *second]


class NgramHalf(LinearHalf):
    """The n-gram model of one run, and its logits on the validation data."""

    def __init__(
        self,
        train: TextRows,
        valid: Sequence[str],
        labels: int,
        multi_label: bool,
        labelled: int | None = None,
    ) -> None:
        """`labelled`: how many training texts have labels, the first ones; others are left out
        before them where there are too many (None: all have labels)."""
        self._train, self._valid, self._labelled = train, valid, labelled
        self.labels, self.multi_label = labels, multi_label
        # Of two labels of which one is right a single column tells the difference.
        self._columns = 1 if labels == 2 and not multi_label else labels
        self.texts = 0
        self.seconds = 0.0  # that this took
        self._strength = STRENGTHS[0]
        self._tables: Tables | None = None
        self.valid_logits: Array = np.zeros((len(valid), labels), np.float32)

    @staticmethod
    def is_possible(labels: int) -> bool:
        """Return True if so many labels can have an n-gram model."""
        return labels <= MAX_LABELS

    def learn(
        self,
        labels_of: Callable[[Array], Truth],
        valid_labels: Truth,
        loss: Callable[[Tensor, Truth], Tensor],
        minutes: float | None,
        seed: int,
        texts: int | None = None,
    ) -> None:
        """Learn from the training texts. `labels_of`: the truth of texts, given by their numbers;
        `loss`: the summed loss of logits [N, labels] with this truth; `texts`: how many texts
        (None: what is possible in `minutes`)."""
        started = time.perf_counter()
        lengths = self._train.rows.lengths()
        most = max(1, _MAX_LOGITS // self.labels) if texts is None else texts
        size = largest_size(minutes) if texts is None else None
        chosen = choose_texts(lengths, size, most, seed, self._labelled)
        learner = NgramLearner(map(self._train.read, in_parts(chosen)), self._columns)
        labels = labels_of(chosen)
        best = np.inf
        for strength in STRENGTHS:
            tables = self._fit(learner, labels, loss, strength)
            logits = self._logits_of(tables)
            nats = float(loss(torch.from_numpy(logits), valid_labels))
            if self._tables is None or nats < best:
                best, self._tables, self.valid_logits = nats, tables, logits
                self._strength = strength
        self.texts = len(chosen)
        self.seconds = time.perf_counter() - started

    def _fit(
        self,
        learner: NgramLearner,
        labels: Truth,
        loss: Callable[[Tensor, Truth], Tensor],
        strength: Strength,
    ) -> Tables:
        classes = labels if isinstance(labels, np.ndarray) else one_hot(labels, self.labels)
        truth = torch.from_numpy(classes[:, -self._columns :])

        def loss_of(scores: Tensor) -> Tensor:
            if self._columns < self.labels:
                scores = torch.cat([-scores / 2, scores / 2], dim=1)
            return loss(scores, labels)

        with one_thread():
            return learner.fit(truth, loss_of, strength)

    @property
    def learns_from_all(self) -> bool:
        return self.texts == len(self._train.rows)

    def learn_from_validation_too(
        self,
        labels_of: Callable[[Array], Truth],
        valid_labels: Truth,
        loss: Callable[[Tensor, Truth], Tensor],
        weight: float,
    ) -> dict[str, bytes]:
        """Return the file of a model with logits multiplied by `weight`, which was learned from the
        training and validation texts together, with the strength that was found best. The other
        arguments are those of `learn`."""
        everything = np.arange(len(self._train.rows))
        parts = chain(map(self._train.read, in_parts(everything)), [self._valid])
        learner = NgramLearner(parts, self._columns)
        labels = _joined(labels_of(everything), valid_labels)
        tables = self._fit(learner, labels, loss, self._strength)
        return {NGRAMS: replace(tables, scale=weight).serialize(self._notes(len(labels)))}

    def _notes(self, texts: int) -> dict[str, int]:
        return {_TEXTS: texts, _STRENGTH: STRENGTHS.index(self._strength)}

    def seconds_to_learn_again(self) -> float:
        size = float(text_sizes(self._train.rows.lengths()).sum())
        return _ONE_STRENGTH * max(self.seconds, size / SPEED)

    def restore(self, content: bytes) -> None:
        self._tables = replace(Tables.parse(content), scale=1.0)
        notes = read_notes(content)
        # Files of earlier versions have no notes.
        self.texts = notes.get(_TEXTS, 0)
        self._strength = STRENGTHS[notes.get(_STRENGTH, 0)]
        self.valid_logits = self._logits_of(self._tables)

    def _logits_of(self, tables: Tables) -> Array:
        return NgramModel(tables, self.labels).logits(self._valid).astype(np.float32)

    def weights(self, logits: Array, indices: Sequence[int], truth: Array) -> Weights:
        """Return the weights of the network and of the n-grams on validation examples, given by
        their numbers. `logits`: those of the network."""
        return fit_mixture(logits, self.valid_logits[indices], truth, self.multi_label)

    def model(self, weight: float) -> NgramModel:
        """The model with its logits multiplied by `weight`."""
        assert self._tables is not None  # noqa: S101
        return NgramModel(replace(self._tables, scale=weight), self.labels)

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        if self._tables is None:
            return {}
        weighted = self.model(metrics.get(WEIGHT, 1.0)).tables
        return {NGRAMS: weighted.serialize(self._notes(self.texts))}
