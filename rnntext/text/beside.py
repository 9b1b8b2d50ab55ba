"""The columns of answers beside those that a row has itself.

Knows: what a column may hold, and its name where the row has that name too. Does not know: what an
answer means, or formats of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

# What a column holds: `str`, `int`, `float` or a number of NumPy; a list, which holds its one
# element; an object, with the name and the kind of each of its values.
Kind = type[Any] | list[Any] | dict[str, Any]

PREFIX = "rnntext_"


def names_beside(own: Collection[str], names: Iterable[str]) -> list[str]:
    """Return the names of columns beside the `own` ones of a row: one that is taken has the prefix
    `rnntext_`, as often as needed."""
    found = []
    for name in names:
        while name in own:
            name = PREFIX + name
        found.append(name)
    return found


def rounded(value: Any) -> Any:
    """Return a value of JSON, or what it consists of, with its numbers rounded to six decimals."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [rounded(item) for item in value]
    return value
