"""Lines of text that fit into a number of columns.

Knows: how many columns characters take, where a line may break, and what is left out of one that is
too long. Does not know: what the text says, or where it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from rnntext.text.columns import columns_of

LOG_COLUMNS = 80  # of a line where no terminal says how many it has
_INDENT = "  "  # of the further lines of a message
_MOST_NAME = 40  # columns of a name within a message
_CUT = "…"
# A command in backquotes stays on one line, to be copied.
_WORD = re.compile(r"\s*(?:[^\s`]*`[^`]*`\S*|\S+)")
_JOINER = "\u200d"  # joins two emoji to one


class Part(NamedTuple):
    """A part of a line, with the space before it."""

    text: str
    rank: int  # the parts of the lowest rank are the last to be left out


def fitting(parts: Sequence[Part], columns: int) -> str:
    """Join the parts in their order, without those for which there is no room: of a high rank, and
    of an equal rank the later ones."""
    kept: set[int] = set()
    used = 0
    for number, part in sorted(enumerate(parts), key=lambda item: item[1].rank):
        size = columns_of(part.text)
        if used + size <= columns or not kept:
            kept.add(number)
            used += size
    return "".join(part.text for number, part in enumerate(parts) if number in kept).lstrip()


def wrapped(text: str, columns: int) -> str:
    """Break a message between words into lines of at most `columns`; the further ones are indented.
    A longer word, such as a path, stays whole: it is to be copied."""
    if columns_of(text) <= columns:
        return text
    first, *words = _WORD.findall(text)
    lines = [first]
    for word in words:
        if columns_of(lines[-1] + word) <= columns:
            lines[-1] += word
        else:
            lines.append(_INDENT + word.lstrip())
    return "\n".join(lines)


def shortened(name: str, columns: int = _MOST_NAME) -> str:
    """Return a name in at most so many columns, its middle left out where it is longer."""
    if columns_of(name) <= columns:
        return name
    room = columns - len(_CUT)
    end = _end_of(name, room // 2)
    return _beginning_of(name, room - columns_of(end)) + _CUT + end


def ending(text: str, columns: int) -> str:
    """Return the end of a line of text in at most so many columns. A sign shows that its start is
    cut, and no word is: but for a last word that is longer."""
    if columns_of(text) <= columns:
        return text
    end = _end_of(text, columns - len(_CUT))
    if not text[: len(text) - len(end)].endswith(" "):
        whole = end.partition(" ")[2].lstrip()
        end = whole or end
    return _CUT + end.lstrip()


def _end_of(text: str, columns: int) -> str:
    used = 0
    start = len(text)
    for index in range(len(text) - 1, -1, -1):
        used += columns_of(text[index])
        if used > columns:
            break
        # Marks and joined emoji stay with what they belong to.
        if columns_of(text[index]) and _JOINER not in text[max(0, index - 1) : index + 1]:
            start = index
    return text[start:]


def _beginning_of(text: str, columns: int) -> str:
    used = 0
    for index, char in enumerate(text):
        used += columns_of(char)
        if used > columns:
            return text[:index]
    return text
