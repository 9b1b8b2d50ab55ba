"""Options and arguments whose values are numbers, paths, or of a few words.

Knows: how Typer declares one whose text is checked before anything is done with it. Does not know:
any option, or the ranges (`rnntext/arguments.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from rnntext.arguments import Number, Range, check_path
from rnntext.cli.completion import of_metavar, packaged_models
from rnntext.packaged import locate_model


@dataclass(frozen=True)
class NumberParser:
    """Reads the text of a number; Typer also passes defaults, which are numbers already."""

    flag: str
    within: Range
    __name__ = "number"  # Click names the type of a value after its function

    def __call__(self, value: str | Number) -> Number:
        return self.within.parse(self.flag, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class PathParser:
    """Refuses an empty path, which Python takes for the working directory."""

    name: str
    metavar: str
    __name__ = "path"

    def __call__(self, value: str) -> str:
        check_path(self.name, value, self.metavar)
        return value


@dataclass(frozen=True)
class ModelParser(PathParser):
    """The path of a model: `demo:NAME` is a model of the package."""

    def __call__(self, value: str) -> str:
        return str(locate_model(super().__call__(value)))


def number_option(*flags: str, within: Range, **settings: Any) -> Any:
    """A `typer.Option` whose value is a number in plain digits, in a range that its help states.
    The last of `flags` is its name in messages."""
    settings["help"] += f" [{within}]"
    return typer.Option(*flags, parser=NumberParser(flags[-1], within), **settings)


def choice_option(*flags: str, metavar: str, **settings: Any) -> Any:
    """A `typer.Option` whose values its metavar lists, as in `reset|carry`: shells complete them.
    Whoever takes the value refuses another."""
    return typer.Option(*flags, metavar=metavar, autocompletion=of_metavar(metavar), **settings)


def path_option(*flags: str, metavar: str, **settings: Any) -> Any:
    """A `typer.Option` whose value is a path that is not empty."""
    return typer.Option(*flags, metavar=metavar, parser=PathParser(flags[0], metavar), **settings)


def model_option(*flags: str, **settings: Any) -> Any:
    """A `typer.Option` that names a model."""
    parser = ModelParser(flags[0], "DIR")
    return typer.Option(
        *flags, metavar="DIR", parser=parser, autocompletion=packaged_models, **settings
    )


def model_argument(metavar: str, **settings: Any) -> Any:
    """A `typer.Argument` that names a model, or each of several."""
    parser = ModelParser(metavar.strip("[]."), metavar)
    return typer.Argument(
        metavar=metavar, parser=parser, autocompletion=packaged_models, **settings
    )


def path_argument(metavar: str, **settings: Any) -> Any:
    """A `typer.Argument` whose value, or each of several, is a path that is not empty."""
    parser = PathParser(metavar.strip("[]."), metavar)
    return typer.Argument(metavar=metavar, parser=parser, **settings)
