"""Where a run ends, what it keeps, and that it can be repeated to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnntext.config import FORBIDDEN_SCORE, EncoderConfig, ModelConfig
from rnntext.errors import TrainingError
from rnntext.training.data.examples import TaggedIds, TaggedRows
from rnntext.training.engine.device import Machine
from rnntext.training.engine.loop import Loop
from rnntext.training.engine.optimizer import OptimizerConfig
from rnntext.training.engine.schedule import MAX_EPOCHS, Budget, evaluation_steps
from rnntext.training.events import CheckpointDue, Evaluated, Finished, LoopEvent, Step
from rnntext.training.networks.build import build_network
from rnntext.training.networks.crf import forbid_broken_spans
from rnntext.training.networks.tagger import Tagger
from rnntext.training.tasks.language_model import LanguageModelling
from rnntext.training.tasks.tagger import Tagging

torch.set_num_threads(1)

CPU = Machine(torch.device("cpu"), torch.float32)
SETTINGS = OptimizerConfig(learning_rate=0.02, weight_decay=0.01, clip_norm=1.0, warmup=100)
Scores = Callable[[int], float]


class Clock:
    """Time that passes only where something is done."""

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


# Where it ends


def test_epochs() -> None:
    objective = Toy(steps_per_epoch=4)
    events, _ = run(objective, Budget(epochs=3))
    assert objective.epochs == [0, 1, 2]
    assert [(e.step, e.epoch) for e in of_kind(events, Evaluated)] == [(4, 0), (8, 1), (12, 2)]
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.steps, end.epochs, end.tokens) == (12, 3.0, 180)
    assert end.training_seconds == 12
    assert end.reason == "the steps are done"


def test_steps() -> None:
    objective = Toy(steps_per_epoch=4)
    events, _ = run(objective, Budget(steps=23))
    assert objective.steps == 23
    assert objective.epochs == [0, 1, 2, 3, 4, 5]
    expected = evaluation_steps(23, objective.steps_per_quick_evaluation)
    assert {e.step for e in of_kind(events, Evaluated)} == expected
    steps = of_kind(events, Step)
    assert [(s.step, s.total_steps, s.remaining) for s in steps] == [
        (10, 23, 13.0),
        (20, 23, 3.0),
        (23, 23, 0.0),
    ]
    assert [s.tokens_per_second for s in steps] == [15.0, 15.0, 15.0]
    assert events[-1].reason == "the steps are done"


def test_one_step() -> None:
    events, _ = run(Toy(), Budget(steps=1))
    assert [type(event) for event in events] == [Step, Evaluated, Finished]
    assert math.isfinite(events[0].loss)


@pytest.mark.parametrize(
    ("seconds", "reserve", "cost", "share"),
    [(100, 0, 2.0, 0.25), (300, 40, 2.0, 0.25), (600, 10, 60.0, 0.5)],
)
def test_a_deadline_is_kept_and_used(
    seconds: float, reserve: float, cost: float, share: float
) -> None:
    objective = Toy(cost=cost, share=share, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + seconds), reserve=reserve)
    took = objective.clock.now - began
    left_for_steps = seconds - reserve - objective.cost
    assert took <= left_for_steps
    assert took > 0.85 * left_for_steps
    end = events[-1]
    assert end.reason == "the steps are done"
    # It was evaluated as often as a run of so many steps, at last at its end.
    evaluated = [e.step for e in of_kind(events, Evaluated)]
    assert set(evaluated) == evaluation_steps(end.steps, objective.steps_per_quick_evaluation)
    assert evaluated[-1] == end.steps
    assert of_kind(events, Step)[-1].total_steps == end.steps


def test_a_long_time_over_a_small_text_ends_after_so_many_passes() -> None:
    objective = Toy(steps_per_epoch=5)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 10_000))
    assert (events[-1].steps, events[-1].reason) == (5 * MAX_EPOCHS, "the steps are done")


class Changing(Toy):
    """A machine on which steps take another time from the hundredth on."""

    factor = 1.0

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        if self.steps == 100:
            self.pace *= self.factor
        return super().loss(model, batch)


class Slowing(Changing):
    factor = 5.0


class Quickening(Changing):
    factor = 0.4


class Wavering(Changing):
    factor = 1.06


class Relieved(Toy):
    """A machine that was busy until the first evaluation."""

    def evaluate(self, model: nn.Module, *, quick: bool = False) -> dict[str, Any]:
        self.cost = 6.0
        return super().evaluate(model, quick=quick)


@pytest.mark.parametrize(("kind", "least"), [(Slowing, 200), (Quickening, 0.85 * 250)])
def test_a_machine_that_changes_keeps_the_deadline_and_comes_down_all_the_same(
    kind: type[Changing], least: float
) -> None:
    objective = kind(steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 250), reserve=10)
    took = objective.clock.now - began
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.reason == "the steps are done"
    assert len(end.plans) > 1
    assert end.plans[0][0] == 0
    assert took <= 250 - 10 - objective.cost
    assert took > least
    rates = [step.learning_rate for step in of_kind(events, Step)]
    assert rates[-1] < 0.1 * max(rates)
    highest = rates.index(max(rates))
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    evaluated = [e.step for e in of_kind(events, Evaluated)]
    assert evaluated[-1] == end.steps == end.plans[-1][1]
    if kind is Quickening:
        totals = [total for _, total in end.plans]
        assert totals == sorted(totals)
        assert len(totals) <= 4


def test_steps_are_not_added_for_little_time() -> None:
    objective = Toy(steps_per_epoch=50)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 250), reserve=10)
    assert len(events[-1].plans) == 1


def test_a_pace_that_differs_a_little_changes_no_plan() -> None:
    objective = Wavering(cost=0.1, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 250), reserve=10)
    assert len(events[-1].plans) == 1
    assert objective.clock.now - began <= 250 - 10 - objective.cost


def test_an_evaluation_that_takes_less_than_was_expected_leaves_time_for_steps() -> None:
    objective = Relieved(cost=60.0, share=0.1, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 300))
    took = objective.clock.now - began
    assert len(events[-1].plans) == 2
    assert 0.85 * 300 < took < 300 - objective.cost


def test_time_that_a_small_text_has_no_use_for_adds_no_steps() -> None:
    objective = Quickening(steps_per_epoch=5)
    events, _ = run(objective, Budget(deadline=objective.clock.now + 250), reserve=10)
    assert events[-1].steps == 5 * MAX_EPOCHS


@pytest.mark.parametrize("kind", [Slowing, Quickening])
def test_a_run_that_planned_anew_is_repeated_to_the_byte_by_its_plans(kind: type[Changing]) -> None:
    slow, fast = kind(steps_per_epoch=50), Toy(steps_per_epoch=50, pace=0.1)
    events, one = run(slow, Budget(deadline=slow.clock.now + 250))
    end = events[-1]
    assert isinstance(end, Finished)
    assert len(end.plans) > 1
    again, two = run(fast, Budget(steps=end.steps, plans=end.plans))
    assert again[-1].steps == end.steps
    assert same_bytes(one, two)
    _, other = run(Toy(steps_per_epoch=50), Budget(steps=end.steps))
    assert not same_bytes(one, other)


def test_a_deadline_that_has_passed_still_gives_an_evaluated_model() -> None:
    objective = Toy()
    events, model = run(objective, Budget(deadline=objective.clock.now - 1))
    assert (objective.steps, events[-1].steps) == (1, 1)
    assert len(of_kind(events, Evaluated)) == 1
    assert events[-1].reason == "the time is over"
    # What measuring everything would take is not known, and there is no time for it.
    assert isinstance(events[-1], Finished)
    assert events[-1].partial_evaluation
    assert torch.equal(model.state_dict()["0.weight"], objective.seen[0]["0.weight"])


def test_a_plateau() -> None:
    """One best, then patience of one, three cuts, and the end: nine evaluations, and between
    them the rate falls by 0.3 each time."""
    objective = Toy(lambda n: 1.0 + n, steps_per_epoch=10)
    events, model = run(objective, Budget())
    assert [e.best for e in of_kind(events, Evaluated)] == [True] + [False] * 8
    rates = [s.learning_rate / min(1, s.step / 100) for s in of_kind(events, Step)]
    powers = [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert rates == pytest.approx([0.02 * 0.3**power for power in powers])
    assert events[-1].reason == "validation stopped improving"
    assert events[-1].steps == 90
    assert events[-1].best_step == 10
    assert torch.equal(model.state_dict()["0.weight"], objective.seen[0]["0.weight"])
    # After a cut it went on from the best place: one epoch on, it is near it again.
    best = objective.seen[0]["0.weight"]
    before_cut = (objective.seen[2]["0.weight"] - best).norm()
    after_cut = (objective.seen[3]["0.weight"] - best).norm()
    assert after_cut < before_cut / 2


@pytest.mark.parametrize("budget", [Budget(steps=20), Budget(epochs=3), Budget()])
def test_a_run_that_was_saved_after_its_last_step_takes_no_more(budget: Budget) -> None:
    objective, again = Toy(lambda n: 1.0 + n), Toy()
    model, model_again = toy_model(), toy_model(1)
    loop = Loop(model, objective, SETTINGS, budget, save_due=lambda: True, clock=objective.clock)
    for event in loop.events():
        if isinstance(event, CheckpointDue):
            state = loop.state()
    resumed = Loop(model_again, again, SETTINGS, budget, clock=again.clock)
    resumed.restore(state)
    (end,) = islice(resumed.events(), 5)
    assert end == event
    assert again.steps == 0
    assert same_bytes(model, model_again)


def test_a_plateau_goes_on_while_it_improves() -> None:
    # Twenty times better by a hundredth, then by too little to count.
    objective = Toy(lambda n: 0.99 ** min(n, 20) - n * 1e-7, steps_per_epoch=2)
    events, _ = run(objective, Budget())
    evaluated = of_kind(events, Evaluated)
    assert len(evaluated) == 21 + 8
    assert all(e.best for e in evaluated)  # each was the best, if only just
    assert events[-1].best_step == events[-1].steps


def test_a_long_epoch_is_evaluated_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnntext.training.engine.schedule._MAX_STEPS_BETWEEN_EVALUATIONS", 6)
    events, _ = run(Toy(lambda n: 1.0, steps_per_epoch=25), Budget())
    assert [e.step for e in of_kind(events, Evaluated)][:4] == [6, 12, 18, 24]


# What it keeps


@pytest.mark.parametrize("higher", [False, True])
def test_the_best_weights_come_back(higher: bool) -> None:
    scores = [3.0, 1.0, 5.0, 2.0, 4.0]
    best = scores.index(max(scores) if higher else min(scores))
    objective = Toy(lambda n: scores[n], higher_is_better=higher)
    events, model = run(objective, Budget(epochs=5))
    assert events[-1].best_step == 4 * (best + 1)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, objective.seen[best][name])
        assert not torch.equal(tensor, objective.seen[-1][name])
    assert [e.metrics for e in of_kind(events, Evaluated)] == [
        {"score": score, "other": 7} for score in scores
    ]


@pytest.mark.parametrize("ema_decay", [0.5, 0.97])
def test_the_average_is_what_is_measured_and_kept(ema_decay: float) -> None:
    """And it moves nothing: the steps are those of a run without it."""
    scores = [3.0, 2.0, 1.0, 4.0]
    plain, averaged = (Toy(lambda n: scores[n], steps_per_epoch=9) for _ in range(2))
    run(plain, Budget(epochs=4))
    _, model = run(averaged, Budget(epochs=4), settings=replace(SETTINGS, ema_decay=ema_decay))
    assert len(averaged.stepped_from) == 36
    for one, two in zip(plain.stepped_from, averaged.stepped_from, strict=True):
        assert torch.equal(one, two)
    average = averaged.stepped_from[0].double()
    for step, weight in enumerate(averaged.stepped_from[1:], 1):  # after 1, 2 ... 35 steps
        keep = min(ema_decay, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * weight.double()
        if step % 9 == 0:
            found = averaged.seen[step // 9 - 1]["0.weight"]
            torch.testing.assert_close(found.double(), average, rtol=1e-5, atol=1e-6)
            assert not torch.equal(found, plain.seen[step // 9 - 1]["0.weight"])
    assert torch.equal(model.state_dict()["0.weight"], averaged.seen[2]["0.weight"])


def test_the_losses_told_are_means() -> None:
    class Known(Toy):
        def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
            loss, tokens = super().loss(model, batch)
            return loss * 0 + self.steps, tokens

    events, _ = run(Known(steps_per_epoch=15), Budget(epochs=2))
    assert [(s.step, s.loss) for s in of_kind(events, Step)] == [
        (10, 5.5),  # steps 1 to 10
        (20, 18.0),  # 16 to 20: what came before was told with the evaluation
        (30, 25.5),
    ]
    assert [(e.step, e.loss) for e in of_kind(events, Evaluated)] == [(15, 8.0), (30, 23.0)]


def test_the_norm_told_is_that_before_clipping() -> None:
    class Steep(Toy):
        def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
            loss, tokens = super().loss(model, batch)
            return loss * 1e6, tokens

    (step,) = of_kind(run(Steep(), Budget(steps=1))[0], Step)
    assert step.gradient_norm > 1e4


@pytest.mark.parametrize(("bad", "told"), [(3, 10), (14, 16)])
def test_a_loss_that_is_no_number(bad: int, told: int) -> None:
    """Step and rate are named, at the first report after it: of steps or of an evaluation."""
    objective = Toy(steps_per_epoch=16)
    objective.bad_step = bad
    rate = 0.02 * told / 100
    message = f"stopped being a number by step {told}, at a learning rate of {rate:.2g}.*--lr "
    with pytest.raises(TrainingError, match=message):
        run(objective, Budget())


def test_matrices_decay_and_nothing_else() -> None:
    """With a gradient of zero only the decay is left."""
    labels = ["B-x", "I-x", "O"]
    config = ModelConfig(
        "tag", EncoderConfig("gru", 9, 4, 5, 1, True), tuple(labels), max_length=99
    )
    torch.manual_seed(0)
    model = build_network(config)
    assert isinstance(model, Tagger)
    forbid_broken_spans(model.head.crf, labels)

    class Still(Toy):
        def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
            self.clock.now += 1
            return torch.stack([p.sum() for p in model.parameters()]).sum() * 0, 1

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "crf" not in name:
                parameter.normal_()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    run(Still(), Budget(steps=20), model)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and "crf" not in name:
            assert float(parameter.detach().norm()) < float(before[name].norm())
        else:
            assert torch.equal(parameter, before[name]), name


# That it can be repeated


def language_run(budget: Budget, seed: int = 3) -> Any:
    rng = np.random.default_rng(0)
    stream, valid = rng.integers(1, 17, size=900), rng.integers(1, 17, size=60)
    objective = LanguageModelling(
        stream,
        [valid],
        counts=np.bincount(stream, minlength=17),
        batch_size=6,
        bptt=11,
        eos_id=0,
        unk_id=None,
        valid_bytes=None,
        seed=seed,
        machine=CPU,
    )
    torch.manual_seed(seed)
    model = build_network(ModelConfig("lm", EncoderConfig("lstm", 17, 5, 7, 2, False)), 0.3)
    list(Loop(model, objective, SETTINGS, budget).events())
    return model


def test_the_same_seed_gives_the_same_bytes() -> None:
    one = language_run(Budget(epochs=3))
    assert same_bytes(one, language_run(Budget(epochs=3)))
    assert not same_bytes(one, language_run(Budget(epochs=3), seed=4))


def timed_and_repeated(
    seconds: float, settings: OptimizerConfig = SETTINGS, **options: float
) -> tuple[Finished, Any, Any]:
    timed = Toy(lambda n: 1.0 / (n + 1), steps_per_epoch=37, **options)
    torch.manual_seed(1)
    events, one = run(timed, Budget(deadline=timed.clock.now + seconds), toy_model(1), 0, settings)
    end = events[-1]
    assert isinstance(end, Finished)
    repeated = Toy(lambda n: 1.0 / (n + 1), steps_per_epoch=37, pace=0.3)
    again, two = run(repeated, Budget(steps=end.steps), toy_model(1), 0, settings)
    assert again[-1].steps == end.steps
    return end, one, two


@pytest.mark.parametrize("ema_decay", [0.0, 0.99])
@pytest.mark.parametrize("seconds", [60, 400])
def test_a_timed_run_is_repeated_to_the_byte_by_its_steps(seconds: float, ema_decay: float) -> None:
    settings = replace(SETTINGS, ema_decay=ema_decay, warmup=30)
    end, one, two = timed_and_repeated(seconds, settings, pace=0.9)
    assert end.reason == "the steps are done"
    assert end.steps > seconds / 2
    assert same_bytes(one, two)


def test_a_timed_run_with_hardly_any_time_is_repeated_to_the_byte() -> None:
    """Evaluating takes much of the time, so the run ends soon after its speed is known."""
    end, one, two = timed_and_repeated(200, pace=0.25, cost=18.0)
    assert end.reason == "the steps are done"
    assert end.steps >= 100
    assert same_bytes(one, two)


@pytest.mark.parametrize(("seconds", "evaluations"), [(200, 1), (900, 2)])
def test_where_evaluating_takes_long_there_is_less_of_it(seconds: int, evaluations: int) -> None:
    objective = Toy(cost=27.0, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + seconds))
    left = began + seconds - objective.cost - objective.clock.now
    assert 0 <= left < 0.2 * seconds
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.reason, len(end.plans), end.partial_evaluation) == ("the steps are done", 1, False)
    assert len(of_kind(events, Evaluated)) == evaluations


def test_where_all_validation_data_would_take_too_long_time_is_kept_for_a_part_of_them() -> None:
    objective = Toy(cost=2000.0, share=0.01, steps_per_epoch=50)
    began = objective.clock.now
    events, _ = run(objective, Budget(deadline=began + 1000))
    # Two samples of a tenth of it, and a last evaluation that is a quick one.
    took = objective.clock.now - began
    assert took - events[-1].steps - 20 * len(of_kind(events, Evaluated)) == pytest.approx(400)
    assert 900 < took < 1000 - 20
    assert events[-1].partial_evaluation


def test_a_tagger_in_training_keeps_broken_spans_out() -> None:
    labels = ["B-x", "I-x", "O"]
    rng = np.random.default_rng(0)
    sentences = []
    for size in (3, 5, 2, 4, 6, 3):
        ids = rng.integers(9, size=size)
        tags = np.where(ids > 5, 0, 2)
        words = np.arange(size)
        sentences.append(TaggedIds(ids, words, words, tags))
    objective = Tagging(
        TaggedRows.of(sentences),
        sentences,
        labels=labels,
        max_length=99,
        batch_size=2,
        seed=0,
        machine=CPU,
    )
    torch.manual_seed(0)
    config = ModelConfig(
        "tag", EncoderConfig("gru", 9, 4, 5, 1, True), tuple(labels), max_length=99
    )
    model = build_network(config)
    assert isinstance(model, Tagger)
    forbid_broken_spans(model.head.crf, labels)
    events = list(Loop(model, objective, SETTINGS, Budget(steps=150)).events())
    assert float(model.head.crf.start.detach()[1]) == pytest.approx(FORBIDDEN_SCORE, rel=1e-3)
    assert float(model.head.crf.transitions.detach()[2, 1]) == pytest.approx(
        FORBIDDEN_SCORE, rel=1e-3
    )
    evaluated = of_kind(events, Evaluated)
    assert evaluated[-1].metrics["f1"] == 1.0
    assert evaluated[-1].loss < evaluated[0].loss / 3
