"""The task `classify`: predict the labels of documents.

Knows: its examples and defaults, batches of documents and their loss, how long documents are read
in windows, and calibration. Does not know: optimizers or early stopping.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext import metrics
from rnntext.text.batches import blocks, buckets, pad, split_into_windows, window_counts
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, files_of_classes, read_labelled
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.example_schema import ExampleSchema
from rnntext.training.data.examples import LabelledIds, LabelledRows, one_hot
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import IDS, TARGETS, TRAIN, VALID, EntryWriter, ShareSpent
from rnntext.training.data.prepare_examples import plan_examples
from rnntext.training.data.store import Array, counts_of
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import shard_rows
from rnntext.training.events import Metrics
from rnntext.training.networks.classifier import Classifier
from rnntext.training.networks.encoder import State
from rnntext.training.options import TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.tasks.base import InitDirection, Task
from rnntext.training.tasks.labelled import LabelledObjective

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel


# Logits of validation documents that are computed together: 67 MB.
_BLOCK_LOGITS = 1 << 24


class _LabelledBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    labels: Tensor  # (B), indices; of several labels (B, labels), 0 and 1
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
    ) -> None:
        super().__init__(
            BucketedEpochs(train.ids, batch_size, batch_size * max_length, max_length),
            len(train.ids.values),
            [len(ids) for ids in valid.ids],
            seed=seed,
            machine=machine,
            ranks=ranks,
        )
        self.train, self.valid, self.labels = train, valid, labels
        self.multi_label, self.max_length = multi_label, max_length
        self.metric = "micro_f1" if multi_label else "accuracy"
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
                *self._tensors(rows, round_width=True),
                labels=self._targets(documents.labels[shard]),
                weight=self._total_weight(documents.labels) if counts else math.inf,
                tokens=int(np.minimum(lengths, self.max_length).sum()),
            )

    def _tensors(
        self, rows: Sequence[Array], *, round_width: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return ids (B, T) and lengths (B)."""
        ids, lengths = pad(rows, even=round_width)
        device = self.machine.device
        return (
            torch.from_numpy(ids).to(device),
            torch.from_numpy(lengths.astype(np.int64)).to(device),
        )

    def _targets(self, labels: Sequence[Array]) -> Tensor:
        """Return the labels of a batch, as `_LabelledBatch` holds them."""
        targets = one_hot(labels, len(self.labels)) if self.multi_label else _only(labels)
        return torch.from_numpy(targets).to(self.machine.device)

    def remarks(self) -> tuple[str, ...]:
        longest, count = self.max_length, self._count_longer_documents()
        if not count:
            return ()
        return (
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
        if self.multi_label:
            return functional.binary_cross_entropy_with_logits(
                logits, labels, pos_weight=self.weights, reduction="sum"
            )
        return functional.cross_entropy(logits, labels, weight=self.weights, reduction="sum")

    def _total_weight(self, labels: Sequence[Array]) -> float:
        """Return the divisor that makes a mean of the summed loss of rows with these labels."""
        if self.multi_label:
            return float(len(labels) * len(self.labels))
        if self._class_weights is None:
            return len(labels)
        return float(self._class_weights[_only(labels)].sum())

    def final_metrics(self, model: Classifier, *, quick: bool) -> Metrics:
        """Calibrate the model by temperature scaling, in place, and return its metrics."""
        indices = self.evaluated_indices(quick=quick)
        sample = self._temperature_sample(indices)
        logits = torch.cat([logits for _, logits in self._logits_in_blocks(model, sample)])
        temperature = self._fit_temperature(logits.cpu().numpy(), sample)
        # Where the sample is all of them, they need not be read again.
        is_whole = len(sample) == len(indices)
        found = [(sample, logits)] if is_whole else self._logits_in_blocks(model, indices)
        measured = self._metrics((part, logits / temperature) for part, logits in found)
        with torch.no_grad():
            for parameter in model.head.output.parameters():
                parameter.div_(temperature)
        return measured

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float:
        from rnntext.runtime.classifier import Classifier as OnnxClassifier

        sample = self._temperature_sample(self.evaluated_indices(quick=quick))
        logits = OnnxClassifier(model).logits([self.valid.ids[i] for i in sample])
        return self._fit_temperature(logits, sample)

    def _temperature_sample(self, indices: Sequence[int]) -> Sequence[int]:
        """Return those of the validation documents on which the temperature is fitted."""
        chosen = metrics.temperature_sample(len(indices), len(self.labels))
        return [indices[i] for i in chosen.tolist()]

    def _fit_temperature(self, logits: Array, indices: Sequence[int]) -> float:
        truth = one_hot([self.valid.labels[i] for i in indices], len(self.labels))
        return metrics.fit_temperature(logits, truth, self.multi_label)

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.classifier import Classifier as OnnxClassifier

        indices = self.evaluated_indices(quick=quick)
        found = OnnxClassifier(model).probabilities_in_blocks([self.valid.ids[i] for i in indices])
        return self.metrics_of((indices[block], probabilities) for block, probabilities in found)

    def evaluate_examples(self, model: Classifier, indices: Sequence[int]) -> Metrics:
        return self._metrics(self._logits_in_blocks(model, indices))

    def _logits_in_blocks(
        self, model: Classifier, indices: Sequence[int]
    ) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Yield indices of validation documents with their logits (n, labels)."""
        model.eval()
        windows = window_counts([self.valid.ids[i] for i in indices], self.max_length)
        for block in blocks(windows * len(self.labels), _BLOCK_LOGITS):
            part = indices[block]
            yield part, self.logits(model, [self.valid.ids[i] for i in part])

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
            gold: Any = [[self.labels[i] for i in self.valid.labels[n]] for n in part]
            if not self.multi_label:
                gold = [only for (only,) in gold]
            tally.add(gold, probabilities)
        return tally.metrics()

    def logits(self, model: Classifier, documents: Sequence[Array]) -> Tensor:
        """Return logits (N, labels). Long documents are read as in the runtime, see
        `rnntext.runtime.classifier.Classifier.logits`."""
        if not model.config.encoder.bidirectional:
            return self._logits_of_rows(model, documents)
        windows, owners = split_into_windows(documents, self.max_length)
        share = np.array([len(window) for window in windows]) / np.array(
            [len(documents[owner]) for owner in owners]
        )
        total = torch.zeros(len(documents), len(self.labels), device=self.machine.device)
        owner = torch.from_numpy(owners).to(self.machine.device)
        weight = torch.from_numpy(share.astype(np.float32)).to(self.machine.device)
        return total.index_add_(0, owner, self._logits_of_rows(model, windows) * weight[:, None])

    def _logits_of_rows(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        """Return logits (N, labels) of rows of any length. The hidden state is carried from window
        to window."""
        lengths = np.array([len(row) for row in rows])
        logits = torch.zeros(len(rows), len(self.labels), device=self.machine.device)
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                positions = torch.from_numpy(index).to(self.machine.device)
                logits[positions] = self._logits_of_batch(model, [rows[i] for i in index])
        return logits

    def _logits_of_batch(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        longest = max(map(len, rows))
        if longest <= self.max_length:
            ids, lengths = self._tensors(rows)
            short_logits: Tensor = model(ids, lengths)
            return short_logits
        # Last state, maximum and sum of each row so far; concat pooling needs them.
        pooled: list[list[Tensor]] = [[] for _ in rows]
        active = list(range(len(rows)))  # rows that have not ended
        state: State | None = None
        for start in range(0, longest, self.max_length):
            # The state of a row that has ended is not needed.
            kept = [place for place, row in enumerate(active) if len(rows[row]) > start]
            active = [active[place] for place in kept]
            windows = [rows[row][start : start + self.max_length] for row in active]
            ids, lengths = self._tensors(windows)
            if state is not None:
                state = tuple(part[:, kept] for part in state)
            states, state = model.encoder(ids, lengths, state)
            for row, last, largest, total in zip(
                active, *model.head.pool(states, lengths), strict=True
            ):
                if pooled[row]:
                    _, largest_before, total_before = pooled[row]
                    largest, total = torch.maximum(largest_before, largest), total_before + total
                pooled[row] = [last, largest, total]
        last, largest, total = (torch.stack(parts) for parts in zip(*pooled, strict=True))
        count = torch.tensor([[len(row)] for row in rows], device=total.device)
        logits: Tensor = model.head.logits(last, largest, total / count)
        return logits


def _only(labels: Sequence[Array]) -> Array:
    """Return the index of each row's only label: (N) int64."""
    return np.concatenate(labels).astype(np.int64)


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Encoded documents with their labels."""

    train: LabelledRows
    valid: LabelledIds
    width: int  # number of labels


class DocumentSchema(ExampleSchema[Labelled]):
    """How labelled documents are read, split and encoded."""

    unit, noun, label_noun = "documents", "examples", "label"

    def __init__(self, defaults: TokenizerDefaults, *, multi_label: bool) -> None:
        self.tokenizer_defaults = defaults
        self.requires_second_example = not multi_label

    def reader(
        self, paths: Sequence[str], reading: DataOptions
    ) -> Callable[[], Iterator[Labelled]]:
        return partial(read_labelled, paths, reading)

    def content(self, example: Labelled) -> tuple[str, ...]:
        return (example.text,)

    def labels(self, example: Labelled) -> tuple[str, ...]:
        return example.labels

    def stratum(self, example: Labelled) -> tuple[str, ...]:
        return tuple(sorted(example.labels))

    def size(self, example: Labelled) -> int:
        return len(example.text)

    def lines(self, example: Labelled) -> Iterable[str]:
        return example.text.split("\n")

    def label_set(self, seen: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(seen))

    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Labelled],
        label_ids: Mapping[str, int],
        *,
        keep_whole: bool,
    ) -> tuple[list[Array], list[Array]]:
        # A text without tokens is encoded as an empty line.
        end = np.array([tokenizer.eos_id], np.int32)
        ids = tokenizer.encode([example.text for example in examples])
        return (
            [row if len(row) else end for row in ids],
            [np.array([label_ids[label] for label in e.labels], np.int32) for e in examples],
        )


class ClassifierTask(Task[LabelledExamples]):
    """Classifiers are bidirectional, or have the directions of the model of `--init`."""

    name = "classify"
    sizes: ClassVar = {
        "tiny": (1, 64, 64),
        # 64 units are as accurate as 96 (mean accuracy on five held-out parts of SST-2 0.781 and
        # 0.778, in two runs on film reviews 0.899 and 0.895), and train and run faster. 48 units,
        # or embeddings of 64, are less accurate (0.775).
        "small": (1, 64, 96),
        "medium": (1, 256, 256),
        "large": (2, 384, 300),
    }
    tokenizer_defaults = TokenizerDefaults(10.0, lowercase_words=True)
    init_direction = InitDirection.INHERIT

    def files(self, directory: str) -> Iterator[str]:
        return files_of_classes(directory)

    def plan(
        self,
        options: TrainingOptions,
        reading: DataOptions,
        tokenizer: Tokenizer | None,
        spent: ShareSpent,
    ) -> EntryWriter:
        schema = DocumentSchema(self.tokenizer_defaults, multi_label=options.multi_label)
        return plan_examples(schema, options, reading, tokenizer, spent)

    def examples(self, entry: Entry) -> LabelledExamples:
        valid = LabelledRows(
            entry.rows_in_memory(IDS + VALID), entry.rows_in_memory(TARGETS + VALID)
        )
        train = LabelledRows(entry.rows(IDS + TRAIN), entry.rows(TARGETS + TRAIN))
        return LabelledExamples(train, valid.read(np.arange(len(valid))), len(entry.meta["labels"]))

    def validation_digest(self, examples: LabelledExamples) -> str:
        # Of 0 and 1 for each label, as the runs of earlier versions recorded it.
        rows = (one_hot([row], examples.width).tobytes() for row in examples.valid.labels)
        return digest_of(examples.valid.ids, rows)

    def default_recipe(
        self,
        options: TrainingOptions,
        size: tuple[int, int, int],
        characters: int,
        examples: int,
    ) -> Recipe:
        return Recipe(
            "lstm", *size,
            bidirectional=True,
            batch_size=16 if examples < 2000 else 32,
            learning_rate=1e-3,
            dropout=0.5,
            token_dropout=0.3,
            bptt=0,
            max_length=400,
            ema_decay=0.998,
        )  # fmt: skip

    def objective(
        self,
        options: TrainingOptions,
        data: Data[LabelledExamples],
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> Classification:
        return Classification(
            data.examples.train,
            data.examples.valid,
            labels=data.labels,
            multi_label=options.multi_label,
            balanced=options.class_weights == "balanced",
            batch_size=recipe.batch_size,
            max_length=recipe.max_length,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
        )


TASK = ClassifierTask()
