"""The training loop: a generator of what happens.

Knows: steps, evaluations, the best weights, the budget, and all that must be kept so that a run
can be taken up again to the bit. Does not know: what is being learned (the objective does), where
anything is printed or saved (the caller does), who decides that it is time to stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnntext.errors import TrainingError
from rnntext.training.engine.device import resident_megabytes
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks, one_line_errors
from rnntext.training.engine.loss_meter import LossMeter
from rnntext.training.engine.objective import Batch, Objective
from rnntext.training.engine.optimizer import Optimizer, OptimizerConfig, copy_of_weights
from rnntext.training.engine.schedule import (
    ESTIMATE_AT,
    EVALUATE_AT,
    MOST_EPOCHS,
    Budget,
    LinearDecay,
    ReduceOnPlateau,
    evaluation_steps,
    fewest_steps,
    flat_steps,
    warmup_factor,
)
from rnntext.training.events import CheckpointDue, Evaluated, Finished, LoopEvent, Step
from rnntext.training.networks.encoder import Network

# A run without a known end is evaluated once an epoch, but not less often than this.
_LONGEST_UNSEEN = 2000  # steps
_REPORT_EVERY = 10  # steps
# Of the time that is left when a timed run fixes its length, the part it plans to use.
_USED = 0.94
# A timed run that comes down looks at its time again after so much of what is left of it. Where it
# would be late it plans to use this part; where there is time for so many more steps, as a part of
# all that were planned, it takes them. In between the plan stands: paces always differ a little.
_LOOK_AGAIN = 0.1
_USED_LATE = 0.97
_WORTH_MORE = 0.1
# How much longer than a sample of it promises the last evaluation may take: it cannot be cut.
_SPARE = 1.3
# Of a timed run's time, the most that measuring the model on all validation data may take.
MAX_EVALUATION_SHARE = 0.3
# An improvement smaller than this, as a share, does not keep a run going.
_LEAST_IMPROVEMENT = 1e-3


@dataclass(frozen=True, slots=True)
class LoopState:
    """All that a loop is between two steps: tensors by name, and plain JSON values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def never() -> bool:
    """Nobody asks."""
    return False


class Loop:
    """One run's loop. `events` trains `model` in place; after its last event the model holds the
    weights of the best evaluation.

    `reserve` is how many seconds before `budget.deadline`, apart from a last evaluation of
    all validation data, the loop must be over; `partial_evaluation`: this evaluation reads a
    part of the validation data.
    `save_due` and `stop_asked` are asked after each step; the answer comes as a `CheckpointDue`, at
    which `state` may be called.
    """

    def __init__(
        self,
        model: Network,
        objective: Objective,
        settings: OptimizerConfig,
        budget: Budget,
        *,
        ranks: Ranks = SINGLE_PROCESS,
        reserve: float = 0.0,
        partial_evaluation: bool = False,
        save_due: Callable[[], bool] = never,
        stop_asked: Callable[[], bool] = never,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model, self.objective, self.settings = model, objective, settings
        self.budget, self.reserve, self.clock = budget, reserve, clock
        self.ranks = ranks
        self.save_due, self.stop_asked = save_due, stop_asked
        self.began = clock()
        self.plans: list[tuple[int, int]] = []
        total = budget.total_steps(objective.steps_per_epoch)
        # Without any budget the run goes on until validation stops improving.
        self.plateau = ReduceOnPlateau() if total is None and budget.deadline is None else None
        self._plan_steps(0, total)
        self.optimizer = Optimizer(model, settings)
        self.learner = self.ranks.wrap_ddp(_Learner(model, objective), _device(model))
        self.step = self.tokens = self.best_step = self.evaluated_step = 0
        self.epoch = self.position = 0  # batches of this epoch that were taken
        self.stepping = self.evaluating = 0.0  # seconds spent in steps and in evaluations
        self.quick_cost = 0.0  # seconds of a quick evaluation
        self.evaluation_cost: float | None = None  # seconds to keep for the last one
        self.partial_evaluation = partial_evaluation  # there is no time for one of everything
        self.looked: tuple[int, float] = (0, 0.0)  # when the plan was looked at: step and time
        self.best: float | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.losses = LossMeter(_device(model))
        self.rate = 0.0
        self.reason = ""

    def events(self) -> Iterator[LoopEvent]:
        """What happens. Raises TrainingError where the loss is not a finite number."""
        self.model.train()
        while not self.reason:
            for batch in self.objective.batches(self.epoch, self.position):
                started = self.clock()
                norm = self._take_step(batch)
                self.stepping += self.clock() - started
                if self.step % _REPORT_EVERY == 0 or self.step == self.total:
                    yield self._step_event(float(norm))
                decided = self._decide()
                if self._evaluation_due():
                    yield self._evaluate()
                self.reason = self._over(decided.out_of_time)
                if decided.save or decided.stop:
                    self._require_numbers()
                    if not self.losses.finite():
                        raise self._diverged()
                    yield CheckpointDue(self.step, decided.stop)
                if decided.stop:
                    return
                if self.reason:
                    break
            else:
                self.epoch, self.position = self.epoch + 1, 0
        if self.evaluated_step != self.step:
            yield self._evaluate()
        if self.budget.deadline is not None and not self.plans:
            self.partial_evaluation = (
                True  # it was over before anybody knew what measuring everything takes
            )
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        yield Finished(
            steps=self.step,
            epochs=self.step / self.objective.steps_per_epoch,
            tokens=self.tokens,
            training_seconds=self.stepping,
            reason=self.reason,
            best_step=self.best_step,
            plans=tuple(self.plans),
            partial_evaluation=self.partial_evaluation,
        )

    def state(self) -> LoopState:
        """What `restore` takes up again. All ranks must call it together. Once the run is over the
        weights are the best ones, because nothing is left to learn."""
        tensors = {
            **{f"model.{name}": tensor for name, tensor in self.model.state_dict().items()},
            **{f"best.{name}": tensor for name, tensor in self.best_weights.items()},
            **{f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()},
            **{f"objective.{name}": tensor for name, tensor in self.objective.state().items()},
        }
        for kind, own in _random_states().items():
            of_ranks = own.new_zeros(self.ranks.size, len(own))
            of_ranks[self.ranks.rank] = own
            tensors[f"random.{kind}"] = self.ranks.all_reduce_sum(of_ranks)
        values = {
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "tokens": self.tokens,
            "plans": [list(plan) for plan in self.plans],
            "best": self.best,
            "best_step": self.best_step,
            "evaluated_step": self.evaluated_step,
            "plateau": None if self.plateau is None else self.plateau.state(),
            "losses": self.losses.state(self.ranks),
            "stepping": self.stepping,
            "evaluating": self.evaluating,
            "costs": [self.quick_cost, self.evaluation_cost],
            "hurried": self.partial_evaluation,
            "reason": self.reason,
            "seconds": self.clock() - self.began,
            "ranks": self.ranks.size,
        }
        return LoopState(tensors, values)

    def restore(self, state: LoopState) -> None:
        """Go on from there, to the bit where the number of ranks is the same. Raises KeyError
        where something is missing."""
        values = state.values
        self.model.load_state_dict(_under("model.", state.tensors))
        self.best_weights = _under("best.", state.tensors)
        self.optimizer.restore(_under("optimizer.", state.tensors))
        self.objective.restore(_under("objective.", state.tensors))
        self.step, self.tokens = values["step"], values["tokens"]
        self.epoch, self.position = values["epoch"], values["position"]
        self.best, self.best_step = values["best"], values["best_step"]
        self.evaluated_step = values["evaluated_step"]
        self.stepping, self.evaluating = values["stepping"], values["evaluating"]
        self.quick_cost, self.evaluation_cost = values["costs"]
        self.partial_evaluation = values["hurried"]
        self.began -= values["seconds"]
        self.looked = (self.step, self.clock() - self.evaluating)
        self.plans = []
        for step, total in values["plans"]:
            self._plan_steps(step, total)
        if self.plateau is not None:
            self.plateau.restore(values["plateau"])
        self.reason = values["reason"]  # it may have been saved after the last step
        self.losses.restore(values["losses"])
        if values["ranks"] == self.ranks.size:
            _restore_random_states(_under("random.", state.tensors), self.ranks.rank)
        else:
            torch.manual_seed(self.step * self.ranks.size + self.ranks.rank)

    @property
    def total(self) -> int | None:
        """How many steps the run takes in all, once that is known."""
        return self.plans[-1][1] if self.plans else None

    def _take_step(self, batch: Batch) -> Tensor:
        self.rate = self.settings.learning_rate * warmup_factor(self.settings.warmup, self.step)
        if self.decay is not None:
            self.rate *= self.decay.share(self.step)
        if self.plateau is not None:
            self.rate *= self.plateau.scale
        with one_line_errors():
            loss, tokens = self.learner(batch)
            loss.backward()
        norm = self.optimizer.step(self.rate, self.step)
        self.step += 1
        self.position += 1
        self.tokens += tokens
        self.losses.add(loss.detach())
        return norm

    # Deciding: the clock of the first rank counts, and whoever asks to stop is heard.

    def _decide(self) -> _Decided:
        plan = over = 0
        if self.ranks.first:
            plan = self._new_plan()
            over = self._out_of_time()
        asked = [int(self.save_due()) if self.ranks.first else 0, int(self.stop_asked())]
        plan, over, save, stop = self.ranks.all_reduce_max([plan, int(over), *asked])
        for after, total in self.budget.plans[1:]:
            if after == self.step:
                plan = total
        if plan:
            self._plan_steps(self.step, plan)
        return _Decided(bool(over), bool(save), bool(stop))

    def _plan_steps(self, step: int, total: int | None) -> None:
        """Plan, after `step`, to take `total` steps in all."""
        if total is not None:
            # The first plan of a timed run is as if it had been known from the start.
            self.plans.append((step if self.plans else 0, total))
        self.decay = LinearDecay.planned(self.plans) if self.plans else None
        self.stops = self._evaluation_steps()

    def _evaluation_steps(self) -> frozenset[int]:
        if self.total is None:
            return frozenset()
        if self.budget.epochs is not None:
            every = self.objective.steps_per_epoch
            return frozenset(range(every, self.total + 1, every))
        return evaluation_steps(self.total, self.objective.quick_steps)

    def _evaluation_due(self) -> bool:
        if self.plateau is None:
            return self.step in self.stops
        every = min(self.objective.steps_per_epoch, _LONGEST_UNSEEN)
        return self.step % every == 0

    def _new_plan(self) -> int:
        """How many steps a timed run should take in all, where that is new, else 0."""
        if self.budget.deadline is None:
            return 0
        return self._first_plan() if self.total is None else self._other_plan()

    def _first_plan(self) -> int:
        """The number of steps is fixed where the flat stretch ends: by then the speed is known
        as well as can be."""
        now = self.clock()
        most = MOST_EPOCHS * self.objective.steps_per_epoch
        early = self.step < 3 or now - self.began < ESTIMATE_AT * (self._deadline - self.began)
        if early and self.step < flat_steps(most):
            return 0
        if self.evaluation_cost is None:
            self._sample_evaluation()
        # Making batches and showing progress count as well. Some stays spare: a busy machine
        # slows down.
        pace = (self.clock() - self.began - self.evaluating) / self.step
        for evaluations in range(len(EVALUATE_AT), 0, -1):
            total = self.step + math.floor(_USED * self._left(evaluations) / pace)
            total = min(total, most)
            # Fewer evaluations leave time for more steps, more steps allow for more evaluations.
            if len(evaluation_steps(total, self.objective.quick_steps)) >= evaluations:
                break
        if self.step < flat_steps(total):
            return 0
        self.looked = (self.step, self.clock() - self.evaluating)
        return max(total, fewest_steps(self.step))

    def _sample_evaluation(self) -> None:
        """See how much time an evaluation will take. The first time is slower than those after."""
        began = self.clock()
        self.objective.evaluate_sample(self.model)
        again = self.clock()
        share = self.objective.evaluate_sample(self.model)
        self.model.train()
        cost = (self.clock() - again) / share
        self.partial_evaluation = (
            self.partial_evaluation
            or _SPARE * cost > MAX_EVALUATION_SHARE * (self._deadline - self.began)
        )
        self._expect_evaluations(cost * self.objective.quick_share)
        self.evaluating += self.clock() - began

    def _expect_evaluations(self, quick_cost: float) -> None:
        """All take as many seconds as this one; the last reads more and must not be late."""
        self.quick_cost = quick_cost
        share = 1.0 if self.partial_evaluation else self.objective.quick_share
        self.evaluation_cost = _SPARE * quick_cost / share

    def _other_plan(self) -> int:
        """Fewer steps, where the machine has become too slow for those that were planned; more,
        where it has become so fast that much of the time would be left over."""
        assert self.total is not None  # noqa: S101
        step, then = self.looked
        taken, left = self.step - step, self.total - self.step
        if taken < max(1, _LOOK_AGAIN * left) or left < 1:
            return 0
        now = self.clock() - self.evaluating
        self.looked = (self.step, now)
        coming = sum(stop > self.step for stop in self.stops)
        pace = max((now - then) / taken, 1e-9)
        fitting = self._left(coming) / pace
        if fitting < left:
            return self.step + max(1, math.floor(_USED_LATE * fitting))
        # Near the end a few steps say little of the speed, and the rate has come down.
        if left < _WORTH_MORE * self.total:
            return 0
        longer = MOST_EPOCHS * self.objective.steps_per_epoch
        # The second time with the evaluations that so many steps bring with them.
        for _ in range(2):
            longer = min(longer, self.step + math.floor(_USED * self._left(coming) / pace))
            stops = evaluation_steps(max(1, longer), self.objective.quick_steps)
            coming = sum(stop > self.step for stop in stops)
        return longer if longer > (1 + _WORTH_MORE) * self.total else 0

    @property
    def _deadline(self) -> float:
        assert self.budget.deadline is not None  # noqa: S101
        return self.budget.deadline

    def _left(self, evaluations: int) -> float:
        """Seconds for steps before the deadline, with so many quick evaluations to come, and
        one of everything."""
        cost = (self.evaluation_cost or 0.0) + evaluations * self.quick_cost
        return self._deadline - self.clock() - self.reserve - cost

    def _out_of_time(self) -> bool:
        # What was learned since the last evaluation is evaluated too.
        return self.budget.deadline is not None and self._left(1) <= 0

    def _over(self, out_of_time: bool) -> str:
        if self.total is not None and self.step >= self.total:
            return "the steps are done"
        if self.plateau is not None and self.plateau.finished:
            return "validation stopped improving"
        return "the time is over" if out_of_time else ""

    # Measuring

    def _evaluate(self) -> Evaluated:
        loss = self._told(self.losses.since_evaluation)
        self.optimizer.swap_average()
        self._require_numbers()
        started = self.clock()
        metrics = self.ranks.broadcast(lambda: self.objective.evaluate(self.model, quick=True))
        self.evaluated_step = self.step
        self._expect_evaluations(self.clock() - started)
        self.evaluating += self.quick_cost
        self.model.train()
        value = float(metrics[self.objective.metric])
        sign = 1.0 if self.objective.higher_is_better else -1.0
        best = self.best is None or sign * value > sign * self.best
        improved = self.best is None or sign * (value - self.best) > _LEAST_IMPROVEMENT * abs(
            self.best
        )
        if best:
            self.best, self.best_step = value, self.step
            self.best_weights = copy_of_weights(self.model)
        self.optimizer.swap_average()
        if self.plateau is not None and self.plateau.update(improved):
            # A smaller rate goes on from the best place seen.
            self.model.load_state_dict(self.best_weights)
        return Evaluated(self.step, self.epoch, loss, metrics, best, self.clock() - self.began)

    def _step_event(self, norm: float) -> Step:
        loss = self._told(self.losses.since_report)
        pace = self.stepping / self.step
        remaining = None
        if self.total is not None:
            remaining = (self.total - self.step) * pace
        elif self.budget.deadline is not None:
            remaining = max(0.0, self.budget.deadline - self.clock())
        return Step(
            step=self.step,
            total_steps=self.total,
            epoch=self.epoch,
            loss=loss,
            learning_rate=self.rate,
            gradient_norm=norm,
            tokens_per_second=self.tokens / self.stepping,
            seconds=self.clock() - self.began,
            memory=resident_megabytes(),
            remaining=remaining,
        )

    def _told(self, mean: Callable[[], float]) -> float:
        loss = self.ranks.all_reduce_mean(mean())
        if not math.isfinite(loss) and self.step:
            raise self._diverged()
        return loss

    def _require_numbers(self) -> None:
        """What is kept or measured must be numbers: a broken state never replaces a good one."""
        if not self.optimizer.finite():
            raise self._diverged()

    def _diverged(self) -> TrainingError:
        return TrainingError(
            f"the loss stopped being a number by step {self.step}, at a learning rate of "
            f"{self.rate:.2g}: train again with a smaller one, such as "
            f"--lr {self.settings.learning_rate / 4:.1g}"
        )


@dataclass(frozen=True, slots=True)
class _Decided:
    out_of_time: bool
    save: bool
    stop: bool


class _Learner(nn.Module):
    """Model and objective as one module from batch to loss: what gradients are averaged for."""

    def __init__(self, model: Network, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        return self._objective.loss(self.model, batch)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _random_states() -> dict[str, Tensor]:
    """Where the generators of random numbers are, dropout's first of all: rows of bytes."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(states: dict[str, Tensor], rank: int) -> None:
    # Copied, for PyTorch takes a row's memory to begin where its tensor's does.
    torch.set_rng_state(states["cpu"][rank].clone())
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][rank].clone())
