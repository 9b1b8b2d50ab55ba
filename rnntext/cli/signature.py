"""Composes the signature from which Typer builds a command.

Knows: how a group of options becomes parameters, and their values one object again. Does not
know: any option.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, get_type_hints


class OptionGroup(Protocol):
    """Several options that a function takes as one object."""

    def parameters(self, task: str | None) -> list[inspect.Parameter]:
        """One keyword parameter for each option, annotated for Typer. Options that do not serve
        the task are hidden."""

    def build(self, values: dict[str, Any]) -> Any:
        """The object; takes the options' values out of `values`."""


def expanded(function: Callable[..., None], task: str | None = None) -> Callable[..., None]:
    """Return `function` with a signature for Typer.

    A parameter annotated with a dataclass, or with an `OptionGroup` in `Annotated`, is replaced
    by the options of that group; the function gets one object. With `task`, the function's
    parameter `task` has that value and is no option.
    """
    hints = get_type_hints(function, include_extras=True)
    bound = {} if task is None else {"task": task}
    groups: dict[str, OptionGroup] = {}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        group = _group_of(hints[name])
        if group is not None:
            groups[name] = group
            parameters += group.parameters(task)
        elif name not in bound:
            parameters.append(keyword(name, hints[name], parameter.default))

    def command(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group.build(values)
        function(**bound, **values)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """A keyword parameter, which may stand anywhere in a signature."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _group_of(hint: Any) -> OptionGroup | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return _AnnotatedFields(hint)
    extras = getattr(hint, "__metadata__", ())
    return next((extra for extra in extras if hasattr(extra, "parameters")), None)


class _AnnotatedFields:
    """A dataclass whose fields are annotated for Typer."""

    def __init__(self, cls: type[Any]) -> None:
        self._cls = cls

    def parameters(self, task: str | None) -> list[inspect.Parameter]:
        hints = get_type_hints(self._cls, include_extras=True)
        return [keyword(item.name, hints[item.name], item.default) for item in fields(self._cls)]

    def build(self, values: dict[str, Any]) -> Any:
        return self._cls(**{item.name: values.pop(item.name) for item in fields(self._cls)})
