"""Samples a long text.

Knows: how to take a deterministic sample that is spread over the whole text. Does not know: the use
of the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rnntext.text.word_splitting import split_long_line

_STRETCH = 1 << 16  # characters that are sampled or skipped together


def spread(lines: Iterable[str], characters: int, max_characters: int) -> Iterator[str]:
    """Yield about `max_characters` characters of `lines`, in evenly spread stretches.

    `characters` is the length of all lines; if it is not above the maximum, all lines are yielded.
    Of a long line some pieces may be sampled.
    """
    if characters <= max_characters:
        yield from lines
        return
    position = 0
    for line in lines:
        for piece in split_long_line(line, _STRETCH):
            stretch = position // _STRETCH
            sampled_before = stretch * max_characters // characters
            if (stretch + 1) * max_characters // characters > sampled_before:
                yield piece
            position += len(piece)
        position += 1
