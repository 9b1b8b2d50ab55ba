"""The task `lm`: predict each token of running text from the tokens before it.

Knows: its defaults, windows along a stream of ids, how the recurrent state is carried from window
to window, and how the model is evaluated. Does not know: optimizers or early stopping.
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
from rnntext.config import ModelConfig
from rnntext.errors import UsageError
from rnntext.runtime.language_model import LanguageModel as OnnxLanguageModel
from rnntext.runtime.line_bits import MOST_TOKENS, measure_lines
from rnntext.text.batches import buckets, pad
from rnntext.text.formats import DataOptions
from rnntext.text.lines import text_files
from rnntext.text.tokenizer import Tokenizer
from rnntext.training.data.cache import Entry
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
from rnntext.training.options import BOTH, TrainingOptions
from rnntext.training.recipes import Recipe, TokenizerDefaults
from rnntext.training.search_space import BATCH, BPTT, DROPOUT, LAYERS, LEARNING_RATE, WIDTH
from rnntext.training.tasks.base import InitDirection, Task, TaskObjective
from rnntext.training.tasks.text_columns import TextColumns

if TYPE_CHECKING:
    from rnntext.checkpoint_config import LineBits
    from rnntext.runtime.model import TrainedModel

# Probability that a row of a window starts from a zero state, so that the model also learns to
# predict text without any context.
_RESET_PROBABILITY = 0.01
# A quick evaluation scores this many tokens, in windows of this many tokens that form a batch. Each
# window is preceded by up to this many tokens of context.
_QUICK_TOKENS = 20_000
_QUICK_WINDOW = 500
_QUICK_CONTEXT = 100
# Tokens read to measure the speed of an evaluation.
_SAMPLE_TOKENS = 2000
# Tokens that are read for the quantiles of lines, for each minute of a budget, and how many of them
# are read in a second, at the least.
_LINE_TOKENS_PER_MINUTE, _LINE_TOKENS_PER_SECOND = 8_000, 10_000
# Rows of logits over the whole vocabulary that are computed at once.
_LOGIT_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A sequence of ids for an evaluation, read from a zero state. All ids after the first are
    predicted."""

    ids: Array
    context: int  # the first predictions, which are not scored


class _Windows(NamedTuple):
    inputs: Tensor  # (B, T)
    targets: Tensor  # (B, T)
    resets: Tensor  # (B): True for a row that starts from a zero state
    dropout_scale: float
    # Inputs and targets of a second encoder, from the last token to the first.
    backward: tuple[Tensor, Tensor] | None


class LanguageModelling(TaskObjective):
    """Predict each token of a stream from the tokens before it. The hidden state is carried from
    window to window (truncated back-propagation through time, Williams and Peng 1990).

    Dropout is scaled up linearly in the first `dropout_warmup_epochs` epochs (curriculum dropout,
    Morerio et al. 2017): a model cannot overfit a text that it has read once. A second encoder
    reads the stream from its end to its start, and predicts each token from those after it; the
    metrics are those of the first.
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
        valid_unknown_bytes: int = 0,
        seed: int,
        machine: Machine,
        ranks: Ranks = SINGLE_PROCESS,
        dropout_warmup_epochs: int,
        backward: bool = False,
        line_tokens: int = MOST_TOKENS,
    ) -> None:
        """`stream` and `valid`: ids of the training text and of each validation document, with an
        end-of-line token after each line. `counts`: frequency of each id in `stream`.
        `backward`: the model has a second encoder.
        `valid_bytes`: bytes of the validation text; None if the tokenizer loses text.
        `valid_unknown_bytes`: of these, of unknown characters.
        `line_tokens`: about as many tokens are read for the quantiles of lines."""
        self.bptt, self.seed, self.machine = bptt, seed, machine
        self.dropout_warmup_epochs = dropout_warmup_epochs
        self.eos_id, self.unk_id, self.valid_bytes = eos_id, unk_id, valid_bytes
        self.valid_unknown_bytes, self.line_tokens = valid_unknown_bytes, line_tokens
        # A short text gets fewer rows, because a row must not be shorter than a window.
        rows = max(1, min(batch_size, len(stream) // (bptt + 1)))
        if rows < ranks.size:
            raise UsageError(
                f"{ranks.size} processes cannot share a batch of {rows} rows: start fewer, or "
                "give a larger --batch-size or more text"
            )
        self.ranks, self.rows = ranks, rows
        shard = ranks.shard(rows)
        self.columns = TextColumns(stream, rows, shard, machine)
        self._backward_columns = (
            TextColumns(stream, rows, shard, machine, backward=True) if backward else None
        )
        self.valid = [document for document in valid if len(document)]
        self._quick_indices = random_subset(
            [len(document) for document in self.valid], _QUICK_TOKENS, seed
        )
        self.steps_per_epoch = max(1, -(-(self.columns.length - 1) // bptt))
        quick_tokens = min(_QUICK_TOKENS, self.valid_tokens())
        self.quick_fraction = quick_tokens / self.valid_tokens()
        self.steps_per_quick_evaluation = quick_tokens / (rows * bptt)
        self.softmax = Softmax(torch.from_numpy(counts).to(machine.device), machine.dtype, seed)
        self._state: State | None = None

    def batches(self, epoch: int, start: int = 0) -> Iterator[_Windows]:
        """Yield windows of this rank's rows. The state that `loss` carries is zero at the start
        of an epoch."""
        generator = np.random.default_rng([self.seed, epoch])
        if start == 0:
            self._state = None
        shard, length = self.ranks.shard(self.rows), self.columns.length
        # The boundaries of the windows differ between epochs: the first window is shorter.
        offset = int(generator.integers(self.bptt)) if length > 2 * self.bptt else 0
        edges = chain([0], range(offset or self.bptt, length - 1, self.bptt), [length - 1])
        for number, (begin, end) in enumerate(pairwise(edges)):
            resets = generator.random(self.rows) < _RESET_PROBABILITY
            if number >= start:
                window = self.columns.window(begin, end + 1)
                backward = None
                if self._backward_columns is not None:
                    reverse = self._backward_columns.window(begin, end + 1)
                    backward = reverse[:, :-1], reverse[:, 1:]
                yield _Windows(
                    inputs=window[:, :-1],
                    targets=window[:, 1:],
                    resets=torch.from_numpy(resets[shard]),
                    dropout_scale=self._dropout_scale(epoch + begin / length),
                    backward=backward,
                )

    def _dropout_scale(self, epochs: float) -> float:
        """Return the factor of the dropout probability after `epochs` epochs: linear warm-up."""
        if not self.dropout_warmup_epochs:
            return 1.0
        return min(1.0, (epochs + 1) / self.dropout_warmup_epochs)

    def loss(self, model: LanguageModel, batch: _Windows) -> tuple[Tensor, int]:
        inputs, targets, resets, dropout_scale, backward = batch
        model.scale_dropout(dropout_scale)
        state = self._state
        if state is not None and bool(resets.any()):
            keep = (~resets).to(state[0])[None, :, None]  # (1, B, 1)
            state = tuple(part * keep for part in state)
        shard_rows, steps = targets.shape
        parts = model.config.encoder.state_parts
        with self.machine.autocast():
            hidden, carried = model.hidden(inputs, state and state[:parts])
            if backward is not None:
                inputs, more_targets = backward
                more, more_carried = model.hidden_backward(inputs, state and state[parts:])
                hidden, carried = torch.cat([hidden, more]), (*carried, *more_carried)
                targets = torch.cat([targets, more_targets], dim=1)
        self._state = tuple(part.detach() for part in carried)
        loss = self.softmax(
            hidden.float().flatten(0, 1),  # (T * B, E), of both encoders
            model.encoder.embedding.weight,
            model.head.bias,
            targets.t().flatten(),
        )
        if shard_rows * self.ranks.size != self.rows:
            loss = loss * (shard_rows * self.ranks.size / self.rows)
        return loss, self.rows * steps

    def state(self) -> dict[str, Tensor]:
        """Return the recurrent state of all ranks' rows, and the state of the generator that
        samples for the softmax."""
        carried = {
            str(index): self._all_gather(part) for index, part in enumerate(self._state or ())
        }
        return {**carried, "softmax": self.softmax.generator.get_state()}

    def _all_gather(self, part: Tensor) -> Tensor:
        """Gather the rows of all ranks: (layers, rows of the shard, H) -> (layers, rows, H)."""
        layers, _, hidden = part.shape
        # Exact: float32 represents every bfloat16 value, and the other summands are zero.
        gathered = torch.zeros(layers, self.rows, hidden)
        gathered[:, self.ranks.shard(self.rows)] = part.float().cpu()
        return self.ranks.all_reduce_sum(gathered)

    def restore(self, state: dict[str, Tensor]) -> None:
        self.softmax.generator.set_state(state["softmax"])
        parts = [state[name] for name in sorted(state) if name != "softmax"]
        shard = self.ranks.shard(self.rows)
        self._state = tuple(part[:, shard].to(self.machine.device) for part in parts) or None

    def details(self) -> tuple[str, ...]:
        return ("sampled softmax",) if self.softmax.sampled else ()

    def answers(self, target: str) -> int:
        return sum(len(piece.ids) - 1 - piece.context for piece in self.pieces(quick=True))

    def valid_tokens(self) -> int:
        return sum(map(len, self.valid))

    def evaluate(self, model: LanguageModel, *, quick: bool = False) -> Metrics:
        """Return metrics with the full softmax, in float32."""
        n_bytes = None if quick else self.valid_bytes
        return self._evaluate_pieces(model, self.pieces(quick=quick), n_bytes)

    def pieces(self, *, quick: bool) -> list[Piece]:
        """Return the pieces that an evaluation reads: whole documents, each after an end-of-line
        token. A quick evaluation reads a part of them in windows with some context."""
        return self._quick_windows() if quick else [*map(self._whole_document, self.valid)]

    def evaluate_sample(self, model: LanguageModel) -> float:
        fraction = min(1.0, _SAMPLE_TOKENS / self.valid_tokens())
        longest = max(map(len, self.valid))
        sample = [document[: max(1, round(longest * fraction))] for document in self.valid]
        self._evaluate_pieces(model, list(map(self._whole_document, sample)))
        return sum(map(len, sample)) / self.valid_tokens()

    def evaluate_runtime(self, model: TrainedModel, *, quick: bool) -> Metrics:
        running = OnnxLanguageModel(model)
        scores: list[Array] = []
        targets: list[Array] = []
        for piece in self.pieces(quick=quick):
            document = piece.ids[1:]
            for chunk in running.score_documents([document]):
                start = max(chunk.start, piece.context)
                scores.append(chunk.scores[start - chunk.start :])
                targets.append(document[start : chunk.start + len(chunk.scores)])
        return self.metrics_of(scores, targets, None if quick else self.valid_bytes)

    def line_bits(self, model: TrainedModel) -> LineBits | None:
        return measure_lines(OnnxLanguageModel(model), self.valid, self.line_tokens)

    def seconds_to_finish(self) -> float:
        return 2 * min(self.line_tokens, self.valid_tokens()) / _LINE_TOKENS_PER_SECOND

    def _whole_document(self, document: Array) -> Piece:
        return Piece(np.concatenate([[self.eos_id], document]), 0)

    def _quick_windows(self) -> list[Piece]:
        """Split a part of the validation text into short windows, which can be read in batches."""
        pieces = []
        remaining = _QUICK_TOKENS
        for number in self._quick_indices:
            document = self.valid[number][:remaining]
            remaining -= len(document)
            ids = self._whole_document(document).ids
            for start in range(0, len(document), _QUICK_WINDOW):
                context = min(start, _QUICK_CONTEXT)
                window = ids[start - context : start + _QUICK_WINDOW + 1]
                pieces.append(Piece(window, context))
        return pieces

    def _evaluate_pieces(
        self, model: LanguageModel, pieces: Sequence[Piece], n_bytes: int | None = None
    ) -> Metrics:
        model.eval()
        lengths = np.array([len(piece.ids) for piece in pieces])
        total = sum(len(piece.ids) - 1 - piece.context for piece in pieces)
        # Allocated once: small arrays that are kept, each between two large ones that are freed,
        # fragmented the heap, which grew by gigabytes in a long evaluation.
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
        """Return the metrics of log-probabilities `scores`, in nats, of the tokens `targets`."""
        score = np.concatenate(scores).astype(np.float64)
        known = np.concatenate(targets) != (-1 if self.unk_id is None else self.unk_id)
        return metrics.language_model_metrics(
            total_nats=-float(score.sum()),
            tokens=len(score),
            known_nats=-float(score[known].sum()),
            known_tokens=int(known.sum()),
            n_bytes=n_bytes,
            unknown_bytes=self.valid_unknown_bytes,
        )

    def _scores(
        self, model: LanguageModel, pieces: Sequence[Piece]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the log-probabilities of the scored tokens of a batch of pieces, with the tokens,
        some time steps at a time."""
        ids, lengths = pad([piece.ids for piece in pieces])
        inputs, targets = ids[:, :-1], ids[:, 1:]
        steps = targets.shape[1]
        position = np.arange(steps)[:, None]  # (T, 1)
        context = np.array([piece.context for piece in pieces])
        scored = (position >= context) & (position < lengths - 1)  # (T, B)
        size = max(1, _LOGIT_ROWS // len(pieces))
        state: State | None = None
        for start in range(0, steps, size):
            chunk = slice(start, start + size)
            hidden, state = model.hidden(self._tensor(inputs[:, chunk]), state)
            mask = self._tensor(scored[chunk])
            target = self._tensor(targets[:, chunk]).t()[mask]
            logits = torch.addmm(model.head.bias, hidden[mask], model.encoder.embedding.weight.t())
            yield -functional.cross_entropy(logits, target, reduction="none"), target

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.machine.device)


@dataclass(frozen=True, slots=True)
class TextExamples:
    """Encoded running text, with an end-of-line token after each line."""

    stream: IdSequence  # ids of the training text
    counts: Array  # frequency of each id of the vocabulary in the stream
    valid: list[Array]  # ids of each validation document
    valid_bytes: int | None  # None if the tokenizer loses text
    valid_unknown_bytes: int  # of these, of unknown characters


# A model is tiny below the first number of characters of training text, medium from the second on.
_TINY_TEXT, _LARGE_TEXT = 400_000, 50_000_000


class LanguageModelTask(Task[TextExamples]):
    """Language models are unidirectional, and read the text as a stream."""

    name = "lm"
    sizes: ClassVar = {
        "tiny": (1, 160, 160),
        "small": (2, 256, 256),
        "medium": (2, 400, 400),
        "large": (2, 650, 650),
    }
    tokenizer_defaults = TokenizerDefaults(2.5)
    init_direction = InitDirection.FORWARD
    search_space = (LEARNING_RATE, DROPOUT, WIDTH, LAYERS, BATCH, BPTT)
    search_targets = ("perplexity",)

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
            entry.meta["valid_unknown_bytes"],
        )

    def validation_digest(self, examples: TextExamples) -> str:
        return digest_of(examples.valid)

    def choose_preset(self, options: TrainingOptions, characters: int) -> str:
        if characters < _TINY_TEXT:
            return "tiny"
        # A run that may end before it has read all of a large text is too short for a medium
        # model. A limit in minutes is treated like one in steps: --config repeats it with steps.
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
            # Equal widths need no projection to the tied embeddings.
            embed = options.hidden
        tiny = characters < _TINY_TEXT
        return Recipe(
            "lstm", layers, hidden, embed,
            bidirectional=False,
            batch_size=16 if tiny else 32 if characters < _LARGE_TEXT else 64,
            learning_rate=2e-3,
            # A small text is read in more epochs.
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
        config: ModelConfig,
        recipe: Recipe,
        machine: Machine,
        ranks: Ranks,
    ) -> LanguageModelling:
        minutes, line_tokens = options.minutes, MOST_TOKENS
        if minutes is not None:
            line_tokens = min(line_tokens, round(minutes * _LINE_TOKENS_PER_MINUTE))
        return LanguageModelling(
            data.examples.stream,
            data.examples.valid,
            counts=data.examples.counts,
            batch_size=recipe.batch_size,
            bptt=recipe.bptt,
            eos_id=data.tokenizer.eos_id,
            unk_id=data.tokenizer.unk_id,
            valid_bytes=data.examples.valid_bytes,
            valid_unknown_bytes=data.examples.valid_unknown_bytes,
            seed=options.seed,
            machine=machine,
            ranks=ranks,
            dropout_warmup_epochs=recipe.dropout_warmup_epochs,
            backward=options.direction == BOTH,
            line_tokens=line_tokens,
        )


TASK = LanguageModelTask()
