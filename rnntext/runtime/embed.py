"""Vectors of texts: the hidden states of a model's last layer, pooled over the tokens of a text.

Knows: how texts of any length are run through the encoder in NumPy, and how states are pooled. Does
not know: input, output, consoles, or what vectors are compared for.

The graph of a model gives a state only where a text ends. Here the encoder is run from the weights
in float32, also of a model that runs in int8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.config import EncoderConfig, one_of, usable_cores
from rnntext.private import products_on_one_thread
from rnntext.runtime.cells import STEPS
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.runtime.task import runtime_task
from rnntext.text.batches import buckets, pad

Array = NDArray[Any]

POOLS = ("mean", "max", "last")
# Tokens that are read from one zero state. A longer text is read in windows of equal length.
WINDOW = 512
# Every product of matrices has so many rows, of which some may be empty: libraries round a product
# of few rows in another way, and a vector must not depend on the rest of its batch.
_ROWS = 64


class Embedder:
    """Turns texts into vectors. It is safe to share between threads."""

    def __init__(self, model: TrainedModel, threads: int | None = None, pool: str = "mean") -> None:
        """`model` was opened with its weights. Raises UsageError if `pool` is none of POOLS."""
        one_of("--pool", pool, POOLS)
        self._model, self._threads, self._pool = model, threads or usable_cores(), pool

    @classmethod
    def load(cls, directory: Path, threads: int | None = None, pool: str = "mean") -> Embedder:
        """Load a checkpoint of any task. Raises CheckpointError if it is not intact."""
        return cls(open_model(directory, when_needed=True, weights=True), threads, pool)

    @property
    def size(self) -> int:
        """Numbers of a vector: the hidden size, twice that of a bidirectional encoder."""
        return self._model.config.encoder.output_size

    def embed(self, texts: Sequence[str]) -> Array:
        """Return the vectors (N, D) of texts, in float32. A vector depends on its text alone.

        A language model reads the end of a line before a text, a tagger splits it into words; what
        is pooled are the states at the text's own tokens. A text without tokens has the state after
        the end of a line. A text of more than WINDOW tokens, or than the model's `max_length`, is
        read in windows, each from the zero state; `last` is then the state after the last window.
        """
        task = runtime_task(self._model.config)
        windows, first = self._windows(task.encode(self._model, texts))
        lengths = np.fromiter(map(len, windows), np.int64, len(windows))
        batches = list(buckets(lengths, max_rows=_ROWS, max_tokens=_ROWS * lengths.max(initial=1)))
        pooled = np.empty((len(windows), self.size), np.float32)

        def read(batch: Array) -> None:
            pooled[batch] = self._read([windows[i] for i in batch])

        with products_on_one_thread(np):
            self._run(read, batches[::-1])  # the longest first: all threads end at about one time
        last = np.append(first[1:], len(windows))[: len(first)] - 1
        if self._pool == "last":
            return np.asarray(pooled[last])
        if self._pool == "max":
            return np.asarray(np.maximum.reduceat(pooled, first, axis=0))
        own = np.maximum(lengths - self._leading, 1)
        sums = np.add.reduceat(pooled, first, axis=0, dtype=np.float64)
        return np.asarray(sums / np.add.reduceat(own, first)[:, None], np.float32)

    @property
    def _leading(self) -> int:
        """Steps of a window that come before the text's own."""
        return int(runtime_task(self._model.config).follows_line_end)

    def _windows(self, rows: Sequence[Array]) -> tuple[list[Array], Array]:
        """Divide texts into windows of about equal length, each of at least one id. Return them in
        order, and the index of the first window of each text."""
        size = min(self._model.config.max_length or WINDOW, WINDOW)
        end = np.array([self._model.tokenizer.eos_id], np.int32)
        leading = end[: self._leading]
        windows: list[Array] = []
        first: list[int] = []
        for ids in rows:
            first.append(len(windows))
            parts = np.array_split(ids, max(1, -(-len(ids) // size)))
            windows += [np.concatenate([leading, part]) if len(part) else end for part in parts]
        return windows, np.array(first, np.int64)

    def _read(self, windows: Sequence[Array]) -> Array:
        """Read at most _ROWS windows. Return the pooled states (windows, D); of `mean` their sum
        over the text's own tokens."""
        no_rows = [np.zeros(0, np.int32)] * (_ROWS - len(windows))
        ids, lengths = pad([*windows, *no_rows])
        step = np.arange(ids.shape[1])[:, None]
        # A text without tokens has the one step that would be before its own.
        own = (step >= np.minimum(self._leading, lengths - 1)) & (step < lengths)  # (T, B)
        states = hidden_states(self._model.weights(), self._model.config.encoder, ids, lengths)
        if self._pool == "mean":
            found = (states * own[:, :, None]).sum(axis=0)
        elif self._pool == "max":
            found = np.where(own[:, :, None], states, -np.inf).max(axis=0)
        else:
            found = states[np.maximum(lengths - 1, 0), np.arange(_ROWS)]
            size = self._model.config.encoder.hidden_size
            found[:, size:] = states[own.argmax(axis=0), np.arange(_ROWS), size:]
        return np.asarray(found[: len(windows)])

    def _run(self, function: Callable[[Array], None], batches: Sequence[Array]) -> None:
        """Apply `function` to each batch, on threads where there are several."""
        if self._threads == 1 or len(batches) < 2:
            for batch in batches:
                function(batch)
            return
        from concurrent.futures import ThreadPoolExecutor  # a single batch does not need it

        pool = ThreadPoolExecutor(self._threads)
        try:
            for _ in pool.map(function, batches):
                pass
        finally:
            pool.shutdown(cancel_futures=True)


def hidden_states(
    weights: Mapping[str, Array], config: EncoderConfig, ids: Array, lengths: Array
) -> Array:
    """Run the encoder over rows of ids (B, T) of these lengths (B), from the zero state.

    Returns the hidden states of the last layer, (T, B, directions * H); after a row's end they have
    no meaning.
    """
    x = weights["encoder.embedding.weight"][ids.T]  # (T, B, E)
    within = (np.arange(len(x))[:, None] < lengths)[:, :, None].astype(np.float32)  # (T, B, 1)
    for layer in range(config.num_layers):
        name = f"encoder.layers.{layer}"
        x = np.concatenate(
            [
                _direction(weights, f"{name}.{direction}_cell", config, x, within, reverse)
                for direction, reverse in _DIRECTIONS[: config.directions]
            ],
            axis=-1,
        )
    return x


_DIRECTIONS = (("forward", False), ("backward", True))


def _direction(
    weights: Mapping[str, Array],
    name: str,
    config: EncoderConfig,
    x: Array,
    within: Array,
    reverse: bool,
) -> Array:
    """Run one direction of a layer over x (T, B, I). Returns its hidden states (T, B, H)."""
    of_input, of_state = weights[f"{name}.weight_ih_l0"].T, weights[f"{name}.weight_hh_l0"].T
    input_bias, state_bias = weights[f"{name}.bias_ih_l0"], weights[f"{name}.bias_hh_l0"]
    steps, rows = x.shape[:2]
    state = tuple(np.zeros((rows, config.hidden_size), np.float32) for _ in config.state_names)
    hidden = np.empty((steps, rows, config.hidden_size), np.float32)
    step = STEPS[config.cell]
    for t in range(steps)[:: -1 if reverse else 1]:
        found = step(x[t] @ of_input + input_bias, state[0] @ of_state, state_bias, state)
        state = tuple(found[part] for part in config.state_names)
        if reverse:  # a row keeps the zero state until its end is reached
            state = tuple(part * within[t] for part in state)
        hidden[t] = state[0]
    return hidden
