"""What `rnntext.train` and `rnntext.train_events` ask of a run and give of its events; the run
itself is a fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rnntext.api
import rnntext.training.persistence.tensorboard
import rnntext.training.run
from rnntext.api import train, train_events
from rnntext.errors import TrainingError, UsageError
from rnntext.training.events import Event, Finished, Saved, Step, Stopped
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions

STEP = Step(20, 1500, 1, 2.3456, 0.01, 1.0, 12_345.6, 3.0, 99.0, 3725.4)
FINISHED = Finished(30, 3.0, 999, 8.0, 0.5, "it is done", 20, (), False)
SAVED = Saved(Path("out"), "tag", {"accuracy": 0.5}, 30, 20, 3.0, 9.0, 99.0, 100, "it is done")
STOPPED = Stopped(Path("out"), 17)


class Run:
    """A run that yields `events` and notes what it was asked."""

    def __init__(self) -> None:
        self.events: list[Event] = [STEP, FINISHED, SAVED]
        self.asked: list[Any] = []

    def __call__(
        self,
        options: TrainingOptions,
        out: Path,
        execution: ExecutionOptions,
        *,
        stop_asked: Callable[[], bool],
        began: float,
    ) -> Iterator[Event]:
        self.asked.append((options, out, execution, stop_asked()))
        return iter(self.events)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    fake = Run()
    monkeypatch.setattr(rnntext.training.run, "run", fake)
    return fake


def test_what_a_run_is_asked(run: Run) -> None:
    assert train("tag", "a.conllu", "out") == SAVED
    more = {"seed": 3, "cache": False, "resume": True, "tensorboard": None}
    assert train("lm", ["a", Path("b")], Path("out"), stop=lambda: True, **more) == SAVED
    assert run.asked == [
        (TrainingOptions("tag", ("a.conllu",)), Path("out"), ExecutionOptions(), False),
        (
            TrainingOptions("lm", ("a", "b"), seed=3),
            Path("out"),
            ExecutionOptions(cache=False, resume=True),
            True,
        ),
    ]


def test_the_events_of_a_run(run: Run) -> None:
    assert list(train_events("tag", "a.conllu", "out")) == run.events


def test_a_run_that_was_stopped_has_no_result(run: Run) -> None:
    for events in ([STEP, STOPPED], [SAVED, STOPPED], []):
        run.events = events
        with pytest.raises(TrainingError) as error:
            train("tag", "a.conllu", "out")
        message = "the run was stopped: continue it with resume=True, in out"
        assert str(error.value) == message


def test_each_event_is_logged_for_tensorboard_before_it_is_given(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []

    class Logger:
        def __init__(self, directory: Path) -> None:
            logged.append(directory)

        def log(self, event: Event) -> None:
            logged.append(event)

        def close(self) -> None:
            logged.append("closed")

    monkeypatch.setattr(rnntext.training.persistence.tensorboard, "TensorBoardLogger", Logger)
    options: dict[str, Any] = {"tensorboard": "board"}
    for count, event in enumerate(train_events("tag", "a.conllu", "out", **options), 1):
        assert event == run.events[count - 1]
        assert logged == [Path("board"), *run.events[:count]]
    assert logged == [Path("board"), *run.events, "closed"]
    # Also where the caller goes no further.
    logged.clear()
    events = train_events("tag", "a.conllu", "out", **options)
    assert next(events) == STEP
    events.close()  # type: ignore[attr-defined]
    assert logged == [Path("board"), STEP, "closed"]
    logged.clear()
    assert len(list(train_events("tag", "a.conllu", "out"))) == 3
    assert logged == []


def test_what_to_install_is_said_before_a_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UsageError("install PyTorch")

    monkeypatch.setattr(rnntext.api, "require_training", refuse)
    with pytest.raises(UsageError, match="install PyTorch"):
        train("tag", "a.conllu", "out")
    assert run.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tag", "", "out"), "data is empty: name a file"),
        (("tag", "a.conllu", ""), "output is empty: name a directory"),
        (("translate", "a.conllu", "out"), "translate"),
    ],
)
def test_arguments_that_cannot_be(arguments: tuple[str, str, str], message: str, run: Run) -> None:
    with pytest.raises(UsageError, match=message):
        train(*arguments)
    assert run.asked == []
