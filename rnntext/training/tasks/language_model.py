"""The task `lm`: learning to predict each token of running text from those before it.

Knows: its defaults, windows along a stream of ids, how the recurrent state is carried from window
to window, and how the model is evaluated. Does not know: optimizers or when to stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rnntext import metrics
from rnntext.errors import UsageError
from rnntext.text.batches import buckets, pad
from rnntext.text.formats import DataOptions
from rnntext.text.lines import text_files
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
from rnntext.training.data.epochs import contiguous_columns
from rnntext.training.data.loading import Data, digest_of
from rnntext.training.data.prepare import COUNTS, IDS, TRAIN, VALID, EntryWriter, ShareSpent
from rnntext.training.data.prepare_text import plan_text
from rnntext.training.data.store import Array, IdSequence
from rnntext.training.engine.device import Machine
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.objective import random_subset
from rnntext.training.events import Metrics
from rnntext.training.networks.encoder import State
from rnntext.training.networks.language_model import LanguageModel
from rnntext.training.networks.softmax import Softmax
from rnntext.training.options import TrainingOptions
from rnntext.training.presets import Recipe, TokenizerDefaults
from rnntext.training.tasks.base import InitDirection, Task, TaskObjective

if TYPE_CHECKING:
    from rnntext.runtime.model import TrainedModel

# How often a column of the language model's stream starts again from a zero state, so that the
# model also learns what to say when it has read nothing yet.
_FRESH_START = 0.01
# Tokens that a quick evaluation of a language model scores, in windows of so many that are read
# side by side, each after so many tokens that stand before it.
_QUICK_TOKENS = 20_000
_QUICK_WINDOW = 500
_QUICK_CONTEXT = 100
# Tokens read to see how long a whole evaluation takes.
_SAMPLE_TOKENS = 2000
# States that meet the whole vocabulary at once.
_EXACT_ROWS = 1024
# Ids of a stream that are read at once, and as many as a device's own memory takes whole.
_READ_AHEAD = 1 << 18
_HELD = 1 << 26


class _Columns:
    """A stream of ids cut into columns (rows, length); windows of some of the rows are read."""

    def __init__(self, stream: IdSequence, rows: int, own: slice, machine: Machine) -> None:
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
            block = contiguous_columns(self._stream, self._rows, start, end, self._own)
            self._start = start
            self._block = torch.from_numpy(block.astype(np.int32)).to(self._device)
        return self._block[:, start - self._start : stop - self._start].long()


@dataclass(frozen=True, slots=True)
class Piece:
    """Ids to be read from a zero state, of which the first is given and the others are predicted:
    the first `context` of these without being scored."""

    ids: Array
    context: int


class _Windows(NamedTuple):
    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T)
    fresh: Tensor  # (B): the columns that start again
    dropout_share: float


class LanguageModelling(TaskObjective):
    """Predict each token of a stream from those before it, the state carried along
    (truncated back-propagation through time, Williams and Peng 1990).

    Dropout grows in the first `dropout_warmup_epochs` passes over the text (curriculum dropout,
    Morerio et al. 2017): what was read once cannot have been learned by heart.
    """

    metric = "perplexity"
    higher_is_better = False

    def __init__(
        self,
        stream: IdSequence,
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
        ranks: Ranks = SINGLE_PROCESS,
        dropout_warmup_epochs: int = 0,
    ) -> None:
        """`stream` and `valid`: ids of the training text and of each validation document, a
        line's end after each line. `counts`: how often each id of the vocabulary is in `stream`.
        `valid_bytes`: the bytes of the validation text, where the tokenizer keeps all of them."""
        self.bptt, self.seed, self.machine = bptt, seed, machine
        self.dropout_warmup_epochs = dropout_warmup_epochs
        self.eos_id, self.unk_id, self.valid_bytes = eos_id, unk_id, valid_bytes
        # A short text is cut into fewer columns rather than into columns shorter than a window.
        rows = max(1, min(batch_size, len(stream) // (bptt + 1)))
        if rows < ranks.size:
            raise UsageError(
                f"{ranks.size} processes cannot share a batch of {rows} rows: start fewer, or "
                "give a larger --batch-size or more text"
            )
        self.ranks, self.rows = ranks, rows
        self.columns = _Columns(stream, rows, ranks.shard(rows), machine)
        self.valid = [document for document in valid if len(document)]
        self._quick = random_subset([len(document) for document in self.valid], _QUICK_TOKENS, seed)
        self.steps_per_epoch = max(1, -(-(self.columns.length - 1) // bptt))
        quick = min(_QUICK_TOKENS, self.valid_tokens())
        self.quick_fraction = quick / self.valid_tokens()
        self.steps_per_quick_evaluation = quick / (rows * bptt)
        self.softmax = Softmax(torch.from_numpy(counts).to(machine.device), machine.dtype, seed)
        self._state: State | None = None

    def batches(self, epoch: int, start: int = 0) -> Iterator[_Windows]:
        """Windows along this rank's columns. The state that `loss` carries starts from zero with
        an epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        if start == 0:
            self._state = None
        own, length = self.ranks.shard(self.rows), self.columns.length
        # Windows end at other places in each epoch; the first is the short one.
        offset = int(generator.integers(self.bptt)) if length > 2 * self.bptt else 0
        edges = chain([0], range(offset or self.bptt, length - 1, self.bptt), [length - 1])
        for number, (begin, end) in enumerate(pairwise(edges)):
            fresh = generator.random(self.rows) < _FRESH_START
            if number >= start:
                window = self.columns.window(begin, end + 1)
                passes = epoch + begin / length
                yield _Windows(
                    window[:, :-1], window[:, 1:], torch.from_numpy(fresh[own]), self._eased(passes)
                )

    def _eased(self, passes: float) -> float:
        """The part of the dropout to be used after so many passes."""
        return (
            min(1.0, (passes + 1) / self.dropout_warmup_epochs)
            if self.dropout_warmup_epochs
            else 1.0
        )

    def loss(self, model: LanguageModel, batch: _Windows) -> tuple[Tensor, int]:
        inputs, targets, fresh, share = batch
        model.encoder.scale_dropout(share)
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
        everything[:, self.ranks.shard(self.rows)] = part.float().cpu()
        return self.ranks.all_reduce_sum(everything)

    def restore(self, state: dict[str, Tensor]) -> None:
        self.softmax.generator.set_state(state["softmax"])
        parts = [state[name] for name in sorted(state) if name != "softmax"]
        own = self.ranks.shard(self.rows)
        self._state = tuple(part[:, own].to(self.machine.device) for part in parts) or None

    def details(self) -> tuple[str, ...]:
        return ("sampled softmax",) if self.softmax.sampled else ()

    def valid_tokens(self) -> int:
        return sum(map(len, self.valid))

    def evaluate(self, model: LanguageModel, *, quick: bool = False) -> Metrics:
        """Exact, in float32."""
        return self._measure(model, self.pieces(quick=quick), None if quick else self.valid_bytes)

    def pieces(self, *, quick: bool) -> list[Piece]:
        """What an evaluation reads: each document from a zero state after a line's end. A quick
        one reads its part in windows, after some of what stands before each."""
        return self._windows() if quick else [self._whole(document) for document in self.valid]

    def evaluate_sample(self, model: LanguageModel) -> float:
        share = min(1.0, _SAMPLE_TOKENS / self.valid_tokens())
        longest = max(map(len, self.valid))
        taken = [document[: max(1, round(longest * share))] for document in self.valid]
        self._measure(model, list(map(self._whole, taken)))
        return sum(map(len, taken)) / self.valid_tokens()

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        from rnntext.runtime.language_model import LanguageModel as RunningModel

        running = RunningModel(model)
        scores: list[Array] = []
        targets: list[Array] = []
        for piece in self.pieces(quick=quick):
            document = piece.ids[1:]
            for chunk in running.score_documents([document]):
                start = max(chunk.start, piece.context)
                scores.append(chunk.scores[start - chunk.start :])
                targets.append(document[start : chunk.start + len(chunk.scores)])
        return self.metrics_of(scores, targets, None if quick else self.valid_bytes)

    def _whole(self, document: Array) -> Piece:
        return Piece(np.concatenate([[self.eos_id], document]), 0)

    def _windows(self) -> list[Piece]:
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
                pieces.append(Piece(window, context))
        return pieces

    def _measure(
        self, model: LanguageModel, pieces: Sequence[Piece], n_bytes: int | None = None
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
        self, model: LanguageModel, pieces: Sequence[Piece]
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


@dataclass(frozen=True, slots=True)
class TextExamples:
    """Encoded running text; a line's end stands after each line."""

    stream: IdSequence  # ids of the training text
    counts: Array  # how often each id of the vocabulary occurs in it
    valid: list[Array]  # ids of each validation document
    valid_bytes: int | None  # None where the tokenizer loses text


# Characters of training text below which a model is tiny, and from which on it is medium.
_TINY_TEXT, _LARGE_TEXT = 400_000, 50_000_000


class LanguageModelTask(Task[TextExamples]):
    """Language models read in one direction, in long rows that never end."""

    name = "lm"
    sizes: ClassVar = {
        "tiny": (1, 160, 160),
        "small": (2, 256, 256),
        "medium": (2, 400, 400),
        "large": (2, 650, 650),
    }
    tokenizer_defaults = TokenizerDefaults(2.5)
    init_direction = InitDirection.FORWARD

    def files(self, directory: str) -> Iterator[str]:
        return text_files(directory)

    def plan(
        self,
        options: TrainingOptions,
        reading: DataOptions,
        tokenizer: Tokenizer | None,
        spent: ShareSpent,
    ) -> EntryWriter:
        return plan_text(options, reading, tokenizer, spent, self.tokenizer_defaults)

    def examples(self, entry: Entry) -> TextExamples:
        return TextExamples(
            entry.stream(IDS + TRAIN),
            entry.array(COUNTS),
            list(entry.rows_in_memory(IDS + VALID)),
            entry.meta["valid_bytes"],
        )

    def validation_digest(self, examples: TextExamples) -> str:
        return digest_of(examples.valid)

    def choose_preset(self, options: TrainingOptions, characters: int) -> str:
        if characters < _TINY_TEXT:
            return "tiny"
        # A run over a large text that may end before it has read all of it is too short for a
        # medium model. Minutes count as steps do, because steps repeat such a run.
        limited = options.minutes is not None or options.steps is not None
        return "small" if characters < _LARGE_TEXT or limited else "medium"

    def default_recipe(
        self,
        options: TrainingOptions,
        size: tuple[int, int, int],
        characters: int,
        examples: int,
    ) -> Recipe:
        layers, hidden, embed = size
        if options.hidden is not None and options.embed is None:
            # Tied input and output embeddings need no projection where both widths are equal.
            embed = options.hidden
        tiny = characters < _TINY_TEXT
        return Recipe(
            "lstm", layers, hidden, embed,
            bidirectional=False,
            batch_size=16 if tiny else 32 if characters < _LARGE_TEXT else 64,
            learning_rate=2e-3,
            # The less text there is, the more often it is read.
            dropout=0.6 if tiny else 0.3,
            token_dropout=0.0,
            bptt=35,
            max_length=0,
            clip_norm=0.25,
            warmup=30 if tiny else 150,
            embedding_lr_multiplier=4.0,
            dropout_warmup_epochs=0 if options.dropout is not None else 4,
        )  # fmt: skip

    def objective(
        self,
        options: TrainingOptions,
        data: Data[TextExamples],
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> LanguageModelling:
        return LanguageModelling(
            data.examples.stream,
            data.examples.valid,
            counts=data.examples.counts,
            batch_size=recipe.batch_size,
            bptt=recipe.bptt,
            eos_id=data.tokenizer.eos_id,
            unk_id=data.tokenizer.unk_id,
            valid_bytes=data.examples.valid_bytes,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            dropout_warmup_epochs=recipe.dropout_warmup_epochs,
        )


TASK = LanguageModelTask()
