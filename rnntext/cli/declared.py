"""Options for Typer made from the declarations of training options (`training/declaration.py`).

Knows: how a declaration becomes a flag, its help text and its section. Does not know: any option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from rnntext.cli.completion import completion_of
from rnntext.cli.signature import keyword
from rnntext.cli.values import number_option, path_option
from rnntext.training.declaration import Declaration, declarations
from rnntext.training.default_texts import default_text


class Declared:
    """The declared options of a dataclass, or those in `names`; the function gets an instance."""

    def __init__(
        self,
        cls: type[Any],
        names: Sequence[str] = (),
        shown_defaults: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`shown_defaults`: what the help says in place of the defaults of `train`, by name."""
        self._cls, self._shown_defaults = cls, shown_defaults
        self._declarations = {
            name: declaration
            for name, declaration in declarations(cls).items()
            if declaration.help_text and (not names or name in names)
        }

    def parameters(self, task: str | None) -> list[inspect.Parameter]:
        hints = get_type_hints(self._cls)
        defaults = {item.name: item.default for item in fields(self._cls)}
        return [
            self._parameter(
                name,
                hints[name],
                defaults[name],
                _option(
                    name,
                    declaration,
                    task,
                    self._shown_defaults.get(name)
                    or default_text(name, defaults[name], declaration, task),
                ),
            )
            for name, declaration in self._declarations.items()
        ]

    def build(self, values: dict[str, Any]) -> Any:
        return self._cls(**{name: values.pop(name) for name in self._declarations})

    def _parameter(self, name: str, hint: Any, default: Any, option: Any) -> inspect.Parameter:
        return keyword(name, Annotated[hint, option], default)


class Given(Declared):
    """The declared options of a dataclass; the function gets those that were given as a dict."""

    def build(self, values: dict[str, Any]) -> dict[str, Any]:
        given = {name: values.pop(name) for name in self._declarations}
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }

    def _parameter(self, name: str, hint: Any, default: Any, option: Any) -> inspect.Parameter:
        if get_origin(hint) is tuple:  # to Typer a list is an option that may be given repeatedly
            hint = list[get_args(hint)[0]]  # type: ignore[misc]
        return keyword(name, Annotated[hint | None, option], None)


def _option(name: str, declaration: Declaration, task: str | None, shown_default: str) -> Any:
    declare: Callable[..., Any] = typer.Option
    if declaration.within is not None:
        declare = partial(number_option, within=declaration.within)
    elif declaration.is_path:
        declare = path_option
    metavar = declaration.metavar_of(task)
    return declare(
        declaration.flags(name),
        metavar=metavar,
        help=declaration.help_text,
        hidden=task is not None and task not in declaration.tasks,
        rich_help_panel=declaration.panel,
        show_default=shown_default or False,
        autocompletion=completion_of(name, metavar),
    )
