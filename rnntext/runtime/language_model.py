"""A language model that walks: the state that it carries, and what it expects next.

Knows: how the graph takes and gives its state, in batches of bounded size. Does not know:
sampling, words, text out, or metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.session import Item, Result, Session
from rnntext.text.batches import pad

Array = npt.NDArray[Any]
State = tuple[Array, ...]  # hidden, and for the LSTM cell, each (layers, B, H)

# Steps of one call of the graph; scores of single words that one call may hold, 16 MB of them.
_STEPS = 256
_SCORES = 1 << 22
_NONE = np.zeros(0, np.int64)


def select(state: State, rows: Sequence[int] | Array) -> State:
    """The state of some rows, in their order."""
    return tuple(part[:, rows] for part in state)


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """Some tokens of a document that was walked along."""

    row: int  # the document's number
    start: int  # of its tokens, the first of these
    scores: Array  # (n): the log-probability of each
    state: State  # after them, of this row alone


class GraphSampler:
    """A language model's graph that goes on with texts by itself, several tokens a call. What it
    does for a row is the same whatever the others are."""

    def __init__(self, session: Session, parts: Sequence[str]) -> None:
        self._session, self._parts = session, parts
        self._outputs = ("tokens", *(f"next_{part}" for part in parts))

    def read_on(self, rows: Sequence[Array], state: State) -> State:
        """The state after so many ids of each of B rows, which may be none."""
        ids, lengths = pad(rows)
        # Piece by piece, for no call can be broken off.
        for start in range(0, ids.shape[1], _STEPS):
            left = np.clip(lengths - start, 0, _STEPS)
            piece = ids[:, start : start + _STEPS]
            _, state = self._run(state, piece, left, ids[:, 0], np.zeros((0, len(ids))))
        return state

    def draw(
        self,
        last: Array,
        state: State,
        uniforms: Array,
        temperature: float,
        excluded: Sequence[int] = (),
    ) -> tuple[Array, State]:
        """As many more tokens of each row as it has `uniforms` (K, B): ids (K, B), and the state
        before the last of them is read. `last` (B) is read first; `excluded` is never drawn."""
        rows = len(last)
        none, lengths = np.zeros((rows, 0), np.int64), np.zeros(rows, np.int64)
        return self._run(state, none, lengths, last, uniforms, temperature, excluded)

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
            **dict(zip(self._parts, state, strict=True)),
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
    """A trained language model; safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        self.tokenizer = model.tokenizer
        self._model = model
        encoder = model.config.encoder
        self._shape = (encoder.num_layers, encoder.hidden_size)
        self._parts = encoder.state_names
        self._next = tuple(f"next_{part}" for part in self._parts)
        self._states = max(1, _SCORES // encoder.vocab_size)

    @classmethod
    def load(
        cls,
        directory: Path,
        threads: int | None = None,
        *,
        intra_op: bool = False,
        when_needed: bool = False,
    ) -> LanguageModel:
        """`intra_op`: for one long text (see `Session`); `when_needed`: its graph is opened
        then. Raises CheckpointError where the directory holds no sound language model."""
        return cls(open_model(directory, "lm", threads, intra_op=intra_op, when_needed=when_needed))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Apply `function` to every item on the session's thread pool (see `Session.map`)."""
        return self._model.session.map(function, items)

    def open(self) -> None:
        """Open the graph that predicts, if that is still to be done. Raises CheckpointError."""
        self._model.open_session()

    def start(self, rows: int = 1) -> State:
        """The state of having read nothing, for so many rows."""
        layers, hidden = self._shape
        return tuple(np.zeros((layers, rows, hidden), np.float32) for _ in self._parts)

    def read(self, rows: Sequence[Array], state: State) -> tuple[Array, State]:
        """Ids of B rows, each at least one -> logits after each row's last (B, V), the state
        there. The same for a row whatever the others are."""
        if all(len(row) == 1 for row in rows):
            return self.step(np.array(rows, np.int64)[:, 0], state)
        ids, lengths = pad(rows)
        logits = np.empty((len(rows), self.tokenizer.vocab_size), np.float32)
        state = tuple(part.copy() for part in state)
        # A row of length 0 would give back a zero state: rows that ended leave the batch.
        for start in range(0, ids.shape[1], _STEPS):
            going = np.flatnonzero(lengths > start)
            left = np.minimum(lengths[going] - start, _STEPS)
            piece = ids[going, start : start + int(left.max())]
            last = (left - 1) * len(going) + np.arange(len(going))
            logits[going], *after = self._run(
                "logits", piece, left, select(state, going), positions=last
            )
            for part, new in zip(state, after, strict=True):
                part[:, going] = new
        return logits, state

    def read_on(self, rows: Sequence[Array], state: State) -> State:
        """The state after the ids of B rows, which may be none."""
        state = tuple(part.copy() for part in state)
        some = [place for place, ids in enumerate(rows) if len(ids)]
        if some:
            _, after = self.read([rows[place] for place in some], select(state, some))
            for part, new in zip(state, after, strict=True):
                part[:, some] = new
        return state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """What `read` gives for one id (B) a row."""
        rows = len(ids)
        logits, *after = self._run(
            "logits", ids[:, None], np.ones(rows, np.int32), state, positions=np.arange(rows)
        )
        return logits, tuple(after)

    def graph_sampler(self) -> GraphSampler | None:
        """What goes on with texts by itself; None where the checkpoint has no graph for it. Raises
        CheckpointError where that graph is damaged."""
        session = self._model.generation()
        return None if session is None else GraphSampler(session, self._parts)

    def score(self, lines: Sequence[Array]) -> list[Array]:
        """The log-probability, in nats, of every token of each line (ids with `eos_id` at the
        end), read from a zero state after a line's end."""
        results = [np.empty(len(line), np.float32) for line in lines]
        lengths = np.array([len(line) for line in lines], np.int64)

        def fill(index: Array) -> None:
            for stretch in self.score_documents([lines[i] for i in index]):
                line = results[index[stretch.row]]
                line[stretch.start : stretch.start + len(stretch.scores)] = stretch.scores

        for _ in self.map(fill, self._model.batches(lengths)):
            pass
        return results

    def score_documents(
        self, documents: Sequence[Array], state: State | None = None
    ) -> Iterator[ScoredChunk]:
        """The log-probability, in nats, of every token of some documents side by side.

        Each document, of at least one token, starts from `state` (None: from zero) after a
        line's end. A row's stretches come in order.
        """
        rows = list(range(len(documents)))
        longest = max(map(len, documents))
        previous = np.full(len(documents), self.tokenizer.eos_id, np.int64)
        state = state or self.start(len(documents))
        steps = max(1, min(_STEPS, self._states // len(documents)))
        for start in range(0, longest, steps):
            # A row of length 0 would give back a zero state: rows that ended leave the batch.
            going = [place for place, row in enumerate(rows) if len(documents[row]) > start]
            rows, previous = [rows[place] for place in going], previous[going]
            state = select(state, going)
            targets, left = pad([documents[row][start : start + steps] for row in rows])
            inputs = np.concatenate([previous[:, None], targets[:, :-1]], axis=1)
            step, row = np.nonzero(np.arange(targets.shape[1])[:, None] < left)  # every token
            scores, *after = self._run(
                "log_probabilities",
                inputs,
                left,
                state,
                scored=step * len(rows) + row,
                targets=targets[row, step],
            )
            state, previous = tuple(after), targets[:, -1]
            for index, number in enumerate(rows):
                carried = tuple(part[:, index : index + 1] for part in state)
                yield ScoredChunk(number, start, scores[row == index], carried)

    def _run(
        self,
        output: str,
        ids: Array,
        lengths: Array,
        state: Sequence[Array],
        *,
        positions: Array = _NONE,
        scored: Array = _NONE,
        targets: Array = _NONE,
    ) -> list[Array]:
        """The output, and the state after each row; the inputs are those of the graph."""
        feeds = {
            "ids": ids,
            "lengths": lengths.astype(np.int32, copy=False),
            "positions": positions,
            "scored": scored,
            "targets": targets,
            **dict(zip(self._parts, state, strict=True)),
        }
        return self._model.session.run([output, *self._next], feeds)
