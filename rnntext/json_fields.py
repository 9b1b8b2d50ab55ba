"""Dataclasses from JSON, with the type of every field checked.

Knows: which JSON value each type annotation allows. Does not know: any particular dataclass, file
or command.
"""

from __future__ import annotations

import json
import sys
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Record = TypeVar("Record")

_DESCRIPTIONS = {str: "a string", bool: "true or false", int: "an integer", float: "a number"}
_SHOWN_CHARACTERS = 40


class FieldError(ValueError):
    """A field is missing or has another type; the message names it and the expected type."""


def read_record(
    record: type[Record], value: object, name: str = "", *, allow_unknown: bool = True
) -> Record:
    """Make a dataclass of a JSON object.

    record: a dataclass whose annotations are made of `str`, `bool`, `int`, `float`, `Any`,
    `X | None`, `tuple[X, ...]`, `tuple[X, Y]`, `dict[str, X]` and such dataclasses. name: where
    the object stands in the file, for messages. Missing fields take their defaults.

    Raises FieldError for a field that is missing or has another type, also for an unknown one if
    not `allow_unknown`, and whatever `__post_init__` raises.
    """
    if not isinstance(value, dict):
        raise _mismatch(name, "an object", value)
    hints = get_type_hints(record)
    arguments = {}
    for field in fields(record):  # type: ignore[arg-type]
        path = _join(name, field.name)
        if field.name in value:
            hint = hints[field.name]
            arguments[field.name] = read_value(hint, value[field.name], path, allow_unknown)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise FieldError(f"{path} is missing")
    unknown = value.keys() - hints.keys()
    if unknown and not allow_unknown:
        raise FieldError(f"{_join(name, min(unknown))} is unknown")
    return record(**arguments)


def read_value(hint: Any, value: object, name: str, allow_unknown: bool = True) -> Any:
    """Return a JSON value as the type `hint`: lists become tuples and objects dataclasses where
    the type says so. Raises FieldError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is UnionType:  # X | None
        if value is None and NoneType in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not NoneType)
        return read_value(hint, value, name, allow_unknown)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mismatch(name, "a list", value)
        if arguments[1:] == (...,) and all(type(item) is arguments[0] for item in value):
            return tuple(value)  # many labels are checked in no time
        hints = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        if len(hints) != len(value):
            raise _mismatch(name, f"a list of {len(hints)}", value)
        return tuple(
            read_value(hint, item, f"{name}[{index}]", allow_unknown)
            for index, (hint, item) in enumerate(zip(hints, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise _mismatch(name, "an object", value)
        return {
            key: read_value(arguments[1], item, _join(name, key), allow_unknown)
            for key, item in value.items()
        }
    if is_dataclass(hint):
        return read_record(hint, value, name, allow_unknown=allow_unknown)  # type: ignore[arg-type]
    if not _is_scalar(hint, value):
        raise _mismatch(name, _DESCRIPTIONS[hint], value)
    return value


def _is_scalar(hint: type, value: object) -> bool:
    if hint is float:
        # An integer is a number too. Python's JSON also reads NaN, Infinity and integers beyond
        # every float.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    return type(value) is hint  # a bool is an int to Python


def _join(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field


def _mismatch(name: str, expected: str, value: object) -> FieldError:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return FieldError(f"{name or 'it'} must be {expected}, not {shown}")
