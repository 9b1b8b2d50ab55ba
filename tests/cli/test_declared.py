"""Options made from declarations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from rnntext.cli.commands import click_command
from rnntext.cli.declared import Declared, Given
from rnntext.training.options import no_flag, option


@dataclass(frozen=True)
class Options:
    """Three options with flags and one without."""

    cell_type: str | None = option(
        None, "A cell.", panel="Model", changes_data=False, choices=("gru", "lstm")
    )
    cache: bool = option(True, "Keep it.", panel="Data", changes_data=True, negatable=True)
    tag_column: str = option(
        "upos", "A column.", panel="Data", changes_data=True, metavar="NAME", tasks=("tag",)
    )
    part: int = field(default=3, metadata=no_flag(changes_data=False))


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
    ]
    hints = [p.annotation.__origin__ for p in Declared(Options).parameters(None)]
    assert hints == [str | None, bool, str]


def test_options_of_other_tasks_are_hidden() -> None:
    def flags(task: str | None) -> list[str]:
        return [option[0] for option in shown(Declared(Options), task)]

    assert flags(None) == ["--cell-type", "--cache/--no-cache", "--tag-column"]
    assert flags("lm") == ["--cell-type", "--cache/--no-cache"]
    assert flags("tag") == ["--cell-type", "--cache/--no-cache", "--tag-column"]


def test_some_of_the_options() -> None:
    some = Declared(Options, ["tag_column", "cache", "part"])
    assert [p.name for p in some.parameters(None)] == ["cache", "tag_column"]
    values = {"cache": False, "tag_column": "xpos", "other": 5}
    assert some.build(values) == Options(cache=False, tag_column="xpos")
    assert values == {"other": 5}


def test_all_options_make_an_instance() -> None:
    values = {"cell_type": "gru", "cache": False, "tag_column": "xpos", "part": 9}
    assert Declared(Options).build(values) == Options("gru", False, "xpos", 3)
    assert values == {"part": 9}


def test_given_options_are_told_from_defaults() -> None:
    given = Given(Options)
    parameters = given.parameters("tag")
    assert [p.name for p in parameters] == ["cell_type", "cache", "tag_column"]
    assert [p.annotation.__origin__ for p in parameters] == [str | None, bool | None, str | None]
    assert [option[1] for option in shown(given)] == [None, None, None]
    values = {"cell_type": None, "cache": False, "tag_column": "", "other": None}
    assert given.build(values) == {"cache": False, "tag_column": ""}
    assert values == {"other": None}
