"""Options and arguments that are numbers or paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from rnntext.arguments import Range
from rnntext.cli.commands import click_command
from rnntext.cli.values import choice_option, number_option, path_argument, path_option
from rnntext.errors import UsageError

FOUND: list[Any] = []


def _command(
    places: Annotated[list[Path] | None, path_argument("[PLACE]...", help="Places.")] = None,
    size: Annotated[
        int | None,
        number_option("-n", "--size", metavar="N", within=Range(int, 1, 9), help="Size."),
    ] = None,
    rate: Annotated[
        float, number_option("--rate", metavar="R", within=Range(float, 0, 1), help="Rate.")
    ] = 2.5,
    out: Annotated[
        Path | None, path_option("-o", "--output", metavar="FILE", help="A file.")
    ] = None,
) -> None:
    FOUND[:] = [places, size, rate, out]


def parsed(*words: str) -> list[Any]:
    click_command(_command, "command")(list(words), standalone_mode=False)
    return FOUND


def test_values_have_their_types() -> None:
    assert parsed("a", "b c", "-n", "9", "--rate", "1", "-o", "x/y") == [
        [Path("a"), Path("b c")], 9, 1.0, Path("x/y"),
    ]  # fmt: skip
    assert [type(value) for value in FOUND[1:3]] == [int, float]


def test_defaults_are_not_checked() -> None:
    places, *others = parsed()
    assert not places
    assert others == [None, 2.5, None]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-n", "0"), "--size must be a whole number from 1 to 9, not 0"),
        (("-n", "10"), "--size must be a whole number from 1 to 9, not 10"),
        (("--rate", "nan"), "--rate must be from 0 to 1 in plain digits, not 'nan'"),
        (("-o", ""), "-o"),
        (("a", ""), "PLACE"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(*words)
    assert str(caught.value).startswith(message)


def test_the_help_states_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    click_command(_command, "command")(["--help"], standalone_mode=False)
    out = capsys.readouterr().out
    assert "Size. [1 to 9; default: none]" in out
    assert "Rate. [0 to 1; default: 2.5]" in out
    assert "[PLACE]..." in out
    assert "-o, --output FILE" in out


def test_shells_complete_the_values_of_a_choice() -> None:
    found = choice_option("--cell", metavar="gru|lstm", help="A cell.")
    assert (found.metavar, found.autocompletion("l")) == ("gru|lstm", ["lstm"])
