"""The objective of classifiers: predict the labels of documents.

Knows: batches of documents and their loss, calibration, and the sum with an n-gram model. Does not
know: files, defaults (`classifier.py`), how documents are read by a network
(`document_reader.py`), optimizers or early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext import calibration, metrics
from rnntext.calibration import Weights
from rnntext.checkpoint_config import DistillationRecord
from rnntext.text.batches import blocks, window_counts
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.examples import LabelledIds, LabelledRows, one_hot
from rnntext.training.data.store import Array, counts_of
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import shard_rows
from rnntext.training.events import Learned, Metrics
from rnntext.training.networks.classifier import Classifier
from rnntext.training.tasks.distillation import Distillation
from rnntext.training.tasks.document_reader import DocumentReader
from rnntext.training.tasks.labelled import LabelledObjective
from rnntext.training.tasks.ngram_half import WEIGHT, NgramHalf, Truth

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel


LOSS, NETWORK_LOSS = "log_loss", "network_log_loss"
# Logits of validation documents that are computed together: 67 MB.
_BLOCK_LOGITS = 1 << 24
_NO_IDS = np.zeros(0, np.int64)


class _LabelledBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    # (B), indices; of several labels (B, labels), 0 and 1; distilled (B, labels), probabilities
    labels: Tensor
    weight: float  # divisor of the summed loss; of the batch of all ranks
    tokens: int  # of the batch of all ranks


class Classification(LabelledObjective):
    """Predict the labels of a document."""

    def __init__(
        self,
        train: LabelledRows,
        valid: LabelledIds,
        *,
        labels: Sequence[str],
        multi_label: bool,
        balanced: bool,
        batch_size: int,
        max_length: int,
        seed: int,
        machine: Machine,
        ranks: Ranks = SINGLE_PROCESS,
        ngrams: NgramHalf | None = None,
        held_out: bool = False,
        minutes: float | None = None,
        ngrams_texts: int | None = None,
        select: str | None = None,
        unseen: Sequence[str] = (),
        distillation: Distillation | None = None,
    ) -> None:
        """`unseen`: labels of the validation data that training lacks, whose ids follow those of
        `labels`; a document with one counts as an error, and not in a loss or a calibration.
        `ngrams`: the model whose logits are added; `held_out`: the validation data were taken out
        of the data to learn from; `minutes`: the time budget of the run; `ngrams_texts`: how many
        texts the n-grams are learned from (None: what is possible in `minutes`);
        `select`: the metric of the best checkpoint (None: the loss of the network by itself, so
        that each half is trained to its own best: the loss of the sum hardly changes where one half
        is nearly right by itself, and the other would not be trained); `distillation`: what the
        targets are made of, of the rows of `train` that have no labels too (None: of the labels).
        """
        super().__init__(
            BucketedEpochs(train.ids, batch_size, batch_size * max_length, max_length),
            train.ids.size(),
            [len(ids) for ids in valid.ids],
            seed=seed,
            machine=machine,
            ranks=ranks,
            half=ngrams,
            held_out=held_out,
        )
        self.train, self.valid, self.labels = train, valid, labels
        self._valid_labels = (*labels, *unseen)
        self._known = self._are_known(valid.labels)
        self._ngrams, self._minutes, self._ngrams_texts = ngrams, minutes, ngrams_texts
        self._distillation = distillation
        self.multi_label, self.max_length = multi_label, max_length
        self._documents = DocumentReader(machine, max_length)
        self.metric = select or (LOSS if ngrams is None else NETWORK_LOSS)
        self.higher_is_better = self.metric not in (LOSS, NETWORK_LOSS)
        # Balanced class weights: inversely proportional to the frequency of each class.
        self._class_weights: Array | None = None
        self.weights: Tensor | None = None  # the same on the device
        if balanced:
            counts = counts_of(train.labels.values, len(labels))
            weights = len(train) / (len(labels) * np.maximum(counts, 1))
            self._class_weights = weights.astype(np.float32)
            self.weights = torch.from_numpy(self._class_weights).to(machine.device)

    def batches(self, epoch: int, start: int = 0) -> Iterator[_LabelledBatch]:
        """Yield this rank's rows of each batch. A document longer than `max_length` is cropped to
        a random window, another one in each epoch."""
        for step, index in self.batch_indices(epoch, start):
            documents = self.train.read(index)
            generator = np.random.default_rng([self.seed, epoch, step])
            lengths = np.array([len(ids) for ids in documents.ids])
            starts = generator.integers(np.maximum(lengths - self.max_length, 0) + 1)
            shard, counts = shard_rows(self.ranks, len(index))
            rows = [
                ids[start : start + self.max_length]
                for ids, start in zip(documents.ids[shard], starts[shard], strict=True)
            ]
            yield _LabelledBatch(
                *self._documents.tensors(rows, round_width=True),
                labels=self._targets(index[shard], documents.labels[shard]),
                weight=self._total_weight(documents.labels) if counts else math.inf,
                tokens=int(np.minimum(lengths, self.max_length).sum()),
            )

    def _targets(self, index: Array, labels: Sequence[Array]) -> Tensor:
        """Return the labels of a batch, as `_LabelledBatch` holds them."""
        truth = labels if self._distillation is None else self._distillation.targets(index, labels)
        return self._tensor(truth).to(self.machine.device)

    def _tensor(self, truth: Truth) -> Tensor:
        """Return label indices, or probabilities, as the loss takes them."""
        if isinstance(truth, np.ndarray):
            return torch.from_numpy(truth)
        return torch.from_numpy(
            one_hot(truth, len(self.labels)) if self.multi_label else _only(truth)
        )

    def prepare(self, files: Mapping[str, bytes]) -> Iterator[Learned]:
        if self._distillation is not None:
            yield self._distillation.ask()
        yield from super().prepare(files)

    def distilled(self) -> DistillationRecord | None:
        return None if self._distillation is None else self._distillation.record

    def remarks(self) -> tuple[str, ...]:
        taught = () if self._distillation is None else self._distillation.remarks
        longest, count = self.max_length, self._count_longer_documents()
        if not count:
            return taught
        return (
            *taught,
            f"{count:,} documents have more than {longest:,} tokens: each pass reads a "
            f"window of {longest:,} of them, another each time",
        )

    def _count_longer_documents(self) -> int:
        """Return the number of training documents that are longer than a window."""
        ids, step = self.train.ids, 1 << 20
        return sum(
            int((ids.lengths(start, min(start + step, len(ids))) > self.max_length).sum())
            for start in range(0, len(ids), step)
        )

    def loss(self, model: Classifier, batch: _LabelledBatch) -> tuple[Tensor, int]:
        with self.machine.autocast():
            logits = model(batch.ids, batch.lengths)
        total = self._total_loss(logits.float(), batch.labels)
        return total * (self.ranks.size / batch.weight), batch.tokens

    def _total_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return self._summed_loss(logits, labels, self.weights)

    def _summed_loss(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        if self.multi_label:
            return functional.binary_cross_entropy_with_logits(
                logits, labels, pos_weight=weights, reduction="sum"
            )
        return functional.cross_entropy(logits, labels, weight=weights, reduction="sum")

    def _total_weight(self, labels: Sequence[Array]) -> float:
        """Return the divisor that makes a mean of the summed loss of rows with these labels."""
        if self.multi_label:
            return float(len(labels) * len(self.labels))
        if self._class_weights is None:
            return len(labels)
        return float(self._class_weights[_only(labels)].sum())

    def learn_half(self) -> Metrics:
        assert self._ngrams is not None  # noqa: S101
        self._ngrams.learn(
            self._truth_of_texts,
            self.valid.labels,
            self._loss_of_ngrams,
            self._minutes,
            self.seed,
            self._ngrams_texts,
        )
        everything = self.evaluated_indices(quick=False)
        return self._metrics([(everything, torch.from_numpy(self._ngrams.valid_logits))])

    def half_from_all_data(self) -> dict[str, bytes]:
        assert self._ngrams is not None  # noqa: S101
        valid: Truth = self.valid.labels
        if self._distillation is not None:
            valid = self._distillation.valid_targets(self.valid.labels)
        return self._ngrams.learn_from_validation_too(
            self._truth_of_texts, valid, self._loss_of_ngrams, self._halves[WEIGHT]
        )

    def _truth_of_texts(self, index: Array) -> Truth:
        """Return the truth of training texts, given by their numbers."""
        labels = self.train.read(index).labels
        return labels if self._distillation is None else self._distillation.targets(index, labels)

    def _loss_of_ngrams(self, logits: Tensor, truth: Truth) -> Tensor:
        if not (isinstance(truth, np.ndarray) or self._known.all()):
            known = np.flatnonzero(self._are_known(truth))
            logits, truth = logits[torch.from_numpy(known)], [truth[i] for i in known.tolist()]
        weights = None if self.weights is None else self.weights.cpu()
        return self._summed_loss(logits, self._tensor(truth), weights)

    def final_metrics(self, model: Classifier, *, quick: bool) -> Metrics:
        """Calibrate the model by temperature scaling, in place, or by the weights of the sum with
        the n-grams, and return its metrics."""
        indices = self.evaluated_indices(quick=quick)
        if self._ngrams is not None:
            return self._final_metrics_of_sum(model, self._ngrams, indices)
        sample = self._temperature_sample(indices)
        logits = torch.cat([logits for _, logits in self._logits_in_blocks(model, sample)])
        temperature = self._fit_temperature(logits.cpu().numpy(), sample)
        # Where the sample is all of them, they need not be read again.
        is_whole = len(sample) == len(indices)
        found = [(sample, logits)] if is_whole else self._logits_in_blocks(model, indices)
        measured = self._metrics((part, logits / temperature) for part, logits in found)
        _scale_logits(model, 1 / temperature)
        return measured

    def _final_metrics_of_sum(
        self, model: Classifier, ngrams: NgramHalf, indices: Sequence[int]
    ) -> Metrics:
        """Fit the weights of both halves; return the metrics of the sum, and the metric that
        selects the best checkpoint for either half alone."""
        logits = self._all_logits(model, indices)
        weights = self._weights(ngrams, logits, indices)
        added = ngrams.valid_logits[indices]
        _scale_logits(model, weights.first)
        both, network, alone = (
            self._metrics([(indices, torch.from_numpy(scores))])
            for scores in (weights.first * logits + weights.second * added, logits, added)
        )
        shown = "micro_f1" if self.multi_label else "accuracy"
        self._halves = {
            f"network_{shown}": network[shown],
            f"ngrams_{shown}": alone[shown],
            WEIGHT: weights.second,
        }
        return both

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float:
        from rnntext.runtime.classifier import Classifier as OnnxClassifier

        sample = self._temperature_sample(self.evaluated_indices(quick=quick))
        logits = OnnxClassifier(model).logits([self.valid.ids[i] for i in sample])
        added = 0.0 if self._ngrams is None else self._added(self._ngrams)[sample]
        return self._fit_temperature(logits, sample, added)

    def _added(self, ngrams: NgramHalf) -> Array:
        """Return the weighted logits of the n-grams on the validation data."""
        return np.asarray(self._halves[WEIGHT] * ngrams.valid_logits)

    def _temperature_sample(self, indices: Sequence[int]) -> Sequence[int]:
        """Return those of the validation documents on which the temperature is fitted."""
        indices = self._calibrating(indices)
        chosen = calibration.temperature_sample(len(indices), len(self.labels))
        return [indices[i] for i in chosen.tolist()]

    def _fit_temperature(
        self, logits: Array, indices: Sequence[int], added: Array | float = 0.0
    ) -> float:
        truth = self._truth(indices)
        return calibration.fit_temperature(logits, truth, self.multi_label, added)

    def _weights(self, ngrams: NgramHalf, logits: Array, indices: Sequence[int]) -> Weights:
        known = self._calibrating(indices)
        return ngrams.weights(logits[self._known[indices]], known, self._truth(known))

    def _calibrating(self, indices: Sequence[int]) -> Sequence[int]:
        """Return those of the validation documents whose labels training has."""
        return indices if self._known.all() else [i for i in indices if self._known[i]]

    def _are_known(self, labels: Sequence[Array]) -> Array:
        """Return which rows of label indices have only labels of the model, (N) bool."""
        owners = np.repeat(np.arange(len(labels)), [len(row) for row in labels])
        known = np.ones(len(labels), np.bool_)
        known[owners[np.concatenate([_NO_IDS, *labels]) >= len(self.labels)]] = False
        return known

    def _truth(self, indices: Sequence[int]) -> Array:
        return one_hot([self.valid.labels[i] for i in indices], len(self.labels))

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.classifier import Classifier as OnnxClassifier

        indices = self.evaluated_indices(quick=quick)
        added = None if self._ngrams is None else self._added(self._ngrams)[indices]
        ids = [self.valid.ids[i] for i in indices]
        found = OnnxClassifier(model).probabilities_in_blocks(
            ids, lambda block: None if added is None else added[block]
        )
        return self.metrics_of((indices[block], probabilities) for block, probabilities in found)

    def evaluate_examples(self, model: Classifier, indices: Sequence[int]) -> Metrics:
        if self._ngrams is None:
            return self._metrics_when_calibrated(model, indices)
        # Both halves are scaled by one number in the finished model: here the network's is left,
        # as what is saved on the way is not calibrated.
        logits = self._all_logits(model, indices)
        weights = self._weights(self._ngrams, logits, indices)
        total = weights.first * logits + weights.second * self._ngrams.valid_logits[indices]
        measured = self._metrics([(indices, torch.from_numpy(total))])
        network = self._calibrated_metrics(logits, indices)[LOSS]
        return {**measured, NETWORK_LOSS: network, WEIGHT: weights.second / weights.first}

    def _metrics_when_calibrated(self, model: Classifier, indices: Sequence[int]) -> Metrics:
        """Return the metrics that the model would have if it were calibrated now: a network grows
        too certain while it still learns, which its loss would be chosen by. With many labels,
        whose logits fill memory, it is as it is."""
        if not NgramHalf.is_possible(len(self.labels)):
            return self._metrics(self._logits_in_blocks(model, indices))
        return self._calibrated_metrics(self._all_logits(model, indices), indices)

    def _calibrated_metrics(self, logits: Array, indices: Sequence[int]) -> Metrics:
        known = self._known[indices]
        calibrated = logits / self._fit_temperature(logits[known], self._calibrating(indices))
        return self._metrics([(indices, torch.from_numpy(calibrated))])

    def _all_logits(self, model: Classifier, indices: Sequence[int]) -> Array:
        """Return the logits of the network (n, labels); of few labels, as n-grams have."""
        found = [logits for _, logits in self._logits_in_blocks(model, indices)]
        return torch.cat(found).float().cpu().numpy()

    def _logits_in_blocks(
        self, model: Classifier, indices: Sequence[int]
    ) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Yield indices of validation documents with their logits (n, labels)."""
        model.eval()
        windows = window_counts([self.valid.ids[i] for i in indices], self.max_length)
        for block in blocks(windows * len(self.labels), _BLOCK_LOGITS):
            part = indices[block]
            yield part, self._documents.logits(model, [self.valid.ids[i] for i in part])

    def _metrics(self, found: Iterable[tuple[Sequence[int], Tensor]]) -> Metrics:
        """Return the metrics of validation documents, given by their indices, with these logits."""

        def probabilities(logits: Tensor) -> Array:
            return (logits.sigmoid() if self.multi_label else logits.softmax(1)).cpu().numpy()

        return self.metrics_of((part, probabilities(logits)) for part, logits in found)

    def metrics_of(self, found: Iterable[tuple[Sequence[int], Array]]) -> Metrics:
        """Return the metrics of validation documents, given by their indices, with these
        probabilities (n, labels)."""
        tally = metrics.classification_tally(self.labels, self.multi_label)
        for part, probabilities in found:
            gold: Any = [[self._valid_labels[i] for i in self.valid.labels[n]] for n in part]
            if not self.multi_label:
                gold = [only for (only,) in gold]
            tally.add(gold, probabilities)
        return tally.metrics()


def _scale_logits(model: Classifier, factor: float) -> None:
    """Multiply the logits of a model by `factor`, in place."""
    with torch.no_grad():
        for parameter in model.head.output.parameters():
            parameter.mul_(factor)


def _only(labels: Sequence[Array]) -> Array:
    """Return the index of each row's only label: (N) int64."""
    return np.concatenate(labels).astype(np.int64)
