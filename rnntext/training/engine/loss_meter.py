"""Mean losses of training steps.

Knows: the sums of the losses since the last report and since the last evaluation. Does not know:
how a loss is computed. The sums stay on the device that computes the losses, so the process waits
for a GPU only when it reads a mean.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from rnntext.training.engine.distributed import Ranks


class LossMeter:
    """Running means of the loss: one for reports of steps, one for evaluations."""

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        # `pending`: steps since the last report. `reported`: steps before that report and after the
        # last evaluation.
        self._pending = torch.zeros((), dtype=dtype, device=device)
        self._reported = torch.zeros((), dtype=dtype, device=device)
        self._reported_steps = self._pending_steps = 0

    def add(self, loss: Tensor) -> None:
        """Take in the loss of one step, a scalar on the device."""
        self._pending += loss
        self._pending_steps += 1

    def since_report(self) -> float:
        """Return the mean loss since the last report or evaluation, whichever was later."""
        mean = float(self._pending) / self._pending_steps
        self._reported += self._pending
        self._reported_steps += self._pending_steps
        self._reset_pending()
        return mean

    def since_evaluation(self) -> float:
        """Return the mean loss since the last evaluation; NaN if there was no step since."""
        steps = self._reported_steps + self._pending_steps
        mean = float(self._reported + self._pending) / steps if steps else math.nan
        self._reported.zero_()
        self._reported_steps = 0
        self._reset_pending()
        return mean

    def is_finite(self) -> bool:
        """Return True if every loss since the last evaluation is finite."""
        return math.isfinite(float(self._reported + self._pending))

    def state(self, ranks: Ranks) -> dict[str, Any]:
        """Return the sums averaged over the ranks, as plain JSON."""
        return {
            "reported": ranks.all_reduce_mean(float(self._reported)),
            "pending": ranks.all_reduce_mean(float(self._pending)),
            "steps": [self._reported_steps, self._pending_steps],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._reported.fill_(state["reported"])
        self._pending.fill_(state["pending"])
        self._reported_steps, self._pending_steps = state["steps"]

    def _reset_pending(self) -> None:
        self._pending.zero_()
        self._pending_steps = 0
