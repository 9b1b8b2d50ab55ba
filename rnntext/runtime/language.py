"""A language model that walks: the state that it carries, and what it expects next.

Knows: how the graph takes and gives its state. Does not know: sampling, text out, or metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.batches import pad

Array = npt.NDArray[Any]
State = tuple[Array, ...]  # hidden, and for the LSTM cell, each (layers, B, H)

# Steps of one call of the graph, and states that meet the whole vocabulary at once.
_STEPS = 256
_ROWS = 1024


class LanguageModel:
    """A trained language model."""

    def __init__(self, model: TrainedModel) -> None:
        self.tokenizer = model.tokenizer
        self._session = model.session
        encoder = model.config.encoder
        self._shape = (encoder.num_layers, encoder.hidden_size)
        self._parts = ("hidden", "cell")[: encoder.state_parts]

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> LanguageModel:
        """Raises CheckpointError where the directory holds no sound language model."""
        return cls(open_model(directory, "lm", threads))

    def start(self, rows: int = 1) -> State:
        """The state of having read nothing, for so many rows."""
        layers, hidden = self._shape
        return tuple(np.zeros((layers, rows, hidden), np.float32) for _ in self._parts)

    def read(self, ids: Array, state: State) -> tuple[Array, State]:
        """ids (T), at least one, of a single row -> logits after the last (V), the state there."""
        for start in range(0, len(ids), _STEPS):
            piece = ids[None, start : start + _STEPS].astype(np.int64)
            last = np.array([piece.shape[1] - 1])
            logits, *after = self._run(["logits"], piece, state, last, np.zeros(1, np.int64))
            state = tuple(after)
        return logits[0], state

    def score(
        self, documents: Sequence[Array], state: State | None = None
    ) -> Iterator[tuple[int, Array, Array]]:
        """The log-probability, in nats, of every token of some documents, in pieces.

        Each document, of at least one token, starts from `state` (None: from zero) after a
        line's end. Yields the document's number, a stretch of its tokens (n) and their
        log-probabilities (n), each document's stretches in order.
        """
        targets, lengths = pad(documents)
        inputs = np.concatenate(
            [np.full((len(targets), 1), self.tokenizer.eos_id), targets[:, :-1]], axis=1
        )
        state = state or self.start(len(documents))
        steps = max(1, min(_STEPS, _ROWS // len(documents)))
        rows = np.arange(len(documents))
        for start in range(0, targets.shape[1], steps):
            left = lengths[rows] - start
            # A row of length 0 would give back a zero state: rows that ended leave the batch.
            state = tuple(np.ascontiguousarray(part[:, left > 0]) for part in state)
            rows, left = rows[left > 0], np.minimum(left[left > 0], steps)
            width = int(left.max())
            step, row = np.nonzero(np.arange(width)[:, None] < left)  # of every real token
            stretch = targets[rows, start : start + width]
            positions = step * len(rows) + row
            scores, *after = self._run(
                ["log_probabilities"],
                inputs[rows, start : start + width],
                state,
                positions,
                stretch[row, step],
                left,
            )
            state = tuple(after)
            for index, number in enumerate(rows):
                yield int(number), stretch[index, : left[index]], scores[row == index]

    def _run(
        self,
        outputs: list[str],
        ids: Array,
        state: Sequence[Array],
        positions: Array,
        targets: Array,
        lengths: Array | None = None,
    ) -> list[Array]:
        if lengths is None:
            lengths = np.full(len(ids), ids.shape[1])
        feeds = {
            "ids": ids,
            "lengths": lengths.astype(np.int32),
            "positions": positions,
            "targets": targets,
            **dict(zip(self._parts, state, strict=True)),
        }
        return self._session.run([*outputs, *("next_" + part for part in self._parts)], feeds)
