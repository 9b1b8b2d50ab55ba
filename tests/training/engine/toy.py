"""An objective for tests of the loop; its clock advances only by steps and evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnntext.training.engine.loop import Loop
from rnntext.training.engine.optimizer import OptimizerConfig
from rnntext.training.engine.schedule import Budget
from rnntext.training.events import Finished, LoopEvent

torch.set_num_threads(1)

SETTINGS = OptimizerConfig(learning_rate=0.02, weight_decay=0.01, clip_norm=1.0, warmup=100)
Scores = Callable[[int], float]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Toy:
    """Fit one linear layer to noise; the metric of evaluation n is `scores(n)`.

    A step takes `pace` seconds of the clock, an evaluation of everything `cost`.
    """

    def __init__(
        self,
        scores: Scores = lambda n: 1 / (n + 1),
        *,
        steps_per_epoch: int = 4,
        higher_is_better: bool = False,
        pace: float = 1.0,
        cost: float = 2.0,
        share: float = 1.0,
    ) -> None:
        self.metric, self.higher_is_better = "score", higher_is_better
        self.steps_per_epoch, self.scores = steps_per_epoch, scores
        self.pace, self.cost, self.quick_fraction = pace, cost, share
        self.steps_per_quick_evaluation = cost * share / pace
        self.clock = Clock()
        self.evaluations = self.steps = 0
        self.epochs: list[int] = []
        self.seen: list[dict[str, Tensor]] = []  # the weights at each evaluation
        self.stepped_from: list[Tensor] = []  # the weight at the beginning of each step
        self.bad_step: int | None = None

    def batches(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        self.epochs.append(epoch)
        rng = np.random.default_rng(epoch)
        for number in range(self.steps_per_epoch):
            batch = torch.from_numpy(rng.normal(size=(5, 3))).float()
            if number >= start:
                yield batch

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        assert model.training
        self.stepped_from.append(next(model.parameters()).detach().clone())
        self.steps += 1
        self.clock.now += self.pace
        loss = model(batch).square().mean()
        if self.steps == self.bad_step:
            loss = loss * math.inf
        return loss, 15

    def evaluate(self, model: nn.Module, *, quick: bool = False) -> dict[str, Any]:
        assert quick
        model.eval()
        self.clock.now += self.cost * self.quick_fraction
        self.seen.append({k: v.clone() for k, v in model.state_dict().items()})
        value = self.scores(self.evaluations)
        self.evaluations += 1
        return {"score": value, "other": 7}

    def evaluate_sample(self, model: nn.Module) -> float:
        model.eval()
        self.clock.now += self.cost * 0.1
        return 0.1

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        assert state == {}


def toy_model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.3))


def run(
    objective: Toy,
    budget: Budget,
    model: Any = None,
    reserve: float = 0.0,
    settings: OptimizerConfig = SETTINGS,
) -> tuple[list[LoopEvent], Any]:
    model = model or toy_model()
    loop = Loop(model, objective, settings, budget, reserve=reserve, clock=objective.clock)
    events = list(loop.events())
    assert isinstance(events[-1], Finished)
    assert not model.training
    return events, model


def of_kind(events: list[LoopEvent], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def same_bytes(one: Any, two: Any) -> bool:
    a, b = one.state_dict(), two.state_dict()
    assert list(a) == list(b)
    return all(a[name].numpy().tobytes() == b[name].numpy().tobytes() for name in a)
