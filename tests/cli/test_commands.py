"""Groups that build a command when it is used."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from rnntext.cli.commands import Command, LazyGroup, click_command, lazy_group
from rnntext.private import click_exception

BUILT: list[str] = []


def _say(word: str = "nothing") -> None:
    """Say a word."""
    print(f"said {word}")


class Group(LazyGroup):
    """A group that notes what it builds."""

    def build(self, name: str) -> Any:
        BUILT.append(name)
        return click_command(_say, name)


@pytest.fixture
def group() -> Any:
    BUILT.clear()
    app = lazy_group(Group, {"two": "The second.", "one": "The first."}, name="group", help="Some.")
    return typer.main.get_command(app)


def test_only_the_command_that_is_used_is_built(
    group: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    group(["one", "--word", "hello"], standalone_mode=False)
    assert BUILT == ["one"]
    assert capsys.readouterr().out == "said hello\n"


def test_the_help_of_a_group_builds_nothing(group: Any, capsys: pytest.CaptureFixture[str]) -> None:
    group(["--help"], standalone_mode=False)
    out = capsys.readouterr().out
    assert BUILT == []
    assert "Commands:\n  two  The second.\n  one  The first.\n" in out
    assert "Some." in out


def test_an_unknown_command(group: Any) -> None:
    with pytest.raises(click_exception(typer), match="No such command 'three'"):
        group(["three"], standalone_mode=False)
    # Completion asks in this way, and goes on with what it gets.
    context = group.make_context("group", ["one"], resilient_parsing=True)
    assert group.resolve_command(context, ["three", "x"]) == (None, None, ["x"])
    assert BUILT == []


def test_a_group_must_say_how_it_builds() -> None:
    with pytest.raises(NotImplementedError):
        LazyGroup(name="group").build("one")


def test_the_command_of_a_function_and_of_an_app() -> None:
    built = click_command(_say, "say")
    assert (type(built), built.name, built.help) == (Command, "say", "Say a word.")
    assert click_command(_say, "say", "Other help.").help == "Other help."
    app = lazy_group(Group, {"one": "The first.", "two": "The second."}, name="inner")
    assert isinstance(click_command(app, "other"), Group)
