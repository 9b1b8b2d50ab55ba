"""The training loop: a generator of what happens.

Knows: steps, evaluations, the best weights, the budget. Does not know: what is being learned
(the objective does), where anything is printed or saved (the caller does).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rnntext.errors import TrainingError
from rnntext.training.events import Evaluated, Finished, LoopEvent, Metrics, Step
from rnntext.training.model import Model
from rnntext.training.schedule import (
    ESTIMATE_AT,
    EVALUATE_AT,
    MOST_EPOCHS,
    Budget,
    Plateau,
    evaluation_steps,
    fewest_steps,
    flat_steps,
    learning_rate,
)

Batch = Any

# A run without a known end is evaluated once an epoch, but not less often than this.
_LONGEST_UNSEEN = 2000  # steps
_REPORT_EVERY = 10  # steps
# Of the time that is left when a timed run fixes its length, the part it plans to use.
_USED = 0.94
# An improvement smaller than this, as a share, does not keep a run going.
_LEAST_IMPROVEMENT = 1e-3


class Objective(Protocol):
    """What is learned: batches, their loss, and how good a model is."""

    metric: str  # the one that chooses among checkpoints
    higher_is_better: bool
    steps_per_epoch: int

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One epoch, in the order of its own seed."""

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, int]:
        """The mean loss with its gradient graph, and how many tokens it is the mean of."""

    def evaluate(self, model: Any, *, quick: bool = False) -> Metrics:
        """Validation metrics; `quick` looks at a part of the data where all of it is long."""

    def quick_share(self) -> float:
        """The part of the validation data that a quick evaluation looks at."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the weights are moved."""

    learning_rate: float
    weight_decay: float
    clip_norm: float
    warmup: int  # steps
    averaging: float = 0.0  # the part that the average of all weights so far keeps at each step


def train(
    model: Model,
    objective: Objective,
    settings: Settings,
    budget: Budget,
    *,
    reserve: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[LoopEvent]:
    """Train `model` in place; at the end it holds the weights of the best evaluation.

    `reserve` is how many seconds before `budget.deadline`, apart from a last evaluation of
    all validation data, the loop must be over. Raises TrainingError where the loss is not a
    finite number.
    """
    run = _Run(model, objective, settings, budget, reserve, clock)
    yield from run.events()


class _Run:
    def __init__(
        self,
        model: Model,
        objective: Objective,
        settings: Settings,
        budget: Budget,
        reserve: float,
        clock: Callable[[], float],
    ) -> None:
        self.model, self.objective, self.settings = model, objective, settings
        self.budget, self.reserve, self.clock = budget, reserve, clock
        self.began = clock()
        self.total = budget.total_steps(objective.steps_per_epoch)
        # Without any budget the run goes on until validation stops improving.
        self.plateau = Plateau() if self.total is None and budget.deadline is None else None
        self.stops = self._evaluation_steps()
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model, settings.weight_decay),
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        self.average = (
            [parameter.detach().clone() for parameter in model.parameters()]
            if settings.averaging
            else []
        )
        self.step = self.tokens = self.best_step = self.evaluated_step = 0
        self.stepping = self.evaluating = 0.0  # seconds spent in steps and in evaluations
        self.quick_cost: float | None = None  # seconds of a quick evaluation
        self.evaluation_cost = 0.0  # seconds of an evaluation of everything
        self.best: float | None = None
        self.best_weights: dict[str, Tensor] = {}

    def events(self) -> Iterator[LoopEvent]:
        epoch = 0
        reason = ""
        losses: list[Tensor] = []
        reported = 0
        rate = norm = 0.0
        self.model.train()
        while not reason:
            for batch in self.objective.batches(epoch):
                started = self.clock()
                rate, norm_tensor, loss = self._take_step(batch)
                losses.append(loss)
                self.stepping += self.clock() - started
                if self.step % _REPORT_EVERY == 0 or self.step == self.total:
                    norm = float(norm_tensor)
                    mean = _mean(losses[reported:], self.step, rate)
                    reported = len(losses)
                    yield self._step_event(epoch, mean, rate, norm)
                self._plan()
                if self._evaluation_due():
                    yield self._evaluate(epoch, _mean(losses, self.step, rate))
                    losses, reported = [], 0
                reason = self._over()
                if reason:
                    break
            epoch += 1
        if self.evaluated_step != self.step:
            yield self._evaluate(epoch - 1, _mean(losses, self.step, rate))
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        yield Finished(
            steps=self.step,
            epochs=self.step / self.objective.steps_per_epoch,
            tokens=self.tokens,
            training_seconds=self.stepping,
            reason=reason,
            best_step=self.best_step,
        )

    def _take_step(self, batch: Batch) -> tuple[float, Tensor, Tensor]:
        rate = learning_rate(
            self.settings.learning_rate, self.settings.warmup, self.step, self.total
        )
        if self.plateau is not None:
            rate *= self.plateau.scale
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss, tokens = self.objective.loss(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.settings.clip_norm, foreach=True
        )
        self.optimizer.step()
        self.step += 1
        if self.average:
            # The first steps are soon forgotten.
            keep = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, _detached(self.model), 1 - keep)
        self.tokens += tokens
        return rate, norm, loss.detach()

    def _evaluation_steps(self) -> frozenset[int]:
        if self.total is None:
            return frozenset()
        if self.budget.epochs is not None:
            every = self.objective.steps_per_epoch
            return frozenset(range(every, self.total + 1, every))
        return evaluation_steps(self.total)

    def _evaluation_due(self) -> bool:
        if self.plateau is None:
            return self.step in self.stops
        every = min(self.objective.steps_per_epoch, _LONGEST_UNSEEN)
        return self.step % every == 0

    def _plan(self) -> None:
        """Fix the number of steps of a timed run where its flat stretch ends: by then its speed
        is known as well as can be."""
        deadline = self.budget.deadline
        if deadline is None or self.total is not None:
            return
        now = self.clock()
        most = MOST_EPOCHS * self.objective.steps_per_epoch
        early = self.step < 3 or now - self.began < ESTIMATE_AT * (deadline - self.began)
        if early and self.step < flat_steps(most):
            return
        if self.quick_cost is None:
            # Evaluations cost time too: one is made to see how much.
            self.objective.evaluate(self.model, quick=True)
            self.model.train()
            self.quick_cost = self.clock() - now
            self.evaluating += self.quick_cost
            self.evaluation_cost = self.quick_cost / self.objective.quick_share()
        evaluations = self.evaluation_cost + len(EVALUATE_AT) * self.quick_cost
        left = deadline - self.clock() - self.reserve - evaluations
        # Making batches and showing progress count as well. Some stays spare: a busy machine
        # slows down.
        pace = (self.clock() - self.began - self.evaluating) / self.step
        total = self.step + math.floor(_USED * left / pace)
        total = min(total, most)
        if self.step >= flat_steps(total):
            self.total = max(total, fewest_steps(self.step))
            self.stops = self._evaluation_steps()

    def _over(self) -> str:
        if self.step == self.total:
            return "the steps are done"
        if self.plateau is not None and self.plateau.finished:
            return "validation stopped improving"
        deadline = self.budget.deadline
        if deadline is not None:
            # What was learned since the last evaluation is evaluated too.
            evaluations = self.evaluation_cost + (self.quick_cost or 0.0)
            if deadline - self.clock() - self.reserve - evaluations <= 0:
                return "the time is over"
        return ""

    def _evaluate(self, epoch: int, loss: float) -> Evaluated:
        own = [parameter.clone() for parameter in _detached(self.model)] if self.average else []
        self._set_weights(self.average)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in _detached(self.model)):
            raise _diverged(self.step, self.settings.learning_rate)
        started = self.clock()
        metrics = self.objective.evaluate(self.model, quick=True)
        self.evaluated_step = self.step
        self.evaluating += self.clock() - started
        self.model.train()
        value = float(metrics[self.objective.metric])
        sign = 1.0 if self.objective.higher_is_better else -1.0
        best = self.best is None or sign * value > sign * self.best
        improved = self.best is None or sign * (value - self.best) > _LEAST_IMPROVEMENT * abs(
            self.best
        )
        if best:
            self.best, self.best_step = value, self.step
            self.best_weights = {
                name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
            }
        self._set_weights(own)
        if self.plateau is not None and self.plateau.update(improved):
            # A smaller rate goes on from the best place seen.
            self.model.load_state_dict(self.best_weights)
        return Evaluated(self.step, epoch, loss, metrics, best, self.clock() - self.began)

    def _set_weights(self, weights: list[Tensor]) -> None:
        for parameter, value in zip(_detached(self.model), weights, strict=False):
            parameter.copy_(value)

    def _step_event(self, epoch: int, loss: float, rate: float, norm: float) -> Step:
        pace = self.stepping / self.step
        remaining = None
        if self.total is not None:
            remaining = (self.total - self.step) * pace
        elif self.budget.deadline is not None:
            remaining = max(0.0, self.budget.deadline - self.clock())
        return Step(
            step=self.step,
            total_steps=self.total,
            epoch=epoch,
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            tokens_per_second=self.tokens / self.stepping,
            seconds=self.clock() - self.began,
            remaining=remaining,
        )


def _detached(model: Model) -> list[Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


def _parameter_groups(model: Model, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and a CRF's scores, which mean something as they are, do not."""
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    for name, parameter in model.named_parameters():
        (decayed if parameter.dim() > 1 and "crf" not in name else kept).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]


def _mean(losses: list[Tensor], step: int, rate: float) -> float:
    mean = float(torch.stack(losses).mean()) if losses else math.nan
    if losses and not math.isfinite(mean):
        raise _diverged(step, rate)
    return mean


def _diverged(step: int, rate: float) -> TrainingError:
    return TrainingError(
        f"the loss stopped being a number by step {step}, at a learning rate of {rate:.2g}: "
        f"train again with a smaller one, such as --lr {rate / 4:.1g}"
    )
