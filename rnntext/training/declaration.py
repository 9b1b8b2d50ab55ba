"""How options are declared: what the checks, the cache key and the command line need to know.

Knows: the fields of a declaration, and the checks that follow from it. Does not know: any option
(`options.py`, `execution_options.py`), nor torch or the library that parses the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rnntext.arguments import Range, check_path
from rnntext.config import one_of
from rnntext.tasks import TASKS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_DECLARATION = "declaration"


class Declaration(NamedTuple):
    """What the cache key, the checks and the command line need to know of an option."""

    changes_data: bool  # the option changes which text is read or how it is encoded
    help_text: str = ""  # empty: no flag is made from this declaration
    metavar: str | None = None
    panel: str = ""  # section of the help
    tasks: tuple[str, ...] = tuple(TASKS)  # tasks that have the option
    choices: tuple[str, ...] = ()
    within: Range | None = None
    is_path: bool = False
    negatable: bool = False  # `--no-NAME` switches the option off
    set_by_init: bool = False  # the model that --init names determines the value
    ignored_elsewhere: bool = False  # other tasks accept the option, though they do not use it
    metavars: Mapping[str, str] = MappingProxyType({})  # in the help of each task

    def metavar_of(self, task: str | None) -> str | None:
        """The metavar in the help of a task; None: of no one task."""
        return self.metavar if task is None else self.metavars.get(task, self.metavar)

    def flags(self, name: str) -> str:
        """The flags of the option `name` as Click writes them: `--seed`, `--cache/--no-cache`."""
        return f"{flag_of(name)}/{flag_of(f'no_{name}')}" if self.negatable else flag_of(name)


def option(
    default: Any,
    help_text: str,
    *,
    panel: str,
    changes_data: bool,
    metavar: str | None = None,
    tasks: tuple[str, ...] = tuple(TASKS),
    choices: tuple[str, ...] = (),
    within: Range | None = None,
    is_path: bool = False,
    negatable: bool = False,
    set_by_init: bool = False,
    ignored_elsewhere: bool = False,
    metavars: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """A dataclass field that carries its `Declaration`; `metavar` defaults to the choices."""
    declaration = Declaration(
        changes_data, help_text, metavar or "|".join(choices) or None, panel, tasks, choices,
        within, is_path, negatable, set_by_init, ignored_elsewhere, metavars,
    )  # fmt: skip
    return field(default=default, metadata={_DECLARATION: declaration})


def no_flag(*, changes_data: bool, within: Range | None = None) -> dict[str, Declaration]:
    """Metadata of a dataclass field for which the command line makes no flag."""
    return {_DECLARATION: Declaration(changes_data, within=within)}


def declarations(options: type) -> dict[str, Declaration]:
    """The declarations of a dataclass of options by field name, in the order of the fields."""
    return {item.name: item.metadata[_DECLARATION] for item in fields(options)}


def flag_of(name: str) -> str:
    """The flag that sets the option `name`."""
    return "--" + name.replace("_", "-")


def check_values(options: DataclassInstance) -> None:
    """Raise UsageError for a value that is none of the choices or not within the range, and
    for an empty path. None is valid where it is the default."""
    for item in fields(options):
        value = getattr(options, item.name)
        declaration: Declaration = item.metadata[_DECLARATION]
        if value is None and item.default is None:
            continue
        flag = flag_of(item.name)
        if declaration.choices:
            one_of(flag, value, declaration.choices)
        if declaration.within is not None:
            declaration.within.check(flag, value)
        if declaration.is_path:
            for path in value if isinstance(value, tuple) else (value,):
                check_path(flag, path, declaration.metavar)
