"""What `train` makes of its command line, and what it completes; nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import typer

import rnntext.cli.train
import rnntext.training.persistence.repeat
from rnntext.cli.commands import click_command
from rnntext.cli.main import make_app
from rnntext.errors import RnntextError, UsageError
from rnntext.private import click_exception
from rnntext.training.events import Saved, StepTimed
from rnntext.training.execution_options import ExecutionOptions
from rnntext.training.options import TrainingOptions
from tests.cli.run_events import PREPARED, SAVED, TIMED
from tests.cli.screens import screen


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
        ("rnntext train lm --dir", ["--direction"]),
        ("rnntext train tag --see", ["--seed"]),
        ("rnntext train -o m tag --see", ["--seed"]),
        ("rnntext train tag --dir", []),
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
