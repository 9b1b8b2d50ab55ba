"""Every number and every path of the command line, at the extremes.

The tables are made from the commands themselves, so that a new option is in them. No model is
trained or run: what a command reads is missing, and `train` and `demo` end before they begin. How
the text of a number is read is tested in more cases in `tests/test_arguments.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rnntext.cli import demo, train
from rnntext.cli.commands import LazyGroup, click_command
from rnntext.cli.main import main, make_app
from rnntext.cli.values import NumberParser
from rnntext.errors import DataError
from rnntext.training.comparison import long_memory

# No text of a number: other digits, what only Python reads, nothing.
NO_NUMBERS = ("", " 3 ", "\u0663", "1_000", "nan", "inf")
# Beyond every range, or below it.
EXTREMES = ("-1", "0", "2147483648", str(10**30), "9" * 5000, "1e308", "1e-320")
MISSING = "missing"

Words = tuple[str, ...]
Run = Callable[..., tuple[int, str]]


def commands(group: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """The Click command of each sub-command, with its words on the command line."""
    for name in group.commands:
        command = group.build(name)
        if isinstance(command, LazyGroup):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands(click_command(make_app(), "rnntext")))
PARAMETERS = [(words, param) for words, command in COMMANDS.items() for param in command.params]
NUMBERS = [
    (words, param, param.type.func)
    for words, param in PARAMETERS
    if isinstance(getattr(param.type, "func", None), NumberParser)
]
PATHS = [
    (words, param)
    for words, param in PARAMETERS
    if any(part in (param.metavar or "") for part in ("DIR", "FILE", "DATA", "INPUT"))
]


def name_of(param: Any) -> str:
    return str(param.opts[-1])


def ids(rows: list[Any]) -> list[str]:
    return [" ".join((*words, name_of(param))) for words, param, *_ in rows]


SUFFIXES = {
    **dict.fromkeys(("evaluate", "inspect", "compare"), ".svg"),
    **dict.fromkeys(("classify", "score", "tag", "embed"), ".jsonl"),
}


def line(words: Words, out: Path, but: str = "") -> list[str]:
    """A command line that is complete, without the parameter named `but`."""
    line = list(words)
    for param in COMMANDS[words].params:
        if name_of(param) == but:
            continue
        if param.param_type_name == "argument":
            line.append(MISSING)
        elif "--model" in param.opts:
            line += ["-m", MISSING]
        elif "--output" in param.opts:
            # A picture and a file of answers have other names than a graph.
            suffix = SUFFIXES.get(words[0], out.suffix)
            line += ["-o", str(out.with_suffix(suffix))]
        elif words == ("inspect", "neighbours") and "--corpus" in param.opts:
            line += ["--corpus", MISSING]  # without it texts have no neighbours
    return line


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in this process; returns its exit status and its line on stderr."""

    def nothing(*_: object) -> None:
        raise DataError("nothing is trained here")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "_events", nothing)
    monkeypatch.setattr(demo, "demonstrate", nothing)
    monkeypatch.setattr(long_memory, "measure", nothing)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # which `--threads` sets
    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rnntext", *words])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("rnntext: ")
        assert captured.err.count("\n") == 1
        assert end.value.code in (1, 2)
        return int(end.value.code), captured.err[len("rnntext: ") : -1]

    return run


def test_the_tables_are_of_all_commands() -> None:
    assert {"train", "generate", "classify", "export", "demo"} <= {words[0] for words in COMMANDS}
    assert {"train lm --epochs", "generate --top-k", "demo --threads"} <= set(ids(NUMBERS))
    assert {"train tag --init", "plot directories", "export --valid"} <= set(ids(PATHS))


@pytest.mark.parametrize(("words", "param"), PARAMETERS, ids=ids(PARAMETERS))
def test_every_number_has_a_range(words: Words, param: Any) -> None:
    """Click's own numbers have none, and read other digits too."""
    assert not any(kind in param.type.name for kind in ("int", "float"))


@pytest.mark.parametrize(("words", "param", "number"), NUMBERS, ids=ids(NUMBERS))
def test_numbers(words: Words, param: Any, number: NumberParser, run: Run, tmp_path: Path) -> None:
    flag, within = name_of(param), number.within
    start = f"{flag} must be "
    assert f"[{within}]" in param.help

    def outcome(text: str) -> tuple[int, str]:
        return run(*line(words, tmp_path / "out.onnx"), f"{flag}={text}")

    for text in NO_NUMBERS:
        status, message = outcome(text)
        assert status == 2
        assert message.startswith(start)
        assert f"from {within} in plain digits, not " in message
    for text in EXTREMES:
        status, message = outcome(text)
        # One that is in the range is not what is wrong.
        assert (status == 2 and message.startswith(start)) or flag not in message or param.hidden
    for value in (within.least - 1, within.most + 1):
        status, message = outcome(str(value))
        assert status == 2
        assert message.startswith(start)
        assert f"from {within}, not " in message
    for value in (within.least, within.most):
        status, message = outcome(str(value))
        assert flag in message if param.hidden else status == 1


@pytest.mark.parametrize(
    "bound", ["", "nan", "inf", "1e308", "-1e30", "1_0", "\u0663", str(10**30)]
)
@pytest.mark.parametrize("flag", ["--min", "--max"])
def test_bounds_of_metrics(flag: str, bound: str, run: Run) -> None:
    status, message = run("evaluate", MISSING, "-m", MISSING, flag, f"accuracy={bound}")
    assert status == 2
    assert message.startswith(f"{flag} accuracy={bound}: write METRIC=VALUE")


@pytest.mark.parametrize(("words", "param"), PATHS, ids=ids(PATHS))
def test_empty_paths(words: Words, param: Any, run: Run, tmp_path: Path) -> None:
    name, given = name_of(param), line(words, tmp_path / "out", but=name_of(param))
    if param.param_type_name == "argument":
        name = param.metavar.strip("[].")
        given.append("")
    else:
        name = param.opts[0]
        given += [name, ""]
    status, message = run(*given)
    assert status == 2
    assert message.startswith(f"{name} is empty: name a ")
    assert list(tmp_path.iterdir()) == []
