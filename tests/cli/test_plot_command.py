"""What `plot` prints of the logs of runs, and when it draws a picture; pictures are drawn by a
fake."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rnntext.cli.plot
import rnntext.plotting.figure
from rnntext.cli.commands import click_command
from rnntext.errors import UsageError
from tests.cli.screens import pipe, screen, written
from tests.plotting.test_curves import EVALUATION, STEP, log, write_run

PICTURE = b"a picture"


@pytest.fixture
def a(tmp_path: Path) -> str:
    """A run with a report of steps and an evaluation."""
    return str(write_run(tmp_path / "a", "lm", log(STEP, EVALUATION)))


@pytest.fixture
def b(tmp_path: Path) -> str:
    """A run with an evaluation that is not the best, and a long number."""
    line = {**EVALUATION, "step": 30, "best": False, "perplexity": 1234567.125}
    return str(write_run(tmp_path / "b", "lm", log(line)))


def command(*words: str) -> None:
    built = click_command(rnntext.cli.plot.command, "plot")
    built(list(words), prog_name="plot", standalone_mode=False)


def piped(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run the command and return what it wrote into a pipe."""
    reader = pipe(monkeypatch)
    command(*words)
    return written(reader)


def test_a_line_for_each_value(a: str, b: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that reports of steps have is not repeated by evaluations."""
    assert piped(monkeypatch, a, b) == (
        f"{a}\t10\tloss\t6.91\n"
        f"{a}\t10\tlearning_rate\t0.0000003\n"
        f"{a}\t10\tgradient_norm\t0.42\n"
        f"{a}\t20\tperplexity\t310.2\n"
        f"{a}\t20\ttokens\t76\n"
        f"{b}\t30\tloss\t6.1\n"
        f"{b}\t30\tperplexity\t1234567.125\n"
        f"{b}\t30\ttokens\t76\n"
    )


def test_one_value(a: str, b: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch, a, b, "--metric", "perplexity")
    assert out == f"{a}\t20\tperplexity\t310.2\n{b}\t30\tperplexity\t1234567.125\n"
    # One that only one of the runs has.
    assert (
        piped(monkeypatch, a, b, "--metric", "gradient_norm") == f"{a}\t10\tgradient_norm\t0.42\n"
    )


def test_values_over_seconds(a: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = piped(monkeypatch, a, "--x", "seconds", "--metric", "loss")
    assert out == f"{a}\t1.2\tloss\t6.91\n"
    assert piped(monkeypatch, a, "--x", "steps", "--metric", "loss") == f"{a}\t10\tloss\t6.91\n"


def test_json(a: str, b: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [json.loads(line) for line in piped(monkeypatch, a, b, "--json").splitlines()]
    assert found == [
        {"run": a, **STEP},
        {"run": a, **EVALUATION},
        {"run": b, **EVALUATION, "step": 30, "best": False, "perplexity": 1234567.125},
    ]
    assert list(found[0])[:5] == ["run", "event", "step", "epoch", "seconds"]
    assert list(found[1])[:6] == ["run", "event", "step", "epoch", "seconds", "best"]


def test_json_of_one_value(a: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = piped(monkeypatch, a, "--json", "--metric", "loss").splitlines()
    names = {"event": "step", "step": 10, "epoch": 0, "seconds": 1.2, "loss": 6.91}
    assert json.loads(line) == {"run": a, **names}
    (line,) = piped(monkeypatch, a, "--json", "--metric", "tokens").splitlines()
    names = {"event": "evaluation", "step": 20, "epoch": 1, "seconds": 12.5, "best": True}
    assert json.loads(line) == {"run": a, **names, "tokens": 76}


def test_what_cannot_be_plotted(a: str, tmp_path: Path) -> None:
    for words, message in (
        (["--x", "epochs"], "--x is one of steps, seconds, not 'epochs'"),
        (["--metric", "bleu"], "--metric: no 'bleu' is logged; it is one of loss, "),
        (["-o", "a.pdf"], "-o a.pdf: a picture's name ends in .png or .svg"),
        (["-o", "png"], "-o png: a picture's name ends in .png or .svg"),
    ):
        with pytest.raises(UsageError) as error:
            command(a, *words)
        assert str(error.value).startswith(message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


# Pictures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The charts and formats that are drawn."""
    found: list[Any] = []

    def render(chart: Any, file_format: str) -> bytes:
        found.append((chart.axis, [panel.name for panel in chart.panels], file_format))
        return PICTURE

    monkeypatch.setattr(rnntext.plotting.figure, "render", render)
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.WARNING)
    yield found
    logger.setLevel(before)


def test_a_picture_is_written_and_nothing_is_printed(
    a: str, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "Curves.PNG"
    assert piped(monkeypatch, a, "-o", str(out)) == ""
    assert out.read_bytes() == PICTURE
    assert drawn == [("steps", ["loss", "perplexity"], "png")]
    # Its warnings about fonts are not for the user.
    assert logging.getLogger("matplotlib").level == logging.ERROR
    screen(monkeypatch)
    command(a, "-o", str(tmp_path / "b.svg"), "--metric", "tokens", "--x", "seconds")
    assert drawn[1:] == [("seconds", ["loss", "tokens"], "svg")]


def test_a_picture_and_json(
    a: str, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.svg"
    assert len(piped(monkeypatch, a, "-o", str(out), "--json").splitlines()) == 2
    assert out.read_bytes() == PICTURE


def test_without_matplotlib(
    a: str, tmp_path: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as error:
        command(a, "-o", str(tmp_path / "a.png"))
    assert str(error.value) == (
        "a picture needs the package matplotlib, which is not installed: run"
        " `pip install 'rnntext[plot]'`"
    )
    assert drawn == []
    assert piped(monkeypatch, a, "--metric", "loss") == f"{a}\t10\tloss\t6.91\n"


def test_a_directory_is_no_picture_which_is_told_before_the_runs_are_read(
    tmp_path: Path, drawn: list[Any]
) -> None:
    out = tmp_path / "a.png"
    out.mkdir()
    with pytest.raises(UsageError) as error:
        command("no run", "-o", str(out))
    assert str(error.value) == f"{out} is a directory: name a file with -o"
    assert drawn == []


# Terminals


def test_a_terminal_shows_a_chart(a: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnntext.cli.plot.output, "write", (texts := []).append)
    screen(monkeypatch, columns=70)
    monkeypatch.setenv("LINES", "30")
    command(a)
    (text,) = texts
    assert "\x1b[" in text
    assert "loss" in text
    assert "perplexity" in text
    lines = text.splitlines()
    assert len(lines) <= 30
    monkeypatch.setenv("NO_COLOR", "1")
    command(a, "--metric", "tokens")
    assert "\x1b[" not in texts[1]
    assert "tokens" in texts[1]
    assert max(map(len, texts[1].splitlines())) <= 70
    command(a, "--x", "seconds")
    assert "seconds" in texts[2]
    assert "seconds" not in texts[1]


def test_a_dumb_terminal_is_as_wide_as_it_says(a: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnntext.cli.plot.output, "write", (texts := []).append)
    screen(monkeypatch, columns=120)
    monkeypatch.setenv("TERM", "dumb")
    command(a)
    assert 100 < max(map(len, texts[0].splitlines())) <= 120


def test_a_terminal_shows_json(a: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnntext.cli.plot.output, "write", (texts := []).append)
    screen(monkeypatch)
    command(a, "--json", "--metric", "loss")
    assert [json.loads(text)["loss"] for text in texts] == [6.91]
