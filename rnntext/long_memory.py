"""What the experiments of `compare memory` found: accuracies by distance, and how far each reaches.

Knows: the models and tasks by name, means and spreads over seeds. Does not know: how networks are
trained (`training/comparison/long_memory.py`), or how the accuracies are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

TASKS = ("recall", "agreement")
TITLES = {"window": "feed-forward window", "rnn": "vanilla RNN", "gru": "GRU", "lstm": "LSTM"}
WINDOW_WIDTH = 8  # tokens that the feed-forward window sees, the last of the input


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """What is trained: every model at every task, at each distance, with `seeds` seeds from `seed`
    on, each network for `steps` steps."""

    tasks: Sequence[str] = TASKS
    distances: Sequence[int] = (3, 6, 10, 20, 30)
    steps: int = 500
    seed: int = 0
    seeds: int = 2
    threads: int = 1  # networks this small are slower with more


@dataclass(frozen=True, slots=True)
class Measured:
    """The accuracies of one model at one task: by distance, one for each seed."""

    task: str
    model: str
    parameters: int
    chance: float
    accuracies: Mapping[int, Sequence[float]]

    @property
    def title(self) -> str:
        return TITLES[self.model]

    def mean(self, distance: int) -> float:
        """The mean accuracy over the seeds."""
        return fmean(self.accuracies[distance])

    def deviation(self, distance: int) -> float | None:
        """The standard deviation over the seeds; None of a single one."""
        values = self.accuracies[distance]
        return stdev(values) if len(values) > 1 else None

    def reach(self) -> int:
        """The last distance before the first at which the mean accuracy is less than half way from
        chance to 1; 0 if it is less at once."""
        reached = 0
        for distance in self.accuracies:
            if self.mean(distance) < (1 + self.chance) / 2:
                break
            reached = distance
        return reached

    def to_json(self) -> list[dict[str, Any]]:
        """One object for each distance."""
        return [
            {
                "task": self.task,
                "model": self.model,
                "distance": distance,
                "accuracy": self.mean(distance),
                "deviation": self.deviation(distance),
                "values": list(values),
                "chance": self.chance,
                "parameters": self.parameters,
            }
            for distance, values in self.accuracies.items()
        ]
