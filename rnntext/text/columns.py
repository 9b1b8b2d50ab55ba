"""How many columns of a terminal a text takes.

Knows: wide characters, emoji, and marks that are written over others. Does not know: terminals, or
what is done with a text that is too long.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise

# Shows the character before it as an emoji, which is wide.
_AS_EMOJI = "\ufe0f"


def columns_of(text: str) -> int:
    """Return how many columns a text of one line takes in letters of equal width."""
    if text.isascii():
        return len(text)
    emoji = (
        after == _AS_EMOJI and columns_of_character(before) == 1 for before, after in pairwise(text)
    )
    return sum(map(columns_of_character, text)) + sum(emoji)


def columns_of_character(char: str) -> int:
    """Return 0 for a mark, 2 for an emoji or a wide character, 1 for others."""
    if char.isascii():
        return 1
    # The soft hyphen, U+00AD, is shown; other formatting characters are not.
    if unicodedata.category(char) in ("Mn", "Me", "Cf") and char != "\xad":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
