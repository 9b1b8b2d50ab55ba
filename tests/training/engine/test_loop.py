"""When a run ends, which weights it keeps, and that it is repeated to the bit."""

from __future__ import annotations

import math
import re
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
from rnntext.training.engine.loop import Loop
from rnntext.training.engine.schedule import Budget, evaluation_steps
from rnntext.training.events import CheckpointDue, Evaluated, Finished, LoopEvent, Step
from rnntext.training.networks.build import build_network
from rnntext.training.networks.crf import forbid_broken_spans
from rnntext.training.networks.tagger import Tagger
from rnntext.training.tasks.language_model import LanguageModelling
from rnntext.training.tasks.tagging import Tagging
from tests.training.engine.toy import SETTINGS, Toy, of_kind, run, same_bytes, toy_model
from tests.training.models import CPU

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
        (10, 23, None),
        # Three steps, an evaluation after them and one after the loop, each as long as 2/3 steps.
        (20, 23, pytest.approx(3 + 4 / 3)),
        (23, 23, pytest.approx(4 / 3)),
    ]
    assert [s.tokens_per_second for s in steps] == [15.0, 15.0, 15.0]
    assert events[-1].reason == "the steps are done"


def test_one_step() -> None:
    events, _ = run(Toy(), Budget(steps=1))
    assert [type(event) for event in events] == [Step, Evaluated, Finished]
    assert math.isfinite(events[0].loss)


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
    message = f"infinite or NaN by step {told}, at a learning rate of {rate:.2g}.*--lr "
    with pytest.raises(TrainingError, match=message):
        run(objective, Budget())


class BadLoss(Toy):
    """The loss of one step is infinite; its gradient is finite."""

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        loss, tokens = super().loss(model, batch)
        return (loss + math.inf if self.steps == 5 else loss), tokens


class BadGradient(Toy):
    """The gradient of one step is NaN; its loss is finite."""

    def loss(self, model: nn.Module, batch: Tensor) -> tuple[Tensor, int]:
        loss, tokens = super().loss(model, batch)
        if self.steps == 5:
            loss = loss + (next(model.parameters()) * 0).sqrt().sum()
        return loss, tokens


DIVERGED = [
    (BadLoss, "the loss stopped being a number by step 5, at a learning rate of 0.001"),
    (BadGradient, "the weights became infinite or NaN by step 5, at a learning rate of 0.001"),
]
ADVICE = re.escape(": train again with a smaller one, such as --lr 0.005")


@pytest.mark.parametrize(("kind", "message"), DIVERGED)
def test_a_diverged_model_is_not_evaluated(kind: type[Toy], message: str) -> None:
    objective = kind(steps_per_epoch=5)
    with pytest.raises(TrainingError, match=message + ADVICE):
        run(objective, Budget(epochs=2))
    assert objective.evaluations == 0


@pytest.mark.parametrize(("kind", "message"), DIVERGED)
def test_a_diverged_model_is_not_saved(kind: type[Toy], message: str) -> None:
    due: list[LoopEvent] = []
    objective = kind(steps_per_epoch=50)
    loop = Loop(toy_model(), objective, SETTINGS, Budget(epochs=1), save_due=lambda: True)
    with pytest.raises(TrainingError, match=message + ADVICE):
        due.extend(loop.events())
    assert due == [CheckpointDue(step, stop=False) for step in (1, 2, 3, 4)]


def test_a_diverged_loss_is_not_reported() -> None:
    objective = BadLoss(steps_per_epoch=50)
    loop = Loop(toy_model(), objective, SETTINGS, Budget(epochs=1), clock=objective.clock)
    with pytest.raises(TrainingError, match=r"stopped being a number by step 10, .* of 0\.002:"):
        next(loop.events())


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
        dropout_warmup_epochs=0,
    )
    torch.manual_seed(seed)
    model = build_network(ModelConfig("lm", EncoderConfig("lstm", 17, 5, 7, 2, False)), 0.3)
    list(Loop(model, objective, SETTINGS, budget).events())
    return model


def test_the_same_seed_gives_the_same_bytes() -> None:
    one = language_run(Budget(epochs=3))
    assert same_bytes(one, language_run(Budget(epochs=3)))
    assert not same_bytes(one, language_run(Budget(epochs=3), seed=4))


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
