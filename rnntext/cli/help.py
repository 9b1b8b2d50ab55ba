"""`rnntext help COMMAND`: what `--help` shows.

Knows: how the words of a command lead through the groups to it. Does not know: any command, or how
its help is laid out.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rnntext.cli.commands import LazyGroup
from rnntext.errors import UsageError


def _offered(ctx: typer.Context, incomplete: str) -> list[str]:
    """The commands of the group that the words before lead to."""
    try:
        group = _context(ctx, ctx.params.get("words") or ()).command
    except UsageError:
        return []
    names = group.commands if isinstance(group, LazyGroup) else ()
    return [name for name in names if name.startswith(incomplete)]


def command(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]...",
            help="A command, and its task or view.",
            show_default="the list of all commands",
            autocompletion=_offered,
        ),
    ] = None,
) -> None:
    """Show what a command can do: its options, with their defaults, and examples. `rnntext help
    train lm` shows what `rnntext train lm --help` shows."""
    typer.echo(_context(ctx, words or ()).get_help())


def _context(ctx: Any, words: list[str] | tuple[str, ...]) -> Any:
    """The context of the command that `words` name. Raises UsageError if there is none."""
    context = ctx.find_root()
    for word in words:
        group = context.command
        if not isinstance(group, LazyGroup) or word not in group.commands:
            raise UsageError(f"there is no command {' '.join(words)!r}; see `rnntext help`")
        built = group.build(word)
        context = built.context_class(built, parent=context, info_name=word)
    return context
