"""Explanations of single answers, beside the answers: `classify --explain`.

Knows: how the shares of a text's words look in a column and on a terminal. Does not know: how they
are computed, or the pictures of `inspect explain`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from rnntext.inspection.explanation import Explanation

_IN_COLUMN = 5  # words, the strongest first
# A word is coloured, and printed with its share, from these parts of the strongest word's on.
_COLOURED, _WRITTEN = 0.15, 0.5


def column(found: Explanation | None) -> str:
    """The strongest words with their signed shares: `funny:+1.32 dull:-0.40`. Empty for a text that
    could not be explained."""
    if found is None:
        return ""
    totals = found.shares.total
    return " ".join(f"{found.words[i]}:{totals[i]:+.2f}" for i in found.strongest(_IN_COLUMN))


def coloured(text: str, found: Explanation | None) -> Text:
    """The text on one line, words for the answer in green and words against it in red, the
    strongest with their shares, so that they can be read without colours too."""
    from rich.text import Text

    line = Text()
    for part, style in _styled_parts(text, found):
        line.append(part, style)
    return line


def _styled_parts(text: str, found: Explanation | None) -> Iterator[tuple[str, str]]:
    if found is None:
        yield " ".join(text.split()), ""
        return
    totals = found.shares.total.tolist()
    most = max(map(abs, totals), default=0.0) or 1.0
    end = 0
    for (start, stop), total in zip(found.places, totals, strict=False):
        if 0 < end < start:  # white space at the start of a text is left out
            yield " ", ""
        strength = abs(total) / most
        colour = "green" if total > 0 else "red"
        style = "" if strength < _COLOURED else colour if strength < _WRITTEN else f"bold {colour}"
        yield text[start:stop], style
        if strength >= _WRITTEN:
            yield f"({total:+.2f})", f"dim {colour}"
        end = stop
