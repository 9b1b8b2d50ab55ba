"""`rnntext compare TASK`: what it prints of a comparison that a function makes, and what Ctrl-C
leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from rnntext.cli.main import main
from rnntext.training.comparison import compare as comparing
from rnntext.training.comparison.compare import Began, LeftOut
from rnntext.training.options import TrainingOptions
from tests.cli.screens import messages
from tests.test_comparison import BAG, RNN, found

COMPARISON = found({RNN: [0.8, 0.9], BAG: [0.5, 0.6]})
EMPTY = found({})


@dataclass
class Compared:
    """Takes the place of `compare`: yields these events and raises the one that is an error."""

    events: list[Any]
    given: list[Any] = field(default_factory=list)

    def __call__(self, options: TrainingOptions, seeds: int, *, cache: bool) -> Iterator[Any]:
        self.given = [options, seeds, cache]
        summary = SimpleNamespace(train=1200, valid=30, unit="documents")
        prepared: Any = SimpleNamespace(summary=summary, parameters=12345)
        yield Began(EMPTY, prepared, 4)
        for event in self.events:
            if isinstance(event, BaseException):
                raise event
            yield event


Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shown:
    """Runs the command; returns its status, standard output and standard error."""

    def shown(compared: Compared, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(comparing, "compare", compared)
        monkeypatch.setattr(sys, "argv", ["rnntext", "compare", "classify", "x.csv", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capfd.readouterr()

    return shown


ROWS = ["rnn\t0.85\t0.070711\t12\t2.5\t50.5\t48", "bag\t0.55\t0.070711\t12\t2.5\t10.5\t48"]


def test_a_pipe_gets_a_line_a_model_and_stderr_the_progress_and_the_answer(shown: Shown) -> None:
    status, out, err = shown(Compared([*COMPARISON.runs]))
    assert (status, out.splitlines()) == (0, ROWS)
    assert max(map(len, err.splitlines())) <= 80
    assert messages(err).splitlines() == [
        "1,200 documents to learn from, 30 to validate on; 4 runs of about 12,345 parameters",
        "rnn, seed 0: accuracy 0.8000, trained 2.0 s, 50 texts/s",
        "rnn, seed 1: accuracy 0.9000, trained 3.0 s, 51 texts/s",
        "bag, seed 0: accuracy 0.5000, trained 2.0 s, 10 texts/s",
        "bag, seed 1: accuracy 0.6000, trained 3.0 s, 11 texts/s",
        COMPARISON.answer(),
    ]


def test_quiet_and_json(shown: Shown) -> None:
    status, out, err = shown(Compared([*COMPARISON.runs]), "-q", "--json")
    assert (status, err) == (0, "")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [(each["model"], each["mean"], each["values"]) for each in objects] == [
        ("rnn", 0.85, [0.8, 0.9]),
        ("bag", 0.55, [0.5, 0.6]),
    ]


def test_the_options_are_those_of_train(shown: Shown) -> None:
    compared = Compared([COMPARISON.runs[0]])
    shown(compared, "--seeds", "5", "--steps", "9", "--valid", "v.csv", "--threads", "1")
    options = TrainingOptions("classify", ("x.csv",), valid="v.csv", steps=9, threads=1)
    assert compared.given == [options, 5, True]
    shown(compared, "--minutes", "2", "--no-cache", "--label-column", "stars", "--seed", "4")
    options = TrainingOptions("classify", ("x.csv",), minutes=2.0, label_column="stars", seed=4)
    assert compared.given == [options, 3, False]


def test_a_run_that_is_left_out_is_named(shown: Shown) -> None:
    _, out, err = shown(Compared([COMPARISON.runs[0], LeftOut(BAG, 0, "it diverged")]))
    assert [line.split("\t")[0] for line in out.splitlines()] == ["rnn"]
    assert "bag, seed 0: left out: it diverged" in messages(err).splitlines()


def test_ctrl_c_ends_with_the_rows_so_far(shown: Shown) -> None:
    status, out, err = shown(Compared([*COMPARISON.runs[:3], KeyboardInterrupt()]))
    assert status == 130
    assert [line.split("\t")[:2] for line in out.splitlines()] == [["rnn", "0.85"], ["bag", "0.5"]]
    assert "interrupted: of 4 runs 3 are shown" in messages(err).splitlines()
    assert messages(err).splitlines()[-1].endswith("With one seed nothing is known of the spread.")


def test_ctrl_c_before_the_first_run_leaves_nothing(shown: Shown) -> None:
    status, out, err = shown(Compared([KeyboardInterrupt()]), "-q")
    assert (status, out, err) == (130, "", "")
