"""What `train` makes of the events of a run and of signals; the run itself is a fake."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

import rnntext.claim
import rnntext.cli.progress
import rnntext.cli.train
import rnntext.training.persistence.tensorboard
import rnntext.training.run
from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.training.events import Event, NgramsLearned
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.cli.run_events import FINISHED, OPTIONS, PREPARED, READY, SAVED, STEP, STOPPED, TIMED

NGRAMS = NgramsLearned(9, {"accuracy": 0.5}, 2.5)


class EndedError(Exception):
    """Stands for the usual effect of a signal."""


@dataclass
class Run:
    """A run that yields `events`; an event that is a function is called in its place."""

    events: list[Event | Callable[[], None]] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def run(self, *arguments: Any, stop_asked: Callable[[], bool], began: float) -> Iterator[Event]:
        self.asked.append(("run", *arguments, began))
        self.stop_asked = stop_asked
        return self._events()

    def dry_run(self, *arguments: Any, **more: Any) -> Iterator[Event]:
        self.asked.append(("dry run", *arguments, more))
        return self._events()

    def _events(self) -> Iterator[Event]:
        for event in self.events:
            if callable(event):
                event()
            else:
                yield event


class Shown:
    """A display that keeps what it is given."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.open = False

    def __call__(self, **settings: Any) -> Self:
        self.made.append(settings)
        return self

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def show(self, event: Event) -> None:
        assert self.open
        self.events.append(event)

    def print_line(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Run:
    found = Run()
    monkeypatch.setattr(rnntext.training.run, "run", found.run)
    monkeypatch.setattr(rnntext.training.run, "dry_run", found.dry_run)
    return found


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    monkeypatch.setattr(rnntext.cli.progress, "Progress", found)
    return found


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals have the effect to raise EndedError."""

    def end(number: int, frame: object) -> None:
        raise EndedError

    before = {n: signal.signal(n, end) for n in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def train(
    options: TrainingOptions,
    out: Path | None,
    execution: ExecutionOptions | None = None,
    *,
    quiet: bool = False,
    **more: Any,
) -> Any:
    execution = execution or ExecutionOptions()
    return rnntext.cli.train.train(options, out, execution, quiet=quiet, **more)


def send(number: int) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


# The events of a run


def test_a_run_is_shown_and_its_ends_are_returned(fake: Run, shown: Shown, tmp_path: Path) -> None:
    fake.events = [PREPARED, STEP, FINISHED, SAVED]
    out, execution = tmp_path / "m", ExecutionOptions(cache=False, save_every=5.0)
    assert train(OPTIONS, out, execution, began=12.5) == (PREPARED, SAVED)
    assert fake.asked == [("run", OPTIONS, out, execution, 12.5)]
    assert shown.events == [PREPARED, STEP, FINISHED, SAVED]
    assert not shown.open
    assert shown.made == [{"quiet": False, "timed": False}]


def test_a_time_budget_counts_from_the_import(fake: Run, shown: Shown, tmp_path: Path) -> None:
    """A time budget then counts from the import of the command's module."""
    assert train(OPTIONS, tmp_path / "m") == (None, None)
    began = rnntext.cli.train._BEGAN
    assert fake.asked == [("run", OPTIONS, tmp_path / "m", ExecutionOptions(), began)]


def test_the_display_of_a_timed_and_of_a_quiet_run(fake: Run, shown: Shown, tmp_path: Path) -> None:
    train(replace(OPTIONS, minutes=2.0), tmp_path / "m")
    train(OPTIONS, tmp_path / "m", quiet=True)
    assert shown.made == [{"quiet": False, "timed": True}, {"quiet": True, "timed": False}]


def test_a_dry_run_reads_with_the_cache_that_is_asked_for(fake: Run, shown: Shown) -> None:
    fake.events = [PREPARED, TIMED]
    assert train(OPTIONS, None) == (PREPARED, TIMED)
    train(OPTIONS, None, ExecutionOptions(cache=False))
    wanted = [("dry run", OPTIONS, {"cache": cache}) for cache in (True, False)]
    assert fake.asked == wanted


def test_a_directory_that_is_held_is_refused_before_pytorch_is_asked_for(
    fake: Run, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Claim:
        def __init__(self, directory: Path, purpose: str) -> None:
            asked.append((directory, purpose))

        def check(self) -> None:
            raise CheckpointError("another process is training into it")

    def require() -> None:
        asked.append("PyTorch")
        raise UsageError("there is no PyTorch")

    monkeypatch.setattr(rnntext.claim, "Claim", Claim)
    monkeypatch.setattr(rnntext.cli.train, "require_training", require)
    with pytest.raises(CheckpointError, match="another process"):
        train(OPTIONS, Path("m"))
    assert asked == [(Path("m"), "training")]
    # A dry run writes nothing there.
    with pytest.raises(UsageError, match="no PyTorch"):
        train(OPTIONS, None)
    assert asked[1:] == ["PyTorch"]
    assert fake.asked == []


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_of_several_shows_the_run(
    rank: int, fake: Run, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards: list[Path] = []
    monkeypatch.setattr(
        rnntext.training.persistence.tensorboard, "TensorBoardLogger", board_class(boards, [])
    )
    for name, value in (("RANK", rank), ("WORLD_SIZE", 2), ("TORCHELASTIC_RUN_ID", "test")):
        monkeypatch.setenv(name, str(value))
    fake.events = [PREPARED]
    train(OPTIONS, tmp_path / "m", ExecutionOptions(tensorboard=tmp_path))
    assert shown.made == [{"quiet": rank == 1, "timed": False}]
    assert boards == [tmp_path][rank:]
    fake.events = [PREPARED, TIMED]
    found = train(OPTIONS, None)
    assert found == ((None, None) if rank else (PREPARED, TIMED))
    assert len(shown.made) == 2 - rank


# TensorBoard


def board_class(made: list[Path], logged: list[Event | str], fails_at: Event | None = None) -> Any:
    class Board:
        trouble: str | None = None

        def __init__(self, directory: Path) -> None:
            made.append(directory)

        def log(self, event: Event) -> None:
            logged.append(event)
            if event is fails_at:
                self.trouble = "board: disk full"

        def close(self) -> None:
            logged.append("closed")

    return Board


@pytest.mark.parametrize("fails", [False, True])
def test_events_are_logged_for_tensorboard_until_that_fails(
    fails: bool, fake: Run, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Event | str] = []
    made: list[Path] = []
    board = board_class(made, logged, STEP if fails else None)
    monkeypatch.setattr(rnntext.training.persistence.tensorboard, "TensorBoardLogger", board)
    fake.events = [PREPARED, STEP, FINISHED, SAVED]
    train(OPTIONS, tmp_path / "m", ExecutionOptions(tensorboard=tmp_path / "board"))
    assert made == [tmp_path / "board"]
    rest = [] if fails else [FINISHED, SAVED]
    assert logged == [PREPARED, STEP, *rest, "closed"]
    lines = ["no more figures for TensorBoard: board: disk full"] if fails else []
    assert shown.lines == lines
    assert shown.events == fake.events
    train(OPTIONS, tmp_path / "m")
    assert len(made) == 1


# Signals


def test_a_signal_in_training_ends_the_command_once_the_run_has_stopped(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    def look() -> None:
        assert not fake.stop_asked()
        signal.raise_signal(signal.SIGTERM)
        assert fake.stop_asked()

    fake.events = [PREPARED, READY, look, STEP, STOPPED]
    with pytest.raises(SystemExit) as end:
        train(OPTIONS, tmp_path / "m")
    assert end.value.code == 128 + signal.SIGTERM
    assert shown.events == [PREPARED, READY, STEP, STOPPED]
    fake.events = [PREPARED, READY, send(signal.SIGINT), STOPPED]
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, tmp_path / "m")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("before", [[], [PREPARED], [PREPARED, NGRAMS]])
def test_a_signal_before_the_run_is_ready_has_its_usual_effect(
    number: int,
    before: list[Event | Callable[[], None]],
    fake: Run,
    shown: Shown,
    tmp_path: Path,
    signals: None,
) -> None:
    """Learning the n-grams of a classifier may take a minute, and nothing of it is saved."""
    fake.events = [*before, send(number), PREPARED, READY]
    with pytest.raises(EndedError):
        train(OPTIONS, tmp_path / "m")
    assert shown.events == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_that_cannot_be_continued_ends_at_a_signal(
    dry_run: bool, fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, READY, send(signal.SIGTERM)]
    with pytest.raises(EndedError):
        train(OPTIONS, None if dry_run else tmp_path / "m", stoppable=dry_run)


def test_a_signal_after_the_last_step_interrupts_at_once(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, READY, FINISHED, send(signal.SIGTERM), SAVED]
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, tmp_path / "m")
    assert shown.events == [PREPARED, READY, FINISHED]


def test_once_the_run_has_stopped_a_signal_has_its_usual_effect(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, READY, send(signal.SIGTERM), STOPPED, send(signal.SIGTERM)]
    with pytest.raises(EndedError):
        train(OPTIONS, tmp_path / "m")


def fail() -> None:
    raise RnntextError("it diverged")


@pytest.mark.parametrize("last", [SAVED, fail])
def test_after_a_run_a_signal_has_its_usual_effect(
    last: Event | Callable[[], None], fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, READY, FINISHED, last]
    if callable(last):
        with pytest.raises(RnntextError, match="it diverged"):
            train(OPTIONS, tmp_path / "m")
    else:
        train(OPTIONS, tmp_path / "m")
    with pytest.raises(EndedError):
        signal.raise_signal(signal.SIGINT)
