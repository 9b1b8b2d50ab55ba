"""How long a run lasts and how its learning rate moves.

Knows: steps, seconds and rates. Does not know: models or data. With a known end the rate
depends on the step and the total alone, so a run that was fitted to a time is repeated by
naming its steps: warm-up, a flat stretch, then a straight line down. A timed run
measures its own speed in the flat stretch and fixes its total where that ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# The flat stretch is the first part of a run; then the rate falls to _FLOOR of its peak.
_FLAT = 0.4
_FLOOR = 0.01
# A timed run estimates its number of steps from when this part of its time is over.
ESTIMATE_AT = 0.1
# However much time there is, more passes than this over the same text teach nothing new.
MOST_EPOCHS = 30
# Where in a run of known length the model is evaluated: nowhere in the flat stretch, in which a
# timed run does not know its length.
EVALUATE_AT = (_FLAT, 0.55, 0.7, 0.85, 1.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """What ends a run: one of these, or none of them: validation that stops improving."""

    epochs: int | None = None
    steps: int | None = None
    deadline: float | None = None  # of the run's clock, in seconds

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """The number of steps, where it is known before the run."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps


def learning_rate(peak: float, warmup: int, step: int, total: int | None) -> float:
    """The rate of step 0, 1, 2 ... of `total`; with no total known, warm-up and then flat.

    `warmup` steps lead up to `peak`, however many follow: a timed run takes them before it knows
    its total.
    """
    rate = peak * min(1.0, (step + 1) / warmup)
    if total is None or step < _FLAT * total:
        return rate
    left = (total - step) / (total - _FLAT * total)
    return rate * max(_FLOOR, left)


def flat_steps(total: int) -> int:
    """How many steps of `total` are taken before the rate depends on the total."""
    return math.ceil(_FLAT * total)


def fewest_steps(flat: int) -> int:
    """The fewest steps in all of which `flat` belong to the flat stretch."""
    return math.floor(flat / _FLAT)


def evaluation_steps(total: int) -> frozenset[int]:
    """After how many steps a run of known length is evaluated."""
    return frozenset(max(1, math.ceil(share * total)) for share in EVALUATE_AT)


class Plateau:
    """Cuts the rate when validation stops improving, and says when that no longer helps."""

    def __init__(self, patience: int = 1, cuts: int = 3, factor: float = 0.3) -> None:
        self._patience, self._cuts, self._factor = patience, cuts, factor
        self._waited = 0
        self.scale = 1.0
        self.finished = False

    def update(self, improved: bool) -> bool:
        """After an evaluation; True where the rate was just cut."""
        if improved:
            self._waited = 0
            return False
        self._waited += 1
        if self._waited <= self._patience:
            return False
        self._waited = 0
        if self._cuts == 0:
            self.finished = True
            return False
        self._cuts -= 1
        self.scale *= self._factor
        return True
