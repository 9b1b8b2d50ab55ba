"""What each task learns: its batches, its loss and its validation metrics.

Knows: encoded data, as arrays or as what is sliced like them, and the model of its task. Does
not know: files, tokenizers, optimisers or when to stop. Each objective has the order of its
batches from its seed and the epoch's number alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rnntext import metrics
from rnntext.errors import UsageError
from rnntext.text.batches import Epochs, buckets, columns, pad
from rnntext.text.store import Numbers, counts_of
from rnntext.training.device import Machine
from rnntext.training.examples import LabelledIds, LabelledRows, TaggedIds, TaggedRows
from rnntext.training.model import Classifier, LanguageModel, State, Tagger
from rnntext.training.ranks import ALONE, Ranks
from rnntext.training.softmax import Softmax

Array = npt.NDArray[Any]
Metrics = dict[str, Any]

# How often a column of the language model's stream starts again from a zero state, so that the
# model also learns what to say when it has read nothing yet.
_FRESH_START = 0.01
# Tokens that a quick evaluation of a language model scores, in windows of so many that are read
# side by side, each after so many tokens that stand before it.
_QUICK_TOKENS = 20_000
_QUICK_WINDOW = 500
_QUICK_CONTEXT = 100
# Tokens read to see how long a whole evaluation takes.
_SAMPLE_TOKENS = 1000
# A classifier or tagger needs more examples than that to be told from another.
_QUICK_EXAMPLE_TOKENS = 100_000
# States that meet the whole vocabulary at once.
_EXACT_ROWS = 1024
# Ids of a stream that are read at once, and as many as a device's own memory takes whole.
_READ_AHEAD = 1 << 18
_HELD = 1 << 26


class _Columns:
    """A stream of ids cut into columns (rows, length); windows of some of the rows are read."""

    def __init__(self, stream: Numbers, rows: int, own: slice, machine: Machine) -> None:
        self.length = len(stream) // rows
        self._stream, self._rows, self._own, self._device = stream, rows, own, machine.device
        held = machine.device.type != "cpu" and len(stream) <= _HELD
        self._ahead = self.length if held else _READ_AHEAD // rows
        self._start = 0
        self._block = torch.empty(own.stop - own.start, 0)  # what has been read, from _start on

    def window(self, start: int, stop: int) -> Tensor:
        """Ids (own rows, stop - start)."""
        if not self._start <= start <= stop <= self._start + self._block.shape[1]:
            end = max(stop, start + self._ahead)
            block = columns(self._stream, self._rows, start, end, self._own)
            self._start = start
            self._block = torch.from_numpy(block.astype(np.int32)).to(self._device)
        return self._block[:, start - self._start : stop - self._start].long()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Ids to be read from a zero state, of which the first is given and the others are predicted:
    the first `context` of these without being scored."""

    ids: Array
    context: int


class LanguageModelling:
    """Predict each token of a stream from those before it, the state carried along
    (truncated back-propagation through time, Williams and Peng 1990)."""

    metric = "perplexity"
    higher_is_better = False

    def __init__(
        self,
        stream: Numbers,
        valid: Sequence[Array],
        *,
        counts: Array,
        batch_size: int,
        bptt: int,
        eos_id: int,
        unk_id: int | None,
        valid_bytes: int | None,
        seed: int,
        machine: Machine,
        ranks: Ranks = ALONE,
    ) -> None:
        """`stream` and `valid`: ids of the training text and of each validation document, a
        line's end after each line. `counts`: how often each id of the vocabulary is in `stream`.
        `valid_bytes`: the bytes of the validation text, where the tokenizer keeps all of them."""
        self.bptt, self.seed, self.machine = bptt, seed, machine
        self.eos_id, self.unk_id, self.valid_bytes = eos_id, unk_id, valid_bytes
        # A short text is cut into fewer columns rather than into columns shorter than a window.
        rows = max(1, min(batch_size, len(stream) // (bptt + 1)))
        if rows < ranks.size:
            raise UsageError(
                f"{ranks.size} processes cannot share a batch of {rows} rows: start fewer, or "
                "give a larger --batch-size or more text"
            )
        self.ranks, self.rows = ranks, rows
        self.columns = _Columns(stream, rows, ranks.part(rows), machine)
        self.valid = [document for document in valid if len(document)]
        self._quick = _part_of([len(document) for document in self.valid], _QUICK_TOKENS, seed)
        self.steps_per_epoch = max(1, -(-(self.columns.length - 1) // bptt))
        self.softmax = Softmax(torch.from_numpy(counts).to(machine.device), machine.dtype, seed)
        self._state: State | None = None

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Windows along this rank's columns: inputs and targets (B, T), and the columns (B) that
        start again. The state that `loss` carries starts from zero with an epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        if start == 0:
            self._state = None
        own, length = self.ranks.part(self.rows), self.columns.length
        # Windows end at other places in each epoch; the first is the short one.
        offset = int(generator.integers(self.bptt)) if length > 2 * self.bptt else 0
        edges = chain([0], range(offset or self.bptt, length - 1, self.bptt), [length - 1])
        for number, (begin, end) in enumerate(pairwise(edges)):
            fresh = generator.random(self.rows) < _FRESH_START
            if number >= start:
                window = self.columns.window(begin, end + 1)
                yield window[:, :-1], window[:, 1:], torch.from_numpy(fresh[own])

    def loss(
        self, model: LanguageModel, batch: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, int]:
        inputs, targets, fresh = batch
        state = self._state
        if state is not None and bool(fresh.any()):
            keep = (~fresh).to(state[0])[None, :, None]  # (1, B, 1)
            state = tuple(part * keep for part in state)
        with self.machine.autocast():
            hidden, state = model.hidden(inputs, state)
        self._state = tuple(part.detach() for part in state)
        loss = self.softmax(
            hidden.float().flatten(0, 1),  # (T * B, E)
            model.encoder.embedding.weight,
            model.head.bias,
            targets.t().flatten(),
        )
        own, steps = targets.shape
        if own * self.ranks.size != self.rows:
            loss = loss * (own * self.ranks.size / self.rows)
        return loss, self.rows * steps

    def state(self) -> dict[str, Tensor]:
        """The recurrent state of all columns, and where the samples of the softmax are."""
        carried = {str(index): self._of_all(part) for index, part in enumerate(self._state or ())}
        return {**carried, "softmax": self.softmax.generator.get_state()}

    def _of_all(self, part: Tensor) -> Tensor:
        """A part of the state (layers, own rows, H) with the rows of all ranks."""
        layers, _, hidden = part.shape
        # Exact: what is bfloat16 is float32 too, and is rounded to itself again.
        everything = torch.zeros(layers, self.rows, hidden)
        everything[:, self.ranks.part(self.rows)] = part.float().cpu()
        return self.ranks.summed(everything)

    def restore(self, state: dict[str, Tensor]) -> None:
        self.softmax.generator.set_state(state["softmax"])
        parts = [state[name] for name in sorted(state) if name != "softmax"]
        own = self.ranks.part(self.rows)
        self._state = tuple(part[:, own].to(self.machine.device) for part in parts) or None

    def valid_tokens(self) -> int:
        return sum(map(len, self.valid))

    def evaluate(self, model: LanguageModel, *, quick: bool = False) -> Metrics:
        """Exact, in float32: each document from a zero state after a line's end. A quick one
        reads its part in windows, after some of what stands before each."""
        pieces = self._windows() if quick else [self._whole(document) for document in self.valid]
        return self._measure(model, pieces, None if quick else self.valid_bytes)

    def sample(self, model: LanguageModel) -> float:
        share = min(1.0, _SAMPLE_TOKENS / self.valid_tokens())
        longest = max(map(len, self.valid))
        self._measure(model, [self._whole(d[: max(1, round(longest * share))]) for d in self.valid])
        return share

    def _whole(self, document: Array) -> _Piece:
        return _Piece(np.concatenate([[self.eos_id], document]), 0)

    def _windows(self) -> list[_Piece]:
        """The quick part of the validation text, in windows that many can be read at once of."""
        pieces = []
        left = _QUICK_TOKENS
        for number in self._quick:
            document = self.valid[number][:left]
            left -= len(document)
            ids = self._whole(document).ids
            for start in range(0, len(document), _QUICK_WINDOW):
                context = min(start, _QUICK_CONTEXT)
                window = ids[start - context : start + _QUICK_WINDOW + 1]
                pieces.append(_Piece(window, context))
        return pieces

    def _measure(
        self, model: LanguageModel, pieces: Sequence[_Piece], n_bytes: int | None = None
    ) -> Metrics:
        model.eval()
        lengths = np.array([len(piece.ids) for piece in pieces])
        total = sum(len(piece.ids) - 1 - piece.context for piece in pieces)
        # Filled rather than grown: small arrays that stay, each allocated between two large ones
        # that go, had the heap of a long evaluation grow by gigabytes.
        scores = np.empty(total, np.float32)
        targets = np.empty(total, np.int64)
        done = 0
        with torch.no_grad():
            for index in buckets(lengths, max_rows=32, max_tokens=1 << 16):
                for score, target in self._scores(model, [pieces[i] for i in index]):
                    place = slice(done, done + len(score))
                    scores[place], targets[place] = score.cpu().numpy(), target.cpu().numpy()
                    done = place.stop
        return self.metrics_of([scores], [targets], n_bytes)

    def metrics_of(
        self, scores: Sequence[Array], targets: Sequence[Array], n_bytes: int | None
    ) -> Metrics:
        """The metrics of the log-probabilities that some tokens were given, in nats."""
        score = np.concatenate(scores).astype(np.float64)
        known = np.concatenate(targets) != (-1 if self.unk_id is None else self.unk_id)
        return metrics.language_model_metrics(
            total_nats=-float(score.sum()),
            tokens=len(score),
            known_nats=-float(score[known].sum()),
            known_tokens=int(known.sum()),
            n_bytes=n_bytes,
        )

    def _scores(
        self, model: LanguageModel, pieces: Sequence[_Piece]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Log-probability of every scored token of some pieces, with the tokens, bit by bit."""
        ids, lengths = pad([piece.ids for piece in pieces])
        inputs, targets = ids[:, :-1], ids[:, 1:]
        steps = targets.shape[1]
        position = np.arange(steps)[:, None]  # (T, 1)
        context = np.array([piece.context for piece in pieces])
        scored = (position >= context) & (position < lengths - 1)  # (T, B)
        size = max(1, _EXACT_ROWS // len(pieces))
        state: State | None = None
        for start in range(0, steps, size):
            part = slice(start, start + size)
            hidden, state = model.hidden(self._tensor(inputs[:, part]), state)
            chosen = self._tensor(scored[part])
            target = self._tensor(targets[:, part]).t()[chosen]
            logits = torch.addmm(
                model.head.bias, hidden[chosen], model.encoder.embedding.weight.t()
            )
            yield -functional.cross_entropy(logits, target, reduction="none"), target

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.machine.device)


def _own_part(ranks: Ranks, rows: int) -> tuple[slice, bool]:
    """This rank's part of a batch's rows, and whether it counts: where there is no row for it,
    it takes the first so that it can take part in the step."""
    own = ranks.part(rows)
    return (own, True) if own.start < own.stop else (slice(0, 1), False)


def _part_of(lengths: Sequence[int], tokens: int, seed: int) -> list[int]:
    """Indices of a random part, the same for the same seed: the fewest of so many tokens in all,
    or everything where that is less."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    reached = np.cumsum(np.array(lengths)[order])
    return sorted(order[: int(np.searchsorted(reached, tokens)) + 1].tolist())


class _LabelledBatch(NamedTuple):
    ids: Tensor  # (B, T)
    lengths: Tensor  # (B)
    labels: Tensor  # (B, labels)
    weight: float  # what the summed loss of the whole batch, of all ranks, is divided by
    tokens: int  # of the whole batch


class Classification:
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
        ranks: Ranks = ALONE,
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
        self._quick = _part_of([len(ids) for ids in valid.ids], _QUICK_EXAMPLE_TOKENS, seed)
        self._epochs = Epochs(train.ids, batch_size, batch_size * max_length, max_length)
        self.steps_per_epoch = self._epochs.count(np.random.default_rng([seed, 0]))

    def batches(self, epoch: int, start: int = 0) -> Iterator[_LabelledBatch]:
        """This rank's part of each batch. Of a document longer than `max_length` an epoch sees
        one window, another each time."""
        steps = _steps(self._epochs, self.steps_per_epoch, [self.seed, epoch])
        for step, index in islice(enumerate(steps), start, None):
            documents = self.train.read(index)
            generator = np.random.default_rng([self.seed, epoch, step])
            lengths = np.array([len(ids) for ids in documents.ids])
            begins = generator.integers(np.maximum(lengths - self.max_length, 0) + 1)
            own, counts = _own_part(self.ranks, len(index))
            rows = [
                ids[begin : begin + self.max_length]
                for ids, begin in zip(documents.ids[own], begins[own], strict=True)
            ]
            yield _LabelledBatch(
                *self._tensors(rows, documents.labels[own]),
                weight=self._weight_of(documents.labels) if counts else math.inf,
                tokens=int(np.minimum(lengths, self.max_length).sum()),
            )

    def _tensors(self, rows: Sequence[Array], labels: Array) -> tuple[Tensor, Tensor, Tensor]:
        ids, lengths = pad(rows)
        arrays = (ids, lengths.astype(np.int64), labels.astype(np.float32))
        tensors = (torch.from_numpy(array).to(self.machine.device) for array in arrays)
        return tuple(tensors)  # type: ignore[return-value]

    def capped(self) -> int:
        """How many documents are longer than what an epoch sees of each."""
        ids, window = self.train.ids, 1 << 20
        starts = range(0, len(ids), window)
        return sum(
            int((ids.lengths(start, min(start + window, len(ids))) > self.max_length).sum())
            for start in starts
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

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass

    def valid_tokens(self) -> int:
        return sum(map(len, self.valid.ids))

    def sample(self, model: Classifier) -> float:
        self.evaluate(model, quick=True)
        return len(self._quick) / len(self.valid.ids)

    def evaluate(self, model: Classifier, *, quick: bool = False) -> Metrics:
        model.eval()
        chosen = self._quick if quick else range(len(self.valid.ids))
        logits = self.logits(model, [self.valid.ids[i] for i in chosen])
        probabilities = (logits.sigmoid() if self.multi_label else logits.softmax(1)).cpu().numpy()
        return self.metrics_of(probabilities, chosen)

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
        `rnntext.runtime.classify.Classifier.logits`."""
        if not model.config.encoder.bidirectional:
            return self._read(model, documents)
        windows, owners = windows_of(documents, self.max_length)
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


def windows_of(documents: Sequence[Array], max_length: int) -> tuple[list[Array], Array]:
    """Documents cut into windows of at most `max_length` ids, and which document each is of."""
    windows: list[Array] = []
    owners: list[int] = []
    for owner, ids in enumerate(documents):
        for start in range(0, max(len(ids), 1), max_length):
            windows.append(ids[start : start + max_length])
            owners.append(owner)
    return windows, np.array(owners, np.int64)


def _steps(epochs: Epochs, count: int, seed: Sequence[int]) -> Iterator[Array]:
    """The batches of an epoch, so many: their number may vary by a few with the jitter of
    lengths, an epoch's does not."""
    again = (epochs.batches(np.random.default_rng(seed)) for _ in repeat(None))
    return islice(chain.from_iterable(again), count)


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
        batch_size: int,
        seed: int,
        machine: Machine,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.train, self.valid, self.labels = train, valid, labels
        self.batch_size, self.seed, self.machine = batch_size, seed, machine
        self.spans = metrics.is_span_tags(labels)
        self.metric = "f1" if self.spans else "accuracy"
        self._quick = _part_of([len(s.ids) for s in valid], _QUICK_EXAMPLE_TOKENS, seed)
        self._epochs = Epochs(train.ids, batch_size, batch_size * 256)
        self.steps_per_epoch = self._epochs.count(np.random.default_rng([seed, 0]))

    def batches(self, epoch: int, start: int = 0) -> Iterator[_TaggedBatch]:
        """This rank's part of each batch."""
        steps = _steps(self._epochs, self.steps_per_epoch, [self.seed, epoch])
        for index in islice(steps, start, None):
            sentences = self.train.read(index)
            own, counts = _own_part(self.ranks, len(index))
            yield _TaggedBatch(
                *self._tensors(sentences[own]),
                weight=sum(len(s.tags) for s in sentences) if counts else math.inf,
                tokens=sum(len(s.ids) for s in sentences),
            )

    def _tensors(
        self, sentences: Sequence[TaggedIds]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        ids, lengths = pad([s.ids for s in sentences])
        first, words = pad([s.first for s in sentences])
        last, _ = pad([s.last for s in sentences])
        tags, _ = pad([s.tags for s in sentences])
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

    def sample(self, model: Tagger) -> float:
        self.evaluate(model, quick=True)
        return len(self._quick) / len(self.valid)

    def evaluate(self, model: Tagger, *, quick: bool = False) -> Metrics:
        model.eval()
        chosen = [self.valid[i] for i in self._quick] if quick else self.valid
        predicted: list[list[str]] = [[] for _ in chosen]
        lengths = np.array([len(sentence.ids) for sentence in chosen])
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                ids, sizes, first, last, _, words = self._tensors([chosen[i] for i in index])
                emissions = model(ids, sizes, first, last)
                paths = model.head.crf.decode(emissions, words).cpu().numpy()
                for sentence, path, count in zip(index, paths, words.tolist(), strict=True):
                    predicted[sentence] = [self.labels[tag] for tag in path[:count]]
        return self.metrics_of(predicted, chosen)

    def metrics_of(
        self, predicted: Sequence[Sequence[str]], chosen: Sequence[TaggedIds]
    ) -> Metrics:
        """The metrics of these tags of the chosen validation sentences."""
        gold = [[self.labels[tag] for tag in sentence.tags] for sentence in chosen]
        return metrics.tagging_metrics(gold, predicted, self.spans)
