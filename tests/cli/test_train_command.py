"""What `train` makes of its command line, of the events of a run and of signals, and what it
prints; the run itself is a fake."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest
import typer

import rnntext.claim
import rnntext.cli.progress
import rnntext.cli.train
import rnntext.training.persistence.repeat
import rnntext.training.persistence.tensorboard
import rnntext.training.run
from rnntext.checkpoint_config import DataSummary
from rnntext.cli.commands import click_command
from rnntext.cli.main import make_app
from rnntext.cli.options import OutputOptions
from rnntext.cli.train import print_result
from rnntext.config import EncoderConfig, ModelConfig
from rnntext.errors import CheckpointError, RnntextError, UsageError
from rnntext.private import click_exception
from rnntext.training.events import (
    EncodedFiles,
    Event,
    Finished,
    Prepared,
    Saved,
    Step,
    StepTimed,
    Stopped,
)
from rnntext.training.options import ExecutionOptions, TrainingOptions
from rnntext.training.recipes import Recipe
from tests.cli.screens import pipe, screen, written

OPTIONS = TrainingOptions("tag", ("a.conllu",))
PREPARED = Prepared(
    summary=DataSummary("sentences", 123, 45, 6789, 2, "1" * 64, {"N": 70, "V": 53}),
    encoded=EncodedFiles(1500, None, False),
    model=ModelConfig("tag", EncoderConfig("gru", 432, 8, 24, 2, False), ("N", "V"), False, 9),
    tokenizer="word",
    parameters=98_765,
    recipe=Recipe("gru", 2, 24, 8, False, 8, 0.01, 0.1, 0.0, 0, 9),
    steps_per_epoch=10,
    machine="cpu, float32",
    threads=3,
    processes=1,
)
STEP = Step(20, 1500, 1, 2.3456, 0.01, 1.0, 12_345.6, 3.0, 99.0, 3725.4)
FINISHED = Finished(30, 3.0, 999, 8.0, 0.5, "it is done", 20, (), False)
STOPPED = Stopped(Path("out"), 17)
RATES = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 4}
SAVED = Saved(
    directory=Path("out"),
    task="tag",
    metrics={"accuracy": 2 / 3, "bits": None, "per_label": {"[N]": RATES}},
    steps=30,
    best_step=20,
    epochs=2.5,
    seconds=9.5,
    tokens_per_second=99.0,
    parameters=98_765,
    reason="it is done",
    preparation_seconds=1.5,
    training_seconds=6.5,
    evaluation_seconds=0.5,
)
TIMED = StepTimed(0.25, 2.5)


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

    fake.events = [PREPARED, look, STEP, STOPPED]
    with pytest.raises(SystemExit) as end:
        train(OPTIONS, tmp_path / "m")
    assert end.value.code == 128 + signal.SIGTERM
    assert shown.events == [PREPARED, STEP, STOPPED]
    fake.events = [PREPARED, send(signal.SIGINT), STOPPED]
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, tmp_path / "m")


def test_a_signal_before_the_data_are_prepared_has_its_usual_effect(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [send(signal.SIGTERM), PREPARED]
    with pytest.raises(EndedError):
        train(OPTIONS, tmp_path / "m")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_that_cannot_be_continued_ends_at_a_signal(
    dry_run: bool, fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, send(signal.SIGTERM)]
    with pytest.raises(EndedError):
        train(OPTIONS, None if dry_run else tmp_path / "m", stoppable=dry_run)


def test_a_signal_after_the_last_step_interrupts_at_once(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, FINISHED, send(signal.SIGTERM), SAVED]
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, tmp_path / "m")
    assert shown.events == [PREPARED, FINISHED]


def test_once_the_run_has_stopped_a_signal_has_its_usual_effect(
    fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, send(signal.SIGTERM), STOPPED, send(signal.SIGTERM)]
    with pytest.raises(EndedError):
        train(OPTIONS, tmp_path / "m")


def fail() -> None:
    raise RnntextError("it diverged")


@pytest.mark.parametrize("last", [SAVED, fail])
def test_after_a_run_a_signal_has_its_usual_effect(
    last: Event | Callable[[], None], fake: Run, shown: Shown, tmp_path: Path, signals: None
) -> None:
    fake.events = [PREPARED, FINISHED, last]
    if callable(last):
        with pytest.raises(RnntextError, match="it diverged"):
            train(OPTIONS, tmp_path / "m")
    else:
        train(OPTIONS, tmp_path / "m")
    with pytest.raises(EndedError):
        signal.raise_signal(signal.SIGINT)


# The command line


@dataclass
class Called:
    """Stands for `train`; returns `end`."""

    end: Saved | StepTimed | None = SAVED
    options: list[TrainingOptions] = field(default_factory=list)
    more: list[Any] = field(default_factory=list)
    printed: list[Any] = field(default_factory=list)

    def __call__(self, options: TrainingOptions, *more: Any, **settings: Any) -> Any:
        self.options.append(options)
        self.more.append((*more, settings))
        return PREPARED, self.end

    def print(self, *arguments: Any) -> None:
        self.printed.append(arguments)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    found = Called()
    monkeypatch.setattr(rnntext.cli.train, "train", found)
    monkeypatch.setattr(rnntext.cli.train, "print_result", found.print)
    return found


def command(*words: object) -> None:
    built = click_command(rnntext.cli.train.command, "train")
    built([str(word) for word in words], prog_name="train", standalone_mode=False)


def test_a_line_without_options(called: Called) -> None:
    command("tag", "a.conllu", "b.conllu", "-o", "m")
    assert called.options == [TrainingOptions("tag", ("a.conllu", "b.conllu"))]
    assert called.more == [(Path("m"), ExecutionOptions(), {"quiet": False})]
    assert called.printed == [(PREPARED, SAVED, False)]


def test_a_line_with_options(called: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    command(
        "--seed", 5, "classify", "a.csv", "--threads", 1, "--steps", 7, "--multi-label",
        "--output", "m", "--no-cache", "--tensorboard", "board", "--resume", "--json", "-q",
    )  # fmt: skip
    wanted = TrainingOptions("classify", ("a.csv",), seed=5, threads=1, steps=7, multi_label=True)
    execution = ExecutionOptions(resume=True, cache=False, tensorboard=Path("board"))
    assert called.options == [wanted]
    assert called.more == [(Path("m"), execution, {"quiet": True})]
    assert called.printed == [(PREPARED, SAVED, True)]


def test_a_dry_run_takes_no_directory(called: Called) -> None:
    called.end = TIMED
    command("lm", "a.txt", "--dry-run")
    command("lm", "a.txt", "--dry-run", "-o", "m")
    assert called.more == [(None, ExecutionOptions(), {"quiet": False})] * 2
    assert called.printed == [(PREPARED, TIMED, False)] * 2


def test_nothing_is_printed_where_a_run_has_no_result(called: Called) -> None:
    called.end = None
    command("lm", "a.txt", "-o", "m")
    assert len(called.more) == 1
    assert called.printed == []


def test_a_resumed_run_needs_no_data(called: Called) -> None:
    command("lm", "-o", "m", "--resume")
    command("lm", "a.txt", "-o", "m", "--resume")
    assert [options.data for options in called.options] == [(), ("a.txt",)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lm", "a.txt"], "name the new model's directory with -o DIR"),
        (["lm", "-o", "m"], "there is nothing to train on: name the data files"),
        (["lm", "--dry-run"], "there is nothing to train on: name the data files"),
        (
            ["lm", "a.txt", "-o", "m", "--resume", "--dry-run"],
            "--resume and --dry-run exclude each other",
        ),
        (["lm", "-", "-o", "m"], "there is no text to read: name a file, or pipe text in"),
    ],
)
def test_lines_that_cannot_be(
    words: list[str], message: str, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch, "stdin")
    with pytest.raises(UsageError) as error:
        command(*words)
    assert str(error.value) == message
    assert called.more == []


def test_a_result_that_cannot_be_printed_says_that_the_model_is_saved(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RnntextError("standard output is closed")

    monkeypatch.setattr(rnntext.cli.train, "print_result", refuse)
    with pytest.raises(RnntextError) as error:
        command("lm", "a.txt", "-o", "m")
    assert str(error.value) == "standard output is closed; the model is saved in m"
    called.end = TIMED
    with pytest.raises(RnntextError) as error:
        command("lm", "a.txt", "-o", "m", "--dry-run")
    assert str(error.value) == "standard output is closed"


def test_a_wrong_option_of_a_task_is_told_with_the_task(called: Called) -> None:
    for words, path in (
        (["lm", "--no-such"], "train lm"),
        (["--no-such", "lm"], "train"),
    ):
        with pytest.raises(click_exception(typer), match="--no-such") as error:
            command(*words)
        assert error.value.ctx.command_path == path  # type: ignore[attr-defined]


def test_only_the_command_of_the_task_is_built(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[str] = []
    group = rnntext.cli.train._Tasks
    build = group.build

    def note(self: Any, name: str) -> Any:
        built.append(name)
        return build(self, name)

    monkeypatch.setattr(group, "build", note)
    command("tag", "a.conllu", "-o", "m")
    assert built == ["tag"]


# Repeating a run


PLANS = ((10, 50), (20, 40))
REPEATED = TrainingOptions("lm", ("a.txt",), seed=3, steps=40, plans=PLANS, part=(9, 8, 7))


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []

    def options(path: Path) -> TrainingOptions:
        read.append(path)
        return REPEATED

    monkeypatch.setattr(rnntext.training.persistence.repeat, "repeated_options", options)
    return read


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([], {}),
        (["--seed", 4], {"seed": 4}),
        (["--steps", 40], {"plans": ()}),
        (["--epochs", 2], {"epochs": 2, "steps": None, "plans": ()}),
        (["--minutes", 2], {"minutes": 2.0, "steps": None, "plans": (), "part": None}),
        (["a.txt"], {}),
        (["b.txt"], {"data": ("b.txt",), "part": None}),
        (["--resume"], {}),
    ],
)
def test_options_beside_a_config(
    words: list[object], changes: dict[str, Any], called: Called, repeated: list[Path]
) -> None:
    """Another budget takes the place of the run's, and other data are read as a whole."""
    command("lm", *words, "-o", "m", "--config", "c.json")
    assert called.options == [replace(REPEATED, **changes)]
    assert repeated == [Path("c.json")]


def test_a_config_is_repeated_by_its_own_task(called: Called, repeated: list[Path]) -> None:
    with pytest.raises(UsageError) as error:
        command("tag", "-o", "m", "--config", "c.json")
    assert str(error.value) == "--config c.json is a run of train lm, not of tag"


# The task


def test_the_task_may_stand_anywhere(called: Called) -> None:
    command("-o", "m", "--seed", 3, "--no-cache", "classify", "tag", "--steps", 2)
    (options,) = called.options
    assert (options.task, options.data) == ("classify", ("tag",))
    assert (options.seed, options.steps) == (3, 2)


@pytest.mark.parametrize("words", [[], ["-o", "m"], ["--seed", "3"]])
def test_a_line_without_a_task(words: list[str], called: Called) -> None:
    with pytest.raises(click_exception(typer)) as error:
        command(*words)
    said = error.value.format_message()  # type: ignore[attr-defined]
    assert said == "Missing argument 'lm|classify|tag'."


def test_an_unknown_task(called: Called) -> None:
    for words in (["translate", "x"], ["--seed", "3", "translate"]):
        with pytest.raises(UsageError) as error:
            command(*words)
        assert str(error.value) == "train one of lm, classify, tag, not 'translate'"


@pytest.mark.parametrize("words", [["--help"], ["-o", "m", "--help"]])
def test_help_needs_no_task(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command(*words)
    out = capsys.readouterr().out
    assert "lm|classify|tag [DATA]..." in out


def test_the_help_of_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    command("tag", "--help")
    words = " ".join(capsys.readouterr().out.split())
    assert "until validation stops improving" in words
    assert "--tag-column" in words
    assert "--multi-label" not in words


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rnntext train ", ["lm", "classify", "tag"]),
        ("rnntext train c", ["classify"]),
        ("rnntext train -o m ", ["lm", "classify", "tag"]),
        ("rnntext train translate ", ["lm", "classify", "tag"]),
        ("rnntext train tag --se", ["--seed"]),
        ("rnntext train -o m tag --se", ["--seed"]),
    ],
)
def test_completion(
    words: str,
    offered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("_RNNTEXT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit) as end:
        make_app()(prog_name="rnntext", standalone_mode=False)
    assert end.value.code == 0
    assert capsys.readouterr().out.split() == offered


# The result


def test_the_result_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(PREPARED, SAVED, False)
    assert written(reader) == (
        "accuracy\t0.666667\n"
        "bits\t\n"
        "task\ttag\n"
        "model\tout\n"
        "steps\t30\n"
        "best_step\t20\n"
        "epochs\t2.5\n"
        "seconds\t9.5\n"
        "preparation_seconds\t1.5\n"
        "training_seconds\t6.5\n"
        "evaluation_seconds\t0.5\n"
        "tokens_per_second\t99\n"
        "parameters\t98765\n"
    )


def test_the_result_of_a_run_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(None, SAVED, True)
    rates = {"precision": 0.5, "recall": 0.25, "f1": 0.333333, "support": 4}
    wanted = {
        "task": "tag",
        "model": "out",
        "metrics": {"accuracy": 0.666667, "bits": None, "per_label": {"[N]": rates}},
        "steps": 30,
        "best_step": 20,
        "epochs": 2.5,
        "seconds": 9.5,
        "preparation_seconds": 1.5,
        "training_seconds": 6.5,
        "evaluation_seconds": 0.5,
        "tokens_per_second": 99.0,
        "parameters": 98_765,
    }
    found = json.loads(written(reader))
    assert found == wanted
    assert list(found) == list(wanted)


def test_the_result_of_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    print_result(PREPARED, TIMED, False)
    assert written(reader) == (
        "task\ttag\n"
        "train_sentences\t123\n"
        "valid_sentences\t45\n"
        "characters\t6789\n"
        "duplicates\t2\n"
        "vocabulary\t432\n"
        "parameters\t98765\n"
        "steps_per_epoch\t10\n"
        "seconds_per_epoch\t2.5\n"
        "label N\t70\n"
        "label V\t53\n"
    )
    reader = pipe(monkeypatch)
    print_result(PREPARED, TIMED, True)
    found = json.loads(written(reader))
    assert (found["labels"], found["seconds_per_epoch"]) == ({"N": 70, "V": 53}, 2.5)
    assert "metrics" not in found


def test_a_terminal_shows_the_rates_of_each_label(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = screen(monkeypatch)
    print_result(PREPARED, SAVED, False)
    lines = [line.split() for line in terminal.shown.splitlines()]
    assert lines[0] == ["out"]
    assert ["│", "accuracy", "│", "0.666667", "│"] in lines
    assert ["by", "label"] in lines
    assert "[N]" in terminal.shown
    # Where there are none, there is no table of them.
    terminal = screen(monkeypatch)
    print_result(PREPARED, replace(SAVED, metrics={"accuracy": 0.5}), False)
    assert "by label" not in terminal.shown


def test_a_terminal_shows_twenty_of_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {f"L{number}": number for number in range(1, 22)}
    prepared = replace(PREPARED, summary=replace(PREPARED.summary, labels=labels))
    terminal = screen(monkeypatch)
    writing: list[str] = []
    monkeypatch.setattr(rnntext.cli.output, "write", writing.append)
    print_result(prepared, TIMED, False)
    assert terminal.shown.splitlines()[0].strip() == "dry run"
    assert "label L21 " in terminal.shown
    assert "label L2 " in terminal.shown
    assert "label L1 " not in terminal.shown
    assert writing == ["the 20 most frequent of 21 labels; --json gives all of them\n"]
    terminal = screen(monkeypatch)
    writing.clear()
    print_result(PREPARED, TIMED, False)
    assert "label N " in terminal.shown
    assert writing == []


def test_results_are_printed_as_asked(
    fake: Run, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.events = [PREPARED, FINISHED, SAVED]
    reader = pipe(monkeypatch)
    command("tag", "a.conllu", "-o", tmp_path / "m")
    assert written(reader).startswith("accuracy\t0.666667\n")
    reader = pipe(monkeypatch)
    command("tag", "a.conllu", "-o", tmp_path / "m", "--json")
    assert json.loads(written(reader))["steps"] == 30
    assert OutputOptions() == OutputOptions(json=False, quiet=False)
