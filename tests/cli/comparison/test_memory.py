"""`rnntext compare memory`: its options, what it prints of experiments that a function makes, and
what Ctrl-C leaves."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rnntext.cli.main import main
from rnntext.long_memory import Measured, MemoryOptions
from rnntext.training.comparison import long_memory
from tests.cli.screens import messages

RNN = Measured("recall", "rnn", 12, 0.125, {3: (1.0, 0.8), 6: (0.25, 0.25)})
GRU = Measured("recall", "gru", 34, 0.125, {3: (1.0, 1.0), 6: (1.0, 0.5)})


@dataclass
class Experiments:
    """Takes the place of `measure`: yields these models and raises the one that is an error."""

    found: list[Any]
    given: list[MemoryOptions] = field(default_factory=list)

    def __call__(self, options: MemoryOptions) -> Iterator[Measured]:
        self.given.append(options)
        for each in self.found:
            if isinstance(each, BaseException):
                raise each
            yield each


Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shown:
    """Runs the command; returns its status, standard output and standard error."""

    def shown(experiments: Experiments, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(long_memory, "measure", experiments)
        monkeypatch.setattr(sys, "argv", ["rnntext", "compare", "memory", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capfd.readouterr()

    return shown


def without_seconds(err: str) -> list[str]:
    return [line.partition(" (")[0] for line in messages(err).splitlines()]


def test_a_pipe_gets_a_line_a_distance_and_stderr_one_a_model(shown: Shown) -> None:
    status, out, err = shown(Experiments([RNN, GRU]))
    assert (status, out.splitlines()) == (
        0,
        [
            "recall\trnn\t3\t0.9\t0.141421",
            "recall\trnn\t6\t0.25\t0",
            "recall\tgru\t3\t1\t0",
            "recall\tgru\t6\t0.75\t0.353553",
        ],
    )
    assert without_seconds(err) == [
        "recall, vanilla RNN: accuracy 0.90 at 3, 0.25 at 6",
        "recall, GRU: accuracy 1.00 at 3, 0.75 at 6",
    ]


def test_quiet_json_and_a_page(shown: Shown, tmp_path: Path) -> None:
    page = tmp_path / "memory.html"
    status, out, err = shown(Experiments([RNN, GRU]), "-q", "--json", "-o", str(page))
    assert (status, err) == (0, "")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [(each["model"], each["distance"], each["accuracy"]) for each in objects] == [
        ("rnn", 3, 0.9),
        ("rnn", 6, 0.25),
        ("gru", 3, 1.0),
        ("gru", 6, 0.75),
    ]
    assert "vanilla RNN" in page.read_text("utf-8")


def test_the_options_reach_the_experiments(shown: Shown) -> None:
    experiments = Experiments([RNN])
    shown(experiments)
    assert experiments.given.pop() == MemoryOptions(
        ("recall", "agreement"), [3, 6, 10, 20, 30], 500, 0, 2, 1
    )
    shown(
        experiments,
        *("--task", "agreement", "--distances", "12,4,4", "--steps", "9"),
        *("--seed", "7", "--seeds", "5", "--threads", "2"),
    )
    assert experiments.given.pop() == MemoryOptions(("agreement",), [4, 12], 9, 7, 5, 2)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--task", "copy"), ("--task is one of recall, agreement", "'copy'")),
        (("--distances", "3,,6"), ("--distances", "1 to 1,000", "''")),
        (("--distances", "3,x"), ("--distances", "'x'")),
        (("--distances", "1001"), ("--distances", "1001")),
        (("--steps", "0"), ("--steps", "from 1")),
        (("--seeds", "0"), ("--seeds", "from 1 to 1,000")),
        (("-o", "memory.pdf"), ("-o memory.pdf", ".html")),
    ],
)
def test_values_that_are_not_valid_are_refused_before_anything_is_trained(
    words: tuple[str, ...], parts: tuple[str, ...], shown: Shown
) -> None:
    experiments = Experiments([RNN])
    status, out, err = shown(experiments, *words)
    assert (status, out, experiments.given) == (2, "", [])
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_without_pytorch_one_line_says_what_to_install(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    experiments = Experiments([RNN])
    status, out, err = shown(experiments)
    assert (status, out, experiments.given) == (2, "", [])
    assert err.count("\n") == 1
    assert "compare memory" in err
    assert "pip install 'rnntext[train]'" in err


def test_ctrl_c_ends_with_the_models_so_far(shown: Shown) -> None:
    status, out, err = shown(Experiments([RNN, KeyboardInterrupt()]))
    assert status == 130
    assert [line.split("\t")[1] for line in out.splitlines()] == ["rnn", "rnn"]
    assert err.splitlines()[-1] == "interrupted: the models that were finished are shown"


def test_ctrl_c_before_the_first_model_leaves_nothing(shown: Shown) -> None:
    assert shown(Experiments([KeyboardInterrupt()])) == (130, "", "")
