"""A sample of a long text.

Knows: how to take a part that is spread over the whole, the same each time. Does not know: what
it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rnntext.text.word_splitting import cut

_STRETCH = 1 << 16  # characters that are taken or left together


def spread(lines: Iterable[str], characters: int, most: int) -> Iterator[str]:
    """About `most` characters of lines that have so many in all, in evenly spread stretches;
    all of them where they are no more. A long line may give some of its pieces."""
    if characters <= most:
        yield from lines
        return
    at = 0
    for line in lines:
        for piece in cut(line, _STRETCH):
            stretch = at // _STRETCH
            if (stretch + 1) * most // characters > stretch * most // characters:
                yield piece
            at += len(piece)
        at += 1
