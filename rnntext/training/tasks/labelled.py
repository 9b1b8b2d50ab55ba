"""The objective that tasks with labelled examples share: classifying documents, tagging sentences.

Knows: how many steps an epoch of examples of similar length has, which validation examples an
evaluation reads, and when the linear model beside the network is learned. Does not know: the
labels, the loss or the network of a task.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from rnntext.checkpoint import NGRAMS
from rnntext.checkpoint_config import NGRAMS_TEXTS, SPLITTER_SENTENCES
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import Ranks
from rnntext.training.engine.objective import epoch_batches, random_subset
from rnntext.training.events import Learned, Metrics, NgramsLearned
from rnntext.training.tasks.base import TaskObjective

# Validation tokens that a quick evaluation reads. Fewer examples do not tell two checkpoints apart:
# the accuracy of 350 film reviews has a standard error of 1.7 points, that of 2,500 of 0.6. Of the
# part that a run holds out itself, at most 5,000 examples, nearly all are read.
QUICK_TOKENS = 1_000_000
# What `halves` has that is not measured at the end.
_COUNTS = (NGRAMS_TEXTS, SPLITTER_SENTENCES)
# Validation tokens that are read to measure the speed of an evaluation.
SAMPLE_TOKENS = 10_000


class LinearHalf(ABC):
    """A linear model whose scores are added to those of the network."""

    texts: int  # that it was learned from

    @abstractmethod
    def restore(self, content: bytes) -> None:
        """Continue with the model that `files` wrote."""

    @abstractmethod
    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the file of the model, weighted as in an evaluation with these metrics."""

    @property
    @abstractmethod
    def learns_from_all(self) -> bool:
        """True if all training examples are learned from: of more of them than that, those of the
        validation data would add nothing."""

    @abstractmethod
    def seconds_to_learn_again(self) -> float:
        """Return how long it is expected to take to learn once more, from the validation data too.
        A run that continues has not measured how long it takes to learn."""


class LabelledObjective(TaskObjective):
    """Predict labels of examples, each a sequence of token ids."""

    higher_is_better = True

    def __init__(
        self,
        epochs: BucketedEpochs,
        train_tokens: int,
        valid_lengths: Sequence[int],
        *,
        seed: int,
        machine: Machine,
        ranks: Ranks,
        half: LinearHalf | None,
        held_out: bool,
    ) -> None:
        """`epochs`: batches of the training examples, which have `train_tokens` tokens;
        `valid_lengths`: tokens of each validation example; `half`: the linear model that is added
        to the network; `held_out`: the validation data were taken out of the data to learn from.
        """
        self.seed, self.machine, self.ranks = seed, machine, ranks
        self._epochs, self._valid_lengths = epochs, valid_lengths
        self.half, self._held_out = half, held_out
        self._halves: dict[str, float] = {}  # see `halves`
        self._quick_indices = random_subset(valid_lengths, QUICK_TOKENS, seed)
        self._sample_indices = random_subset(valid_lengths, SAMPLE_TOKENS, seed)
        self.steps_per_epoch = epochs.count(np.random.default_rng([seed, 0]))
        quick_tokens = self._tokens_of(self._quick_indices)
        self.quick_fraction = quick_tokens / self.valid_tokens()
        self.steps_per_quick_evaluation = quick_tokens / (train_tokens / self.steps_per_epoch)

    def _tokens_of(self, indices: Sequence[int]) -> int:
        return sum(self._valid_lengths[i] for i in indices)

    def batch_indices(self, epoch: int, start: int) -> Iterator[tuple[int, Array]]:
        """Yield each step of an epoch from `start` on, with the indices of its examples."""
        batches = epoch_batches(self._epochs, self.steps_per_epoch, [self.seed, epoch])
        return islice(enumerate(batches), start, None)

    def valid_tokens(self) -> int:
        return sum(self._valid_lengths)

    def evaluated_indices(self, *, quick: bool) -> Sequence[int]:
        """Return the indices of the validation examples that an evaluation reads."""
        return self._quick_indices if quick else range(len(self._valid_lengths))

    def answers(self, target: str) -> int:
        return len(self.evaluated_indices(quick=True))

    def evaluate(self, model: Any, *, quick: bool = False) -> Metrics:
        return self.evaluate_examples(model, self.evaluated_indices(quick=quick))

    def evaluate_sample(self, model: Any) -> float:
        self.evaluate_examples(model, self._sample_indices)
        return self._tokens_of(self._sample_indices) / self.valid_tokens()

    @abstractmethod
    def evaluate_examples(self, model: Any, indices: Sequence[int]) -> Metrics:
        """Return the metrics of the model on these validation examples."""

    # The linear model

    def prepare(self, files: Mapping[str, bytes]) -> Iterator[Learned]:
        if self.half is None:
            return
        if NGRAMS in files:
            self.half.restore(files[NGRAMS])
            return
        started = time.perf_counter()
        alone = self.learn_half()
        yield NgramsLearned(self.half.texts, alone, time.perf_counter() - started)

    @abstractmethod
    def learn_half(self) -> Metrics:
        """Let the linear model learn; return its own metrics on the validation data."""

    def files(self, metrics: Mapping[str, Any]) -> dict[str, bytes]:
        return {} if self.half is None else self.half.files(metrics)

    def restore_halves(self, halves: Mapping[str, float]) -> None:
        self._halves = {name: value for name, value in halves.items() if name not in _COUNTS}

    def learn_once(self) -> None:
        self._held_out = False

    def finished_files(self) -> dict[str, bytes]:
        if self.learns_from_validation():
            return self.half_from_all_data()
        return self.files(self._halves)

    @abstractmethod
    def half_from_all_data(self) -> dict[str, bytes]:
        """Return the file of the linear model, weighted as in the finished model, after it has
        learned once more, from the training and the validation data together."""

    def seconds_to_finish(self) -> float:
        if self.half is None or not self.learns_from_validation():
            return 0.0
        return self.half.seconds_to_learn_again()

    def learns_from_validation(self) -> bool:
        return self._held_out and self.half is not None and self.half.learns_from_all

    def halves(self) -> dict[str, float]:
        texts = {} if self.half is None else {NGRAMS_TEXTS: self.half.texts}
        return {**self._halves, **texts}
