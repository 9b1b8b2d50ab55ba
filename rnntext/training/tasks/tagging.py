"""What a tagger learns: the tag of each word of a sentence.

Knows: encoded sentences. Does not know: files, tokenizers, optimisers or when to stop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext import metrics
from rnntext.text.batches import buckets, pad
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.examples import TaggedIds, TaggedRows
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import (
    QUICK_TOKENS,
    SAMPLE_TOKENS,
    epoch_batches,
    random_subset,
    shard_rows,
)
from rnntext.training.events import Metrics
from rnntext.training.networks.model import Tagger


class _TaggedBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    first: Tensor  # (B, W)
    last: Tensor  # (B, W)
    tags: Tensor  # (B, W)
    words: Tensor  # (B)
    weight: float  # words of the whole batch, of all ranks
    tokens: int  # of the whole batch


class Tagging:
    """Predict the tag of each word of a sentence."""

    higher_is_better = True

    def __init__(
        self,
        train: TaggedRows,
        valid: Sequence[TaggedIds],
        *,
        labels: Sequence[str],
        max_length: int,
        batch_size: int,
        seed: int,
        machine: Machine,
        ranks: Ranks = SINGLE_PROCESS,
    ) -> None:
        self.ranks = ranks
        self.train, self.valid, self.labels = train, valid, labels
        self.max_length = max_length
        self.batch_size, self.seed, self.machine = batch_size, seed, machine
        self.spans = metrics.is_span_tags(labels)
        self.metric = "f1" if self.spans else "accuracy"
        lengths = [len(sentence.ids) for sentence in valid]
        self._quick = random_subset(lengths, QUICK_TOKENS, seed)
        self._sample = random_subset(lengths, SAMPLE_TOKENS, seed)
        self._epochs = BucketedEpochs(train.ids, batch_size, batch_size * 256)
        self.steps_per_epoch = self._epochs.count(np.random.default_rng([seed, 0]))
        quick = sum(len(valid[i].ids) for i in self._quick)
        self.quick_share = quick / self.valid_tokens()
        self.quick_steps = quick / (len(train.ids.values) / self.steps_per_epoch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[_TaggedBatch]:
        """This rank's part of each batch."""
        steps = epoch_batches(self._epochs, self.steps_per_epoch, [self.seed, epoch])
        for index in islice(steps, start, None):
            sentences = self.train.read(index)
            own, counts = shard_rows(self.ranks, len(index))
            yield _TaggedBatch(
                *self._tensors(sentences[own], even=True),
                weight=sum(len(s.tags) for s in sentences) if counts else math.inf,
                tokens=sum(len(s.ids) for s in sentences),
            )

    def _tensors(
        self, sentences: Sequence[TaggedIds], *, even: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        ids, lengths = pad([s.ids for s in sentences], even=even)
        first, words = pad([s.first for s in sentences], even=even)
        last, _ = pad([s.last for s in sentences], even=even)
        tags, _ = pad([s.tags for s in sentences], even=even)
        arrays = (ids, lengths, first, last, tags, words)
        tensors = (
            torch.from_numpy(array.astype(np.int64)).to(self.machine.device) for array in arrays
        )
        return tuple(tensors)  # type: ignore[return-value]

    def loss(self, model: Tagger, batch: _TaggedBatch) -> tuple[Tensor, int]:
        with self.machine.autocast():
            emissions = model(batch.ids, batch.lengths, batch.first, batch.last)
        likelihood = model.head.crf.log_likelihood(emissions.float(), batch.tags, batch.words)
        return likelihood.sum() * (-self.ranks.size / batch.weight), batch.tokens

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass

    def valid_tokens(self) -> int:
        return sum(len(sentence.ids) for sentence in self.valid)

    def evaluate_sample(self, model: Tagger) -> float:
        sentences = [self.valid[i] for i in self._sample]
        self._measure(model, sentences)
        return sum(len(sentence.ids) for sentence in sentences) / self.valid_tokens()

    def evaluate(self, model: Tagger, *, quick: bool = False) -> Metrics:
        return self._measure(model, self.chosen(quick=quick))

    def chosen(self, *, quick: bool) -> Sequence[TaggedIds]:
        """The validation sentences that an evaluation reads."""
        return [self.valid[i] for i in self._quick] if quick else self.valid

    def _measure(self, model: Tagger, chosen: Sequence[TaggedIds]) -> Metrics:
        model.eval()
        pieces = [(n, p) for n, s in enumerate(chosen) for p in s.pieces(self.max_length)]
        tags: list[Array] = [np.empty(0, np.int64)] * len(pieces)
        lengths = np.array([len(piece.ids) for _, piece in pieces])
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                ids, sizes, first, last, _, words = self._tensors([pieces[i][1] for i in index])
                emissions = model(ids, sizes, first, last)
                paths = model.head.crf.decode(emissions, words).cpu().numpy()
                for place, path, count in zip(index, paths, words.tolist(), strict=True):
                    tags[place] = path[:count]
        predicted: list[list[str]] = [[] for _ in chosen]
        for (sentence, _), path in zip(pieces, tags, strict=True):
            predicted[sentence] += [self.labels[tag] for tag in path]
        return self.metrics_of(predicted, chosen)

    def metrics_of(
        self, predicted: Sequence[Sequence[str]], chosen: Sequence[TaggedIds]
    ) -> Metrics:
        """The metrics of these tags of the chosen validation sentences."""
        gold = [[self.labels[tag] for tag in sentence.tags] for sentence in chosen]
        return metrics.tagging_metrics(gold, predicted, self.spans)
