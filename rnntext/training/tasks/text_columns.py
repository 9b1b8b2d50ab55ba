"""A stream of ids in rows, of which a window is read at a time.

Knows: how much of a stream is in memory, and which rows are those of this process. Does not know:
what is predicted, states or losses.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rnntext.training.data.epochs import contiguous_columns
from rnntext.training.data.store import IdSequence
from rnntext.training.engine.device import Machine

# Ids that are read from a stream at once. A stream of at most _MAX_DEVICE_IDS is copied whole to
# the memory of a GPU.
_READ_AHEAD = 1 << 18
_MAX_DEVICE_IDS = 1 << 26


class TextColumns:
    """A stream of ids divided into contiguous rows (rows, length), of which one rank reads the
    rows `shard`. `backward`: each row is read from its end."""

    def __init__(
        self,
        stream: IdSequence,
        rows: int,
        shard: slice,
        machine: Machine,
        *,
        backward: bool = False,
    ) -> None:
        self.length = len(stream) // rows
        self._stream, self._rows, self._shard = stream, rows, shard
        self._backward = backward
        self._device = machine.device
        fits = machine.device.type != "cpu" and len(stream) <= _MAX_DEVICE_IDS
        self._block_length = self.length if fits else _READ_AHEAD // rows
        # The block in memory: columns from _start on.
        self._start = 0
        self._block = torch.empty(shard.stop - shard.start, 0)

    def window(self, start: int, stop: int) -> Tensor:
        """Return ids (rows of the shard, stop - start)."""
        if not self._start <= start <= stop <= self._start + self._block.shape[1]:
            end = min(self.length, max(stop, start + self._block_length))
            first, last = (
                (self.length - end, self.length - start) if self._backward else (start, end)
            )
            block = contiguous_columns(self._stream, self._rows, first, last, self._shard)
            if self._backward:
                block = block[:, ::-1]
            self._start = start
            self._block = torch.from_numpy(block.astype(np.int32)).to(self._device)
        return self._block[:, start - self._start : stop - self._start].long()
