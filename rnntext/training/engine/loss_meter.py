"""The losses of a run's steps, added up until somebody asks for their mean.

Knows: which of them were told already. Does not know: how a loss comes about. The sums stay
where the losses are computed, so that a GPU is waited for only where one is asked for.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rnntext.training.engine.distributed import Ranks


class LossMeter:
    """Sums of the losses of steps, kept where they are computed until somebody asks."""

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        # Of the steps since the last report, and since the last evaluation before those.
        self._pending = torch.zeros((), dtype=dtype, device=device)
        self._reported = torch.zeros((), dtype=dtype, device=device)
        self._reported_steps = self._pending_steps = 0

    def add(self, loss: Tensor) -> None:
        self._pending += loss
        self._pending_steps += 1

    def since_report(self) -> float:
        """Mean loss of the steps since this was last asked, or since an evaluation."""
        mean = float(self._pending) / self._pending_steps
        self._reported += self._pending
        self._reported_steps += self._pending_steps
        self._forget_pending()
        return mean

    def since_evaluation(self) -> float:
        """Mean loss of the steps since this was last asked."""
        steps = self._reported_steps + self._pending_steps
        mean = float(self._reported + self._pending) / steps if steps else math.nan
        self._reported.zero_()
        self._reported_steps = 0
        self._forget_pending()
        return mean

    def finite(self) -> bool:
        """Whether all of them were numbers."""
        return math.isfinite(float(self._reported + self._pending))

    def state(self, ranks: Ranks) -> dict[str, Any]:
        return {
            "reported": ranks.all_reduce_mean(float(self._reported)),
            "pending": ranks.all_reduce_mean(float(self._pending)),
            "steps": [self._reported_steps, self._pending_steps],
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._reported.fill_(state["reported"])
        self._pending.fill_(state["pending"])
        self._reported_steps, self._pending_steps = state["steps"]

    def _forget_pending(self) -> None:
        self._pending.zero_()
        self._pending_steps = 0
