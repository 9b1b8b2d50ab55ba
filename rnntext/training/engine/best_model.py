"""The best model of a run so far.

Knows: the validation metric of the best evaluation, its step and its weights. Does not know: when a
model is evaluated, or what follows when the metric stops improving.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from rnntext.training.engine.optimizer import copy_of_weights

# A smaller relative improvement than this does not end a plateau.
_MIN_IMPROVEMENT = 1e-3


class BestModel:
    """Metric, step and weights of the best evaluation so far."""

    def __init__(self, *, higher_is_better: bool) -> None:
        self._sign = 1.0 if higher_is_better else -1.0
        self._value: float | None = None
        self.step = 0
        self.weights: dict[str, Tensor] = {}

    def ends_plateau(self, value: float) -> bool:
        """Return True if `value` is better than the best by more than a negligible amount."""
        best = self._value
        return best is None or self._sign * (value - best) > _MIN_IMPROVEMENT * abs(best)

    def update(self, value: float, step: int, model: nn.Module) -> bool:
        """Copy the weights of `model` if `value` is the best so far; return True if it is."""
        is_best = self._value is None or self._sign * value > self._sign * self._value
        if is_best:
            self._value, self.step, self.weights = value, step, copy_of_weights(model)
        return is_best

    def state(self) -> dict[str, Any]:
        """Return the state without the weights, as plain JSON."""
        return {"best": self._value, "best_step": self.step}

    def restore(self, state: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Continue from a saved state and the weights that were saved with it."""
        self._value, self.step, self.weights = state["best"], state["best_step"], weights
