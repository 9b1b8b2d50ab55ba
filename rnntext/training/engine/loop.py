"""The training loop, a generator of events.

Knows: the order of steps, evaluations and saving, when a run ends, and all the state from which a
run resumes to the bit. Does not know: what is learned (the objective), how long a run lasts
(`StepPlan` and `TimePlan`), or where anything is printed or saved (the caller).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rnntext.errors import TrainingError
from rnntext.training.engine.best_model import BestModel
from rnntext.training.engine.device import resident_megabytes
from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks, explain_lost_process
from rnntext.training.engine.loop_state import (
    BEST_WEIGHTS,
    LoopState,
    prefixed,
    random_states,
    restore_random_states,
)
from rnntext.training.engine.loss_meter import LossMeter
from rnntext.training.engine.objective import Batch, Objective
from rnntext.training.engine.optimizer import Optimizer, OptimizerConfig
from rnntext.training.engine.schedule import (
    Budget,
    ReduceOnPlateau,
    Stagnation,
    StepPlan,
    warmup_factor,
)
from rnntext.training.engine.time_plan import TimePlan
from rnntext.training.events import CheckpointDue, Evaluated, Finished, LoopEvent, Step

_REPORT_EVERY = 10  # steps


def always_false() -> bool:
    """Return False: the default of the callbacks that are polled after each step."""
    return False


class Loop:
    """The loop of one run. `events` trains `model` in place; after the last event the model holds
    the weights of the best evaluation.

    The loop ends `reserve` seconds before `budget.deadline`, and earlier by the seconds that a
    last evaluation needs, which reads only a part of the validation data if `partial_evaluation`.
    `save_due` and `stop_asked` are polled after each step. If one returns True, the loop yields a
    `CheckpointDue`, at which `state` may be called.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: OptimizerConfig,
        budget: Budget,
        *,
        ranks: Ranks = SINGLE_PROCESS,
        reserve: float = 0.0,
        partial_evaluation: bool = False,
        save_due: Callable[[], bool] = always_false,
        stop_asked: Callable[[], bool] = always_false,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ranks, self.step = ranks, 0
        self._model, self._objective, self._settings = model, objective, settings
        self._save_due, self._stop_asked, self._clock = save_due, stop_asked, clock
        self._plan = StepPlan(
            budget, objective.steps_per_epoch, objective.steps_per_quick_evaluation
        )
        self._time = TimePlan(
            self._plan,
            objective,
            model,
            deadline=budget.deadline,
            reserve=reserve,
            partial_evaluation=partial_evaluation,
            clock=clock,
        )
        self._plateau = ReduceOnPlateau() if self._plan.ends_on_plateau else None
        self._stagnation = Stagnation(higher_is_better=objective.higher_is_better)
        self._optimizer = Optimizer(model, settings)
        self._loss_module = ranks.wrap_ddp(_LossModule(model, objective), _device(model))
        self._losses = LossMeter(_device(model))
        self._best = BestModel(higher_is_better=objective.higher_is_better)
        self._tokens = self._evaluated_step = 0
        self._epoch = self._position = 0  # the position counts the batches taken in this epoch
        self._step_seconds = 0.0  # spent in steps alone
        self._rate = 0.0
        self._reason = ""

    def events(self) -> Iterator[LoopEvent]:
        """Train and yield events. Raises TrainingError if the loss or a weight is not a finite
        number."""
        self._model.train()
        while not self._reason:
            for batch in self._objective.batches(self._epoch, self._position):
                started = self._clock()
                norm = self._take_step(batch)
                self._step_seconds += self._clock() - started
                self._time.record_step()
                if self.step % _REPORT_EVERY == 0 or self.step == self._plan.total:
                    yield self._step_event(float(norm))
                decision = self._decide()
                if self._plan.is_evaluated_after(self.step):
                    yield self._evaluate()
                self._reason = self._reason_to_end(decision.out_of_time)
                if not self._reason and self._plan.is_probed_after(self.step):
                    yield self._probe()
                if decision.save or decision.stop:
                    self._check_finite()
                    yield CheckpointDue(self.step, decision.stop)
                if decision.stop:
                    return
                if self._reason:
                    break
            else:
                self._epoch, self._position = self._epoch + 1, 0
        if self._evaluated_step != self.step:
            yield self._evaluate()
        partial_evaluation = self._time.settle_partial_evaluation()
        self._model.load_state_dict(self._best.weights)
        self._model.eval()
        yield Finished(
            steps=self.step,
            epochs=self.step / self._objective.steps_per_epoch,
            tokens=self._tokens,
            training_seconds=self._step_seconds,
            evaluation_seconds=self._time.evaluation_seconds,
            reason=self._reason,
            best_step=self._best.step,
            plans=tuple(self._plan.plans),
            partial_evaluation=partial_evaluation,
        )

    def state(self) -> LoopState:
        """Return the state that `restore` takes. All ranks must call it together. After the last
        event the model's weights in it are those of the best evaluation."""
        tensors = {
            **prefixed("model.", self._model.state_dict()),
            **prefixed(BEST_WEIGHTS, self._best.weights),
            **prefixed("optimizer.", self._optimizer.state()),
            **prefixed("objective.", self._objective.state()),
            **prefixed("random.", random_states(self.ranks)),
        }
        values = {
            "step": self.step,
            "epoch": self._epoch,
            "position": self._position,
            "tokens": self._tokens,
            "plans": [list(plan) for plan in self._plan.plans],
            **self._best.state(),
            "evaluated_step": self._evaluated_step,
            "plateau": None if self._plateau is None else self._plateau.state(),
            "stagnation": self._stagnation.state(),
            "losses": self._losses.state(self.ranks),
            "stepping": self._step_seconds,
            **self._time.state(),
            "reason": self._reason,
            "ranks": self.ranks.size,
        }
        return LoopState(tensors, values)

    def restore(self, state: LoopState) -> None:
        """Continue from a saved state, to the bit if the number of ranks is the same. Raises
        KeyError if something is missing."""
        values = state.values
        self._model.load_state_dict(state.tensors_of("model."))
        self._optimizer.restore(state.tensors_of("optimizer."))
        self._objective.restore(state.tensors_of("objective."))
        self.step, self._tokens = values["step"], values["tokens"]
        self._epoch, self._position = values["epoch"], values["position"]
        self._plan.restore(values["plans"])
        self._best.restore(values, state.tensors_of(BEST_WEIGHTS))
        self._evaluated_step = values["evaluated_step"]
        if self._plateau is not None:
            self._plateau.restore(values["plateau"])
        self._stagnation.restore(values["stagnation"])
        self._losses.restore(values["losses"])
        self._step_seconds = values["stepping"]
        self._time.restore(values, self.step)
        self._reason = values["reason"]  # not empty if it was saved after the last step
        if values["ranks"] == self.ranks.size:
            restore_random_states(state.tensors_of("random."), self.ranks.rank)
        else:
            torch.manual_seed(self.step * self.ranks.size + self.ranks.rank)

    def _take_step(self, batch: Batch) -> Tensor:
        """Update the weights; return the norm of the gradient before clipping."""
        self._rate = self._settings.learning_rate * warmup_factor(self._settings.warmup, self.step)
        self._rate *= self._plan.decay_factor(self.step)
        if self._plateau is not None:
            self._rate *= self._plateau.scale
        with explain_lost_process():
            loss, tokens = self._loss_module(batch)
            loss.backward()
        norm = self._optimizer.step(self._rate, self.step)
        self.step += 1
        self._position += 1
        self._tokens += tokens
        self._losses.add(loss.detach())
        return norm

    def _decide(self) -> _Decision:
        """Return what all ranks do after this step. Only the main rank looks at the time and asks
        `save_due`; any rank may be asked to stop."""
        total = out_of_time = save = 0
        if self.ranks.is_main:
            total = self._time.new_total(self.step, stagnant=self._stagnation.reached)
            out_of_time = int(self._time.is_out_of_time())
            save = int(self._save_due())
        total, out_of_time, save, stop = self.ranks.all_reduce_max(
            [total, out_of_time, save, int(self._stop_asked())]
        )
        total = self._plan.replayed_total(self.step) or total
        if total:
            self._plan.add(self.step, total)
        return _Decision(bool(out_of_time), bool(save), bool(stop))

    def _reason_to_end(self, out_of_time: bool) -> str:
        if self._plan.is_complete(self.step):
            return "the steps are done"
        if self._plateau is not None and self._plateau.finished:
            return "validation stopped improving"
        return "the time is over" if out_of_time else ""

    def _evaluate(self) -> Evaluated:
        return self._keep_if_best(self._measure(self._time.record_evaluation))

    def _probe(self) -> Evaluated:
        """Evaluate only to see whether validation still improves."""
        found = self._measure(self._time.record_probe)
        self._stagnation.update(float(found.metrics[self._objective.metric]))
        return found

    def _measure(self, record_seconds: Callable[[float], None]) -> Evaluated:
        """Evaluate the averaged weights."""
        loss = self._mean_loss(self._losses.since_evaluation)
        self._optimizer.swap_average()
        self._check_finite()
        started = self._clock()
        metrics = self.ranks.broadcast(lambda: self._objective.evaluate(self._model, quick=True))
        record_seconds(self._clock() - started)
        self._model.train()
        self._optimizer.swap_average()
        return Evaluated(self.step, self._epoch, loss, metrics, False, self._time.elapsed())

    def _keep_if_best(self, found: Evaluated) -> Evaluated:
        """Keep the averaged weights if the metrics that were found of them are the best."""
        value = float(found.metrics[self._objective.metric])
        self._evaluated_step = self.step
        improved = self._best.ends_plateau(value)
        self._optimizer.swap_average()
        is_best = self._best.update(value, self.step, self._model)
        self._optimizer.swap_average()
        if self._plateau is not None and self._plateau.update(improved):
            # The smaller rate continues from the best weights.
            self._model.load_state_dict(self._best.weights)
        return replace(found, best=is_best)

    def _step_event(self, norm: float) -> Step:
        loss = self._mean_loss(self._losses.since_report)
        return Step(
            step=self.step,
            total_steps=self._plan.total,
            epoch=self._epoch,
            loss=loss,
            learning_rate=self._rate,
            gradient_norm=norm,
            tokens_per_second=self._tokens / self._step_seconds,
            seconds=self._time.elapsed(),
            memory=resident_megabytes(),
            remaining=self._time.time_left(self.step),
        )

    def _mean_loss(self, mean: Callable[[], float]) -> float:
        """Return `mean` averaged over the ranks. Raises TrainingError if it is not finite."""
        loss = self.ranks.all_reduce_mean(mean())
        # Before the first step there is no loss to average.
        if not math.isfinite(loss) and self.step:
            raise self._divergence()
        return loss

    def _check_finite(self) -> None:
        """Raise TrainingError if a weight or a loss is not finite: a diverged model is neither
        evaluated nor saved over a good one."""
        if not (self._optimizer.is_finite() and self._losses.is_finite()):
            raise self._divergence()

    def _divergence(self) -> TrainingError:
        what = "the loss stopped being a number"
        if not self._optimizer.is_finite():
            what = "the weights became infinite or NaN"
        return TrainingError(
            f"{what} by step {self.step}, at a learning rate of {self._rate:.2g}: train again "
            f"with a smaller one, such as --lr {self._settings.learning_rate / 4:.1g}"
        )


@dataclass(frozen=True, slots=True)
class _Decision:
    out_of_time: bool
    save: bool
    stop: bool


class _LossModule(nn.Module):
    """Model and objective as one module from a batch to its loss, for DistributedDataParallel."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch) -> tuple[Tensor, int]:
        return self._objective.loss(self.model, batch)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
