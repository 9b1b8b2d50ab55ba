"""Reads documents of any length with a classifier's network.

Knows: batches of documents of similar length, and windows of long ones. Does not know: labels,
losses, or the graph that runs a trained model, which reads the same windows
(`runtime/classifier.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rnntext.text.batches import buckets, pad, split_into_windows
from rnntext.training.data.store import Array
from rnntext.training.engine.device import Machine
from rnntext.training.networks.classifier import Classifier
from rnntext.training.networks.encoder import State


class DocumentReader:
    """Computes logits on one machine."""

    def __init__(self, machine: Machine, max_length: int) -> None:
        """`max_length`: tokens of a window."""
        self._machine, self._max_length = machine, max_length

    def tensors(self, rows: Sequence[Array], *, round_width: bool) -> tuple[Tensor, Tensor]:
        """Return ids (B, T) and lengths (B)."""
        ids, lengths = pad(rows, even=round_width)
        device = self._machine.device
        return (
            torch.from_numpy(ids).to(device),
            torch.from_numpy(lengths.astype(np.int64)).to(device),
        )

    def logits(self, model: Classifier, documents: Sequence[Array]) -> Tensor:
        """Return logits (N, labels). Long documents are read as in the runtime, see
        `rnntext.runtime.classifier.Classifier.logits`."""
        if not model.config.encoder.bidirectional:
            return self._logits_of_rows(model, documents)
        windows, owners = split_into_windows(documents, self._max_length)
        share = np.array([len(window) for window in windows]) / np.array(
            [len(documents[owner]) for owner in owners]
        )
        total = torch.zeros(len(documents), len(model.config.labels), device=self._machine.device)
        owner = torch.from_numpy(owners).to(self._machine.device)
        weight = torch.from_numpy(share.astype(np.float32)).to(self._machine.device)
        return total.index_add_(0, owner, self._logits_of_rows(model, windows) * weight[:, None])

    def _logits_of_rows(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        """Return logits (N, labels) of rows of any length. The hidden state is carried from window
        to window."""
        lengths = np.array([len(row) for row in rows])
        logits = torch.zeros(len(rows), len(model.config.labels), device=self._machine.device)
        with torch.no_grad():
            for index in buckets(lengths, max_rows=256, max_tokens=1 << 15):
                positions = torch.from_numpy(index).to(self._machine.device)
                logits[positions] = self._logits_of_batch(model, [rows[i] for i in index])
        return logits

    def _logits_of_batch(self, model: Classifier, rows: Sequence[Array]) -> Tensor:
        longest = max(map(len, rows))
        if longest <= self._max_length:
            ids, lengths = self.tensors(rows, round_width=False)
            short_logits: Tensor = model(ids, lengths)
            return short_logits
        # Last state, maximum and sum of each row so far; concat pooling needs them.
        pooled: list[list[Tensor]] = [[] for _ in rows]
        active = list(range(len(rows)))  # rows that have not ended
        state: State | None = None
        for start in range(0, longest, self._max_length):
            # The state of a row that has ended is not needed.
            kept = [place for place, row in enumerate(active) if len(rows[row]) > start]
            active = [active[place] for place in kept]
            windows = [rows[row][start : start + self._max_length] for row in active]
            ids, lengths = self.tensors(windows, round_width=False)
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
