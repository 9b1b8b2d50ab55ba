"""Commands and groups of commands, as Typer builds them here.

Knows: Click's help, its parsing of sub-commands, and that a command is built only when it is
used. Does not know: any command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Neither help nor errors are drawn with Rich, which would have to be imported.
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


class LazyGroup(TyperGroup):
    """Sub-commands known by name and summary; each is built when it is used, because building
    all of them would double the time that help and completion take."""

    def build(self, name: str) -> Any:
        """The command of this name, as a Click command."""
        raise NotImplementedError

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, command, args = super().resolve_command(ctx, args)
        return name, command and self.build(str(command.name)), args


class SectionedCommand(TyperCommand):
    """A command whose help lists its options in sections: the `rich_help_panel` of each."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                other = "Arguments" if param.param_type_name == "argument" else "Other options"
                title = getattr(param, "rich_help_panel", None) or other
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def lazy_group(cls: type[LazyGroup], summaries: Mapping[str, str], **settings: Any) -> typer.Typer:
    """A Typer app that is a `cls` of the sub-commands in `summaries`."""
    app = typer.Typer(cls=cls, **settings, **_PLAIN)
    for name, summary in summaries.items():
        app.command(name, help=summary)(_placeholder)
    return app


def click_command(
    command: Callable[..., None] | typer.Typer,
    name: str,
    cls: type[TyperCommand] | None = None,
    help_text: str | None = None,
) -> Any:
    """The Click command of a function that Typer understands, or of a Typer app."""
    if isinstance(command, typer.Typer):
        return typer.main.get_command(command)
    app = typer.Typer(add_completion=False, **_PLAIN)
    app.command(name, cls=cls, help=help_text)(command)
    return typer.main.get_command(app)


def _placeholder() -> None:
    pass
