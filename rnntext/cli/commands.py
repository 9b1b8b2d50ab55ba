"""Commands and groups of commands, as Typer builds them here.

Knows: Click's help, its parsing of sub-commands, and that a command is built only when it is
used. Does not know: any command, or how a page of help is laid out (`help_page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Neither help nor errors are drawn with Rich, which would have to be imported.
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


class _WithPage:
    """Writes the whole of `--help` as `help_page` lays it out."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from rnntext.cli import help_page

        help_page.write(self, ctx, formatter)


class LazyGroup(_WithPage, TyperGroup):
    """Sub-commands known by name and summary; each is built when it is used, because building
    all of them would double the time that help and completion take."""

    # The commands of each section of the help, by its title; empty: one section of all.
    sections: Mapping[str, Mapping[str, str]] = {}

    def build(self, name: str) -> Any:
        """The command of this name, as a Click command."""
        raise NotImplementedError

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, args = super().resolve_command(ctx, args)
        return name, command and self.build(str(command.name)), args


class Command(_WithPage, TyperCommand):
    """A command that is no group."""


def lazy_group(cls: type[LazyGroup], summaries: Mapping[str, str], **settings: Any) -> typer.Typer:
    """A Typer app that is a `cls` of the sub-commands in `summaries`."""
    app = typer.Typer(cls=cls, **settings, **_PLAIN)
    for name, summary in summaries.items():
        app.command(name, help=summary)(_placeholder)
    return app


def click_command(
    command: Callable[..., None] | typer.Typer, name: str, help_text: str | None = None
) -> Any:
    """The Click command of a function that Typer understands, or of a Typer app."""
    if isinstance(command, typer.Typer):
        return typer.main.get_command(command)
    app = typer.Typer(add_completion=False, **_PLAIN)
    app.command(name, cls=Command, help=help_text)(command)
    return typer.main.get_command(app)


def _placeholder() -> None:
    pass
