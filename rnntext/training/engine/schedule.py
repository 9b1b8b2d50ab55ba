"""How long a run lasts and how its learning rate moves.

Knows: steps, seconds and rates. Does not know: models or data. With a known end the rate
depends on the step and the total alone, so a run that was fitted to a time is repeated by
naming its steps: warm-up, a flat stretch, then a straight line down. A timed run
measures its own speed in the flat stretch and fixes its total where that ends. Where the machine
becomes slower or much faster after that, the line is made steeper or flatter, so that the run
still comes down to its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

# The flat stretch is the first part of a run; then the rate falls to _FLOOR of its peak.
_FLAT = 0.4
_FLOOR = 0.01
# A timed run estimates its number of steps from when this part of its time is over.
ESTIMATE_AT = 0.1
# However much time there is, more passes than this over the same text teach nothing new.
MOST_EPOCHS = 30
# Where in a run of known length the model is evaluated: nowhere in the flat stretch, in which a
# timed run does not know its length. A short run over little text is evaluated at the last of
# these alone: in all, evaluations read at most this part of what the steps read.
EVALUATE_AT = (_FLAT, 0.55, 0.7, 0.85, 1.0)
_EVALUATED = 0.1


@dataclass(frozen=True, slots=True)
class Budget:
    """What ends a run: one of these, or none of them: validation that stops improving."""

    epochs: int | None = None
    steps: int | None = None
    deadline: float | None = None  # of the run's clock, in seconds
    # Of a timed run that is repeated: after which step it came to plan how many in all.
    plans: tuple[tuple[int, int], ...] = ()

    def total_steps(self, steps_per_epoch: int) -> int | None:
        """The number of steps, where it is known before the run."""
        if self.plans:
            return self.plans[0][1]
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return self.steps


@dataclass(frozen=True, slots=True)
class LinearDecay:
    """The way down of the learning rate, as a part of its peak: 1 up to the step `begins`, and
    from `height` there in a straight line to the step `total`."""

    total: int
    begins: float
    height: float = 1.0

    @classmethod
    def planned(cls, plans: Sequence[tuple[int, int]]) -> Self:
        """The fall of a run that planned so many steps in all, then again after some of them."""
        fall = cls(plans[0][1], _FLAT * plans[0][1])
        for step, total in plans[1:]:
            fall = cls(total, step, fall.share(step))
        return fall

    def share(self, step: int) -> float:
        """The part of the peak at step 0, 1, 2 ..."""
        if step < self.begins:
            return 1.0
        return max(_FLOOR, self.height * (self.total - step) / (self.total - self.begins))


def warmup_factor(warmup: int, step: int) -> float:
    """The part of the peak that the first steps lead up to, however many follow: a timed run
    takes them before it knows its total."""
    return min(1.0, (step + 1) / warmup)


def flat_steps(total: int) -> int:
    """How many steps of `total` are taken before the rate depends on the total."""
    return math.ceil(_FLAT * total)


def fewest_steps(flat: int) -> int:
    """The fewest steps in all of which `flat` belong to the flat stretch."""
    return math.floor(flat / _FLAT)


def evaluation_steps(total: int, cost: float) -> frozenset[int]:
    """After how many steps a run of known length is evaluated, where an evaluation reads as
    many tokens as `cost` steps."""
    count = max(1, min(len(EVALUATE_AT), math.floor(_EVALUATED * total / cost)))
    return frozenset(max(1, math.ceil(share * total)) for share in EVALUATE_AT[-count:])


class ReduceOnPlateau:
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

    def state(self) -> dict[str, Any]:
        """What `restore` takes up again."""
        return {
            "waited": self._waited,
            "cuts": self._cuts,
            "scale": self.scale,
            "finished": self.finished,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._waited, self._cuts, self.scale = state["waited"], state["cuts"], state["scale"]
        self.finished = state["finished"]
