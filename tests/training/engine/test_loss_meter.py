"""Mean losses since a report and since an evaluation."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch

from rnntext.training.engine.distributed import SINGLE_PROCESS, Ranks
from rnntext.training.engine.loss_meter import LossMeter

CPU = torch.device("cpu")


def meter(*losses: float) -> LossMeter:
    made = LossMeter(CPU)
    for loss in losses:
        made.add(torch.tensor(loss))
    return made


def test_a_report_is_of_the_steps_since_the_last_one() -> None:
    losses = meter(1.0, 2.0)
    assert losses.since_report() == 1.5
    losses.add(torch.tensor(5.0))
    assert losses.since_report() == 5.0


def test_an_evaluation_is_of_all_steps_since_the_last_one() -> None:
    losses = meter(1.0, 2.0)
    losses.since_report()
    losses.add(torch.tensor(6.0))
    assert losses.since_evaluation() == 3.0
    assert math.isnan(losses.since_evaluation())  # no step since
    losses.add(torch.tensor(7.0))
    losses.since_report()
    losses.add(torch.tensor(8.0))
    losses.since_report()
    losses.add(torch.tensor(12.0))
    assert losses.since_evaluation() == 9.0


def test_an_evaluation_also_begins_a_report() -> None:
    losses = meter(1.0, 2.0)
    losses.since_evaluation()
    losses.add(torch.tensor(5.0))
    assert losses.since_report() == 5.0


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_found_until_the_next_evaluation(bad: float) -> None:
    losses = meter(1.0)
    assert losses.is_finite()
    losses.add(torch.tensor(bad))
    assert not losses.is_finite()
    losses.since_report()
    losses.add(torch.tensor(1.0))
    assert not losses.is_finite()
    losses.since_evaluation()
    assert losses.is_finite()


def test_many_small_losses_are_added_exactly() -> None:
    losses = meter(2.0**24, *[1.0] * 8)  # in float32 the ones would be lost
    assert losses.since_report() == (2.0**24 + 8) / 9


@pytest.mark.parametrize(("kind", "dtype"), [("mps", torch.float32), ("cpu", torch.float64)])
def test_the_number_format_is_one_that_the_device_has(
    kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[torch.dtype] = []
    monkeypatch.setattr(torch, "zeros", lambda *_, dtype, device: made.append(dtype))
    LossMeter(SimpleNamespace(type=kind))  # type: ignore[arg-type]
    assert made == [dtype, dtype]


def test_a_saved_state_goes_on() -> None:
    losses = meter(1.0, 2.0)
    losses.since_report()
    losses.add(torch.tensor(6.0))
    state = json.loads(json.dumps(losses.state(SINGLE_PROCESS)))
    assert state == {"reported": 3.0, "pending": 6.0, "steps": [2, 1]}
    restored = meter(99.0)
    restored.restore(state)
    assert restored.state(SINGLE_PROCESS) == state
    restored.add(torch.tensor(8.0))
    assert restored.since_report() == 7.0
    assert restored.since_evaluation() == 17 / 4


def test_the_state_of_several_processes_is_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "all_reduce_mean", lambda self, value: value / 2)
    assert meter(1.0, 2.0).state(Ranks(0, 2)) == {"reported": 0, "pending": 1.5, "steps": [0, 2]}
