"""Options made from declarations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

from rnntext.arguments import Range
from rnntext.cli.commands import click_command
from rnntext.cli.declared import Declared, Given
from rnntext.cli.signature import expanded
from rnntext.errors import UsageError
from rnntext.training.declaration import no_flag, option


@dataclass(frozen=True)
class Options:
    """Three options with flags and one without."""

    cell_type: str | None = option(
        None, "A cell.", panel="Model", changes_data=False, choices=("gru", "lstm")
    )
    cache: bool = option(True, "Keep it.", panel="Data", changes_data=True, negatable=True)
    tag_column: str = option(
        "upos", "A column.", panel="Data", changes_data=True, metavar="NAME", tasks=("tag",),
        metavars={"tag": "upos|xpos"},
    )  # fmt: skip
    size: int | None = option(
        None, "A size.", panel="Model", changes_data=False, metavar="N", within=Range(int, 1, 9)
    )
    place: Path | None = option(  # noqa: RUF009  (a dataclass field)
        None, "A place.", panel="Data", changes_data=False, metavar="DIR", is_path=True
    )
    part: int = field(default=3, metadata=no_flag(changes_data=False))


@dataclass(frozen=True)
class Several:
    """An option of several values."""

    paths: tuple[str, ...] = option(
        (), "Files.", panel="Data", changes_data=False, metavar="FILE", is_path=True
    )


def shown(group: Declared, task: str | None = None) -> list[tuple[Any, ...]]:
    """Flags, default, metavar, help and section of the options that the help shows."""

    def command(**_: Any) -> None:
        raise AssertionError

    parameters = group.parameters(task)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return [
        ("/".join([*p.opts, *p.secondary_opts]), p.default, p.metavar, p.help, p.rich_help_panel)
        for p in click_command(command, "command").params
        if not p.hidden and p.name != "help"
    ]


def test_an_option_has_what_its_declaration_says() -> None:
    assert shown(Declared(Options)) == [
        ("--cell-type", None, "gru|lstm", "A cell.", "Model"),
        ("--cache/--no-cache", True, None, "Keep it.", "Data"),
        ("--tag-column", "upos", "NAME", "A column.", "Data"),
        ("--size", None, "N", "A size. [1 to 9]", "Model"),
        ("--place", None, "DIR", "A place.", "Data"),
    ]
    hints = [p.annotation.__origin__ for p in Declared(Options).parameters(None)]
    assert hints == [str | None, bool, str, int | None, Path | None]


def test_the_help_says_the_default_that_is_declared_or_given() -> None:
    def texts(group: Declared) -> list[Any]:
        hints = [p.annotation for p in group.parameters("tag")]
        return [hint.__metadata__[0].show_default for hint in hints]

    # Not of the field: what is given tells itself from defaults by being None.
    for group in (Declared(Options), Given(Options)):
        assert texts(group) == [
            "none",
            "cache",
            "upos, the last column, or tags, by the format",
            "none",
            "none",
        ]
    assert texts(Given(Options, ("size", "place"), {"size": "as before"})) == ["as before", "none"]


def test_completion_offers_the_values_of_a_metavar() -> None:
    found = [
        p.annotation.__metadata__[0].autocompletion for p in Declared(Options).parameters("tag")
    ]
    assert [None if complete is None else complete("") for complete in found] == [
        ["gru", "lstm"], None, ["upos", "xpos"], None, None,
    ]  # fmt: skip


def test_options_of_other_tasks_are_hidden() -> None:
    def flags(task: str | None) -> list[str]:
        return [option[0] for option in shown(Declared(Options), task)]

    assert "--tag-column" in flags(None)
    assert flags("lm") == [flag for flag in flags(None) if flag != "--tag-column"]
    assert flags("tag") == flags(None)


def test_a_metavar_may_be_that_of_the_task() -> None:
    def metavar(task: str | None) -> str:
        (found,) = (option[2] for option in shown(Declared(Options), task) if "--tag" in option[0])
        return str(found)

    assert (metavar("tag"), metavar(None)) == ("upos|xpos", "NAME")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "10"], "--size must be a whole number from 1 to 9, not 10"),
        (["--place", ""], "--place is empty"),
    ],
)
def test_numbers_and_paths_are_checked(words: list[str], message: str) -> None:
    def command(options: Annotated[Options, Declared(Options)]) -> None:
        raise AssertionError

    with pytest.raises(UsageError, match=message):
        click_command(expanded(command), "command")(words, standalone_mode=False)


def test_some_of_the_options() -> None:
    some = Declared(Options, ["tag_column", "cache", "part"])
    assert [p.name for p in some.parameters(None)] == ["cache", "tag_column"]
    values = {"cache": False, "tag_column": "xpos", "other": 5}
    assert some.build(values) == Options(cache=False, tag_column="xpos")
    assert values == {"other": 5}


def test_all_options_make_an_instance() -> None:
    values = {"cell_type": "gru", "cache": False, "tag_column": "x", "size": 5, "place": None}
    assert Declared(Options).build({**values, "part": 9}) == Options("gru", False, "x", 5, None, 3)
    values["part"] = 9
    Declared(Options).build(values)
    assert values == {"part": 9}


def test_an_option_of_several_values_is_given_repeatedly() -> None:
    def run(*words: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def command(given: Annotated[dict[str, Any], Given(Several)]) -> None:
            found.append(given)

        click_command(expanded(command), "command")(list(words), standalone_mode=False)
        return found[0]

    assert run() == {}
    assert run("--paths", "a") == {"paths": ("a",)}
    assert run("--paths", "a", "--paths", "b c") == {"paths": ("a", "b c")}
    with pytest.raises(UsageError, match="--paths is empty"):
        run("--paths", "a", "--paths", "")


def test_given_options_are_told_from_defaults() -> None:
    given = Given(Options)
    parameters = given.parameters("tag")
    assert [p.name for p in parameters] == ["cell_type", "cache", "tag_column", "size", "place"]
    assert [p.annotation.__origin__ for p in parameters][:3] == [
        str | None, bool | None, str | None,
    ]  # fmt: skip
    assert [option[1] for option in shown(given)] == [None] * 5
    values = {"cell_type": None, "cache": False, "tag_column": "", "size": None, "place": None}
    values["other"] = None
    assert given.build(values) == {"cache": False, "tag_column": ""}
    assert values == {"other": None}
