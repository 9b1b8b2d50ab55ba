"""A language model that is read step by step: its state, and the logits of the next token.

Knows: how to pass the state into the graphs and out of them, in batches of bounded size. Does not
know: sampling options, words, output, or metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rnntext.checkpoint import WEIGHTS
from rnntext.config import ModelConfig
from rnntext.errors import UsageError
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.session import Item, Result, Session
from rnntext.runtime.task import Answerer, RuntimeTask
from rnntext.text.batches import pad
from rnntext.text.source import for_message

if TYPE_CHECKING:
    from rnntext.checkpoint_config import LineBits
    from rnntext.runtime.answer_columns import AnswerColumns
    from rnntext.text.formats import DataOptions
    from rnntext.text.lines import Line

Array = npt.NDArray[Any]
State = tuple[Array, ...]  # hidden, and for the LSTM cell, each (layers, B, H)

# Steps that one call of a graph reads at most.
_MAX_STEPS = 256
# Logits that one call computes at most: 16 MB in float32.
_MAX_LOGITS = 1 << 22
_NO_IDS = np.zeros(0, np.int64)


def select(state: State, rows: Sequence[int] | Array) -> State:
    """Select rows of a state, in the given order."""
    return tuple(part[:, rows] for part in state)


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """Scores of consecutive tokens of one document."""

    row: int  # index of the document
    start: int  # offset of the first token in the document
    scores: Array  # (n): the log-probability of each token, in nats
    state: State  # after the last token, of this row alone: (layers, 1, H)


class GraphSampler:
    """The graph that samples by itself, several tokens in one call. The result for a row does not
    depend on the other rows."""

    def __init__(self, session: Session, state_names: Sequence[str]) -> None:
        self._session, self._state_names = session, state_names
        self._outputs = ("tokens", *(f"next_{name}" for name in state_names))

    def advance(self, rows: Sequence[Array], state: State) -> State:
        """Read the ids of B rows, which may be empty. Return the state after them."""
        ids, lengths = pad(rows)
        # A call of a graph cannot be interrupted: read in chunks, so that Ctrl-C does not wait.
        for start in range(0, ids.shape[1], _MAX_STEPS):
            chunk = ids[:, start : start + _MAX_STEPS]
            chunk_lengths = np.clip(lengths - start, 0, _MAX_STEPS)
            _, state = self._run(state, chunk, chunk_lengths, ids[:, 0], np.zeros((0, len(ids))))
        return state

    def sample(
        self,
        last: Array,
        state: State,
        uniforms: Array,
        temperature: float,
        excluded: Sequence[int] = (),
    ) -> tuple[Array, State]:
        """Sample K tokens of each of B rows, by the inverse CDF at `uniforms` (K, B) in [0, 1).

        `last` (B): the last token of each row, which is read first; `excluded`: ids that are never
        sampled. Returns the ids (K, B), and the state before the last of them is read.
        """
        rows = len(last)
        no_ids, no_lengths = np.zeros((rows, 0), np.int64), np.zeros(rows, np.int64)
        return self._run(state, no_ids, no_lengths, last, uniforms, temperature, excluded)

    def _run(
        self,
        state: State,
        ids: Array,
        lengths: Array,
        token: Array,
        uniforms: Array,
        temperature: float = 1.0,
        excluded: Sequence[int] = (),
    ) -> tuple[Array, State]:
        feeds = {
            **dict(zip(self._state_names, state, strict=True)),
            "ids": np.ascontiguousarray(ids.T),
            "lengths": lengths.astype(np.int64),
            "token": token,
            "uniforms": uniforms,
            "rate": np.array(1 / temperature, np.float32),
            "excluded": np.array(excluded, np.int64),
        }
        tokens, *after = self._session.run(self._outputs, feeds)
        return tokens, tuple(after)


class LanguageModel:
    """A trained language model. It is safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        self.tokenizer = model.tokenizer
        self._model = model
        encoder = model.config.encoder
        self._layers, self._hidden_size = encoder.num_layers, encoder.hidden_size
        self._state_names = encoder.state_names
        self._state_outputs = tuple(f"next_{name}" for name in self._state_names)
        self._max_scored_tokens = max(1, _MAX_LOGITS // encoder.vocab_size)

    @classmethod
    def load(
        cls,
        directory: Path,
        threads: int | None = None,
        *,
        intra_op: bool = False,
        when_needed: bool = False,
        samples: bool = True,
    ) -> LanguageModel:
        """Load a checkpoint. `intra_op`: for one long text (see `Session`); `when_needed`: the
        graph is opened when it is first run; `samples`: text will be sampled. Raises
        CheckpointError if the directory is not an intact language model."""
        return cls(
            open_model(
                directory,
                "lm",
                threads,
                intra_op=intra_op,
                when_needed=when_needed,
                samples=samples,
            )
        )

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Apply `function` to every item on the session's thread pool (see `Session.map`)."""
        return self._model.session.map(function, items)

    def line_bits(self) -> LineBits:
        """The quantiles of the lines of the validation text, as the checkpoint records them. Raises
        UsageError if it does not, and CheckpointError if they are damaged."""
        saved = self._model.saved
        if saved is None:
            raise UsageError(
                "a model of one file does not record how odd the validation text's lines are: name "
                "its directory with -m, or give --above in bits"
            )
        if (found := saved.line_bits) is None:
            directory = for_message(str(saved.path.parent))
            message = f"{directory} does not record how odd the validation text's lines are"
            if not (saved.path.parent / WEIGHTS).exists():  # `export` has nothing to begin with
                raise UsageError(f"{message}: give --above in bits")
            raise UsageError(
                f"{message}: measure them with `rnntext export {directory} --{saved.precision} "
                "--valid FILE`, or give --above in bits"
            )
        return found

    def open(self) -> None:
        """Open the graph of next-token logits, if it is not open yet. Raises CheckpointError."""
        self._model.open_session()

    def initial_state(self, rows: int = 1) -> State:
        """The state before the first token: zeros, for each of `rows` rows."""
        shape = (self._layers, rows, self._hidden_size)
        return tuple(np.zeros(shape, np.float32) for _ in self._state_names)

    def read(self, rows: Sequence[Array], state: State) -> tuple[Array, State]:
        """Read the ids of B rows, at least one id each.

        Returns the logits after each row's last id (B, V), and the state there. The result for a
        row does not depend on the other rows.
        """
        if all(len(row) == 1 for row in rows):
            return self.step(np.array(rows, np.int64)[:, 0], state)
        ids, lengths = pad(rows)
        logits = np.empty((len(rows), self.tokenizer.vocab_size), np.float32)
        state = tuple(part.copy() for part in state)
        # The graph gives a zero state for a row of length 0: rows that have ended leave the batch.
        for start in range(0, ids.shape[1], _MAX_STEPS):
            active = np.flatnonzero(lengths > start)
            chunk_lengths = np.minimum(lengths[active] - start, _MAX_STEPS)
            chunk = ids[active, start : start + int(chunk_lengths.max())]
            last = (chunk_lengths - 1) * len(active) + np.arange(len(active))
            logits[active], *after = self._run(
                "logits", chunk, chunk_lengths, select(state, active), positions=last
            )
            for part, new in zip(state, after, strict=True):
                part[:, active] = new
        return logits, state

    def advance(self, rows: Sequence[Array], state: State) -> State:
        """Read the ids of B rows, which may be empty. Return the state after them."""
        state = tuple(part.copy() for part in state)
        nonempty = [index for index, ids in enumerate(rows) if len(ids)]
        if nonempty:
            _, after = self.read([rows[index] for index in nonempty], select(state, nonempty))
            for part, new in zip(state, after, strict=True):
                part[:, nonempty] = new
        return state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """Read one id of each row (B). Returns what `read` returns."""
        rows = len(ids)
        logits, *after = self._run(
            "logits", ids[:, None], np.ones(rows, np.int32), state, positions=np.arange(rows)
        )
        return logits, tuple(after)

    def graph_sampler(self) -> GraphSampler | None:
        """Open the graph that samples by itself; None if the checkpoint does not have one. Raises
        CheckpointError if that graph is damaged."""
        session = self._model.generation()
        return None if session is None else GraphSampler(session, self._state_names)

    def score(self, lines: Sequence[Array]) -> list[Array]:
        """Score lines (ids that end with `eos_id`), each from a zero state after the end of a line.

        Returns the log-probability of every token of each line, in nats.
        """
        results = [np.empty(len(line), np.float32) for line in lines]
        lengths = np.array([len(line) for line in lines], np.int64)

        def score_batch(batch: Array) -> None:
            for chunk in self.score_documents([lines[i] for i in batch]):
                line = results[batch[chunk.row]]
                line[chunk.start : chunk.start + len(chunk.scores)] = chunk.scores

        for _ in self.map(score_batch, self._model.batches(lengths)):
            pass
        return results

    def score_documents(
        self, documents: Sequence[Array], state: State | None = None, last: int | None = None
    ) -> Iterator[ScoredChunk]:
        """Score every token of several documents, of at least one token each, in one batch.

        Each document starts from `state` (None: zeros) after the id `last` (None: the end of a
        line). Yields log-probabilities in nats, the chunks of each document in order.
        """
        rows = list(range(len(documents)))
        longest = max(map(len, documents))
        before = self.tokenizer.eos_id if last is None else last
        previous = np.full(len(documents), before, np.int64)
        state = state or self.initial_state(len(documents))
        steps = max(1, min(_MAX_STEPS, self._max_scored_tokens // len(documents)))
        for start in range(0, longest, steps):
            # The graph gives a zero state for a row of length 0: rows that have ended leave the
            # batch.
            active = [place for place, row in enumerate(rows) if len(documents[row]) > start]
            rows, previous = [rows[place] for place in active], previous[active]
            state = select(state, active)
            targets, lengths = pad([documents[row][start : start + steps] for row in rows])
            inputs = np.concatenate([previous[:, None], targets[:, :-1]], axis=1)
            step, row = np.nonzero(np.arange(targets.shape[1])[:, None] < lengths)  # every token
            scores, *after = self._run(
                "log_probabilities",
                inputs,
                lengths,
                state,
                scored=step * len(rows) + row,
                targets=targets[row, step],
            )
            state, previous = tuple(after), targets[:, -1]
            for index, number in enumerate(rows):
                row_state = tuple(part[:, index : index + 1] for part in state)
                yield ScoredChunk(number, start, scores[row == index], row_state)

    def _run(
        self,
        output: str,
        ids: Array,
        lengths: Array,
        state: Sequence[Array],
        *,
        positions: Array = _NO_IDS,
        scored: Array = _NO_IDS,
        targets: Array = _NO_IDS,
    ) -> list[Array]:
        """Run the graph; the arguments are its inputs. Return the output, then the parts of the
        state after each row."""
        feeds = {
            "ids": ids,
            "lengths": lengths.astype(np.int32, copy=False),
            "positions": positions,
            "scored": scored,
            "targets": targets,
            **dict(zip(self._state_names, state, strict=True)),
        }
        return self._model.session.run([output, *self._state_outputs], feeds)


# Documents scored together, and lines of a document encoded together.
_DOCUMENTS = 64
_LINES = 4096


def evaluate_lines(model: LanguageModel, lines: Iterator[Line]) -> dict[str, Any]:
    """Score every token of every document, each from a zero state after a line's end."""
    from rnntext import metrics

    unknown = -1 if model.tokenizer.unk_id is None else model.tokenizer.unk_id
    total = known = 0.0
    tokens = known_tokens = n_bytes = 0
    keeps_all, known_bytes = not model.tokenizer.loses_text, 0
    for batch, size in _batches_of_documents(model, lines):
        n_bytes += size
        if keeps_all:
            known_bytes += sum(map(model.tokenizer.known_bytes, batch))
        for chunk in model.score_documents(batch):
            targets = batch[chunk.row][chunk.start : chunk.start + len(chunk.scores)]
            is_known = targets != unknown
            total += float(chunk.scores.sum(dtype=np.float64))
            tokens += len(targets)
            known += float(chunk.scores[is_known].sum(dtype=np.float64))
            known_tokens += int(is_known.sum())
    return metrics.language_model_metrics(
        total_nats=-total,
        tokens=tokens,
        known_nats=-known,
        known_tokens=known_tokens,
        n_bytes=n_bytes if keeps_all else None,
        unknown_bytes=n_bytes - known_bytes if tokens > known_tokens else 0,
    )


def _batches_of_documents(
    model: LanguageModel, lines: Iterator[Line]
) -> Iterator[tuple[list[Array], int]]:
    """Yield batches of encoded documents, and the bytes of each batch's text."""
    batch: list[Array] = []
    size = 0
    for _, group in groupby(lines, key=lambda line: line.document):
        texts = [line.text for line in group]
        chunks: list[Array] = []
        for start in range(0, len(texts), _LINES):
            chunks += model.tokenizer.encode_lines(texts[start : start + _LINES])
        batch.append(np.concatenate(chunks))
        size += sum(len(text.encode()) + 1 for text in texts)
        if len(batch) == _DOCUMENTS:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


def _evaluate(
    model: TrainedModel, paths: Sequence[str], options: DataOptions, watch: object = None
) -> dict[str, Any]:
    from rnntext.text.lines import read_lines

    running = LanguageModel(model.with_session(model.session.with_intra_op_threads()))
    return evaluate_lines(running, read_lines(paths, options))


def _measure_lines(
    model: TrainedModel, paths: Sequence[str], options: DataOptions
) -> LineBits | None:
    from rnntext.runtime.line_bits import measure_lines
    from rnntext.text.lines import read_lines

    running = LanguageModel(model)
    batches = _batches_of_documents(running, read_lines(paths, options))
    documents = [document for batch, _ in batches for document in batch]
    return measure_lines(running, documents)


def _answering(model: TrainedModel, *, words: bool = False) -> tuple[AnswerColumns, Answerer]:
    from rnntext.runtime.answer_columns import score_columns
    from rnntext.runtime.score import Scorer

    return score_columns(words=words), partial(Scorer(LanguageModel(model)).score, words=words)


def _metric_names(config: ModelConfig) -> tuple[str, ...]:
    from rnntext import metrics

    return metrics.LANGUAGE_MODEL_METRICS


RUNTIME = RuntimeTask(
    _metric_names,
    _evaluate,
    _answering,
    ("words",),
    measure_lines=_measure_lines,
    follows_line_end=True,
)
