"""The task `classify`: learning the labels of documents.

Knows: its examples and defaults, batches of documents and their loss, how long documents are read
in windows, and calibration. Does not know: optimizers or when to stop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext import metrics
from rnntext.text.batches import buckets, pad, split_into_windows
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, files_of_classes, read_labelled
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.epochs import BucketedEpochs
from rnntext.training.data.example_schema import ExampleSchema
from rnntext.training.data.examples import LabelledIds, LabelledRows
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import IDS, TARGETS, TRAIN, VALID, EntryWriter, ShareSpent
from rnntext.training.data.prepare_examples import plan_examples
from rnntext.training.data.store import Array, counts_of
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
from rnntext.training.networks.classifier import Classifier
from rnntext.training.networks.encoder import State
from rnntext.training.options import TrainingOptions
from rnntext.training.presets import Recipe, TokenizerDefaults
from rnntext.training.tasks.base import InitDirection, Task, TaskObjective

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel


class _LabelledBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    labels: Tensor  # (B, labels)
    weight: float  # what the summed loss of the whole batch, of all ranks, is divided by
    tokens: int  # of the whole batch


class Classification(TaskObjective):
    """Predict the labels of a document."""

    higher_is_better = True

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
        self.ranks = ranks
        self.train, self.valid, self.labels = train, valid, labels
        self.multi_label, self.max_length = multi_label, max_length
        self.metric = "micro_f1" if multi_label else "accuracy"
        self.batch_size, self.seed, self.machine = batch_size, seed, machine
        self._balance: Array | None = None
        self.weights: Tensor | None = None
        if balanced:
            counts = counts_of(train.labels.values, len(labels))
            balance = len(train) / (len(labels) * np.maximum(counts, 1))
            self._balance = balance.astype(np.float32)
            self.weights = torch.from_numpy(self._balance).to(machine.device)
        lengths = [len(ids) for ids in valid.ids]
        self._quick = random_subset(lengths, QUICK_TOKENS, seed)
        self._sample = random_subset(lengths, SAMPLE_TOKENS, seed)
        self._epochs = BucketedEpochs(train.ids, batch_size, batch_size * max_length, max_length)
        self.steps_per_epoch = self._epochs.count(np.random.default_rng([seed, 0]))
        quick = sum(len(valid.ids[i]) for i in self._quick)
        self.quick_fraction = quick / self.valid_tokens()
        self.steps_per_quick_evaluation = quick / (len(train.ids.values) / self.steps_per_epoch)

    def batches(self, epoch: int, start: int = 0) -> Iterator[_LabelledBatch]:
        """This rank's part of each batch. Of a document longer than `max_length` an epoch sees
        one window, another each time."""
        steps = epoch_batches(self._epochs, self.steps_per_epoch, [self.seed, epoch])
        for step, index in islice(enumerate(steps), start, None):
            documents = self.train.read(index)
            generator = np.random.default_rng([self.seed, epoch, step])
            lengths = np.array([len(ids) for ids in documents.ids])
            begins = generator.integers(np.maximum(lengths - self.max_length, 0) + 1)
            own, counts = shard_rows(self.ranks, len(index))
            rows = [
                ids[begin : begin + self.max_length]
                for ids, begin in zip(documents.ids[own], begins[own], strict=True)
            ]
            yield _LabelledBatch(
                *self._tensors(rows, documents.labels[own], even=True),
                weight=self._weight_of(documents.labels) if counts else math.inf,
                tokens=int(np.minimum(lengths, self.max_length).sum()),
            )

    def _tensors(
        self, rows: Sequence[Array], labels: Array, *, even: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        ids, lengths = pad(rows, even=even)
        arrays = (ids, lengths.astype(np.int64), labels.astype(np.float32))
        tensors = (torch.from_numpy(array).to(self.machine.device) for array in arrays)
        return tuple(tensors)  # type: ignore[return-value]

    def remarks(self) -> tuple[str, ...]:
        longest, count = self.max_length, self._count_longer_documents()
        if not count:
            return ()
        return (
            f"{count:,} documents have more than {longest:,} tokens: each pass reads a "
            f"window of {longest:,} of them, another each time",
        )

    def _count_longer_documents(self) -> int:
        """The number of training documents that are longer than a window."""
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
        return functional.cross_entropy(
            logits, labels.argmax(1), weight=self.weights, reduction="sum"
        )

    def _weight_of(self, labels: Array) -> float:
        """What the summed loss of rows with these labels is divided by."""
        if self.multi_label:
            return float(labels.size)
        return (
            len(labels) if self._balance is None else float(self._balance[labels.argmax(1)].sum())
        )

    def valid_tokens(self) -> int:
        return sum(map(len, self.valid.ids))

    def evaluate_sample(self, model: Classifier) -> float:
        self._measure(model, self._sample)
        return sum(len(self.valid.ids[i]) for i in self._sample) / self.valid_tokens()

    def evaluate(self, model: Classifier, *, quick: bool = False) -> Metrics:
        return self._measure(model, self.chosen(quick=quick))

    def chosen(self, *, quick: bool) -> Sequence[int]:
        """The validation documents that an evaluation reads."""
        return self._quick if quick else range(len(self.valid.ids))

    def final_metrics(self, model: Classifier, *, quick: bool) -> Metrics:
        """Calibrate the model by temperature scaling, in place; its metrics after that."""
        chosen = self.chosen(quick=quick)
        logits = self._logits_of(model, chosen)
        labels = self.valid.labels[list(chosen)]
        temperature = metrics.fit_temperature(logits.cpu().numpy(), labels, self.multi_label)
        with torch.no_grad():
            for parameter in model.head.output.parameters():
                parameter.div_(temperature)
        return self._metrics(logits / temperature, chosen)

    def fit_temperature(self, model: TrainedModel, *, quick: bool) -> float:
        from rnntext.runtime.classifier import Classifier as RunningClassifier

        chosen = self.chosen(quick=quick)
        logits = RunningClassifier(model).logits([self.valid.ids[i] for i in chosen])
        return metrics.fit_temperature(logits, self.valid.labels[list(chosen)], self.multi_label)

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.classifier import Classifier as RunningClassifier

        chosen = self.chosen(quick=quick)
        texts = [self.valid.ids[i] for i in chosen]
        return self.metrics_of(RunningClassifier(model).probabilities_of_ids(texts), chosen)

    def _measure(self, model: Classifier, chosen: Sequence[int]) -> Metrics:
        return self._metrics(self._logits_of(model, chosen), chosen)

    def _logits_of(self, model: Classifier, chosen: Sequence[int]) -> Tensor:
        model.eval()
        return self.logits(model, [self.valid.ids[i] for i in chosen])

    def _metrics(self, logits: Tensor, chosen: Sequence[int]) -> Metrics:
        probabilities = logits.sigmoid() if self.multi_label else logits.softmax(1)
        return self.metrics_of(probabilities.cpu().numpy(), chosen)

    def metrics_of(self, probabilities: Array, chosen: Sequence[int]) -> Metrics:
        """The metrics of these probabilities (N, labels) of the chosen validation documents."""
        matrix = self.valid.labels[list(chosen)]
        gold: Any
        if self.multi_label:
            gold = [
                {label for label, given in zip(self.labels, row, strict=True) if given}
                for row in matrix
            ]
        else:
            gold = [self.labels[i] for i in matrix.argmax(1)]
        return metrics.classification_metrics(
            gold, probabilities, list(self.labels), self.multi_label
        )

    def logits(self, model: Classifier, documents: Sequence[Array]) -> Tensor:
        """Logits (N, labels), long documents being read as the runtime reads them: see
        `rnntext.runtime.classifier.Classifier.logits`."""
        if not model.config.encoder.bidirectional:
            return self._read(model, documents)
        windows, owners = split_into_windows(documents, self.max_length)
        share = np.array([len(window) for window in windows]) / np.array(
            [len(documents[owner]) for owner in owners]
        )
        total = torch.zeros(len(documents), len(self.labels), device=self.machine.device)
        owner = torch.from_numpy(owners).to(self.machine.device)
        weight = torch.from_numpy(share.astype(np.float32)).to(self.machine.device)
        return total.index_add_(0, owner, self._read(model, windows) * weight[:, None])

    def _read(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        """Logits (N, labels) of rows of any length, the state carried from window to window."""
        lengths = np.array([len(row) for row in rows])
        logits = torch.zeros(len(rows), len(self.labels), device=self.machine.device)
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                place = torch.from_numpy(index).to(self.machine.device)
                logits[place] = self._read_batch(model, [rows[i] for i in index])
        return logits

    def _read_batch(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        longest = max(map(len, rows))
        if longest <= self.max_length:
            ids, lengths, _ = self._tensors(rows, np.zeros((1, 1)))
            found: Tensor = model(ids, lengths)
            return found
        views: list[list[Tensor]] = [[] for _ in rows]
        going = list(range(len(rows)))
        state: State | None = None
        for start in range(0, longest, self.max_length):
            # A row that ends in a window is full of padding after; its state is not needed.
            left = [place for place, row in enumerate(going) if len(rows[row]) > start]
            going = [going[place] for place in left]
            windows = [rows[row][start : start + self.max_length] for row in going]
            ids, lengths, _ = self._tensors(windows, np.zeros((1, 1)))
            if state is not None:
                state = tuple(part[:, left] for part in state)
            states, state = model.encoder(ids, lengths, state)
            for row, last, largest, total in zip(
                going, *model.head.pool(states, lengths), strict=True
            ):
                if views[row]:
                    _, before, sum_before = views[row]
                    largest, total = torch.maximum(before, largest), sum_before + total
                views[row] = [last, largest, total]
        last, largest, total = (torch.stack(view) for view in zip(*views, strict=True))
        count = torch.tensor([[len(row)] for row in rows], device=total.device)
        logits: Tensor = model.head.logits(last, largest, total / count)
        return logits


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Encoded documents with their labels."""

    train: LabelledRows
    valid: LabelledIds


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
        # A text without a single token is read as an empty line.
        end = np.array([tokenizer.eos_id], np.int32)
        ids = tokenizer.encode([example.text for example in examples])
        return (
            [row if len(row) else end for row in ids],
            [np.array([label_ids[label] for label in e.labels], np.int32) for e in examples],
        )


class ClassifierTask(Task[LabelledExamples]):
    """Classifiers read in both directions, or as the model reads that they start from."""

    name = "classify"
    sizes: ClassVar = {
        "tiny": (1, 64, 64),
        # 64 units are right as often as 96 (mean accuracy of five held-out parts of SST-2 0.781 and
        # 0.778, of two runs on film reviews 0.899 and 0.895), learn and run faster; 48 units, or
        # embeddings of 64, are right less often (0.775).
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
        count = len(entry.meta["labels"])
        valid = LabelledRows(
            entry.rows_in_memory(IDS + VALID), entry.rows_in_memory(TARGETS + VALID), count
        )
        train = LabelledRows(entry.rows(IDS + TRAIN), entry.rows(TARGETS + TRAIN), count)
        return LabelledExamples(train, valid.read(np.arange(len(valid))))

    def validation_digest(self, examples: LabelledExamples) -> str:
        return digest_of(examples.valid.ids, examples.valid.labels.tobytes())

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
