"""Ids of lines, put together from those of what stands between their spaces.

Knows: which lines can be put together so, and what was looked up before. Does not know: how a
chunk is encoded. Text repeats itself: a line whose words are known takes less than a third of the
time that the library's tokenizer takes for it.

A splitter begins a new piece at a single space before another character, and looks back across
none. What a byte-level one makes of white space depends on all of it that stands together, so that
under `bpe` a line where more of it stands at a space is encoded as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice, pairwise

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

# Chunks that are remembered, and how long they are at most: some 20 MB in all.
_REMEMBERED = 1 << 16
_LONGEST = 40


class Chunks:
    """Encodes lines by their chunks; safe to share between threads."""

    def __init__(self, encode: Callable[[list[str]], list[list[int]]], space: str) -> None:
        """`encode` gives the ids of each of some texts. `space`: what every text and every chunk
        is encoded with at its start, a space or nothing."""
        self._encode, self._space = encode, space
        self._known: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """What `encode` gives for each text."""
        rows = [text.removeprefix(self._space).split(" ") for text in texts]
        chunks = set(chain.from_iterable(rows))
        mixed = {chunk for chunk in chunks.difference(self._known) if not self._stands_apart(chunk)}
        if mixed:
            # A text with its space at the start is no chunk of another.
            pairs = zip(texts, rows, strict=True)
            rows = [row if mixed.isdisjoint(row) else [text] for text, row in pairs]
            chunks = set(chain.from_iterable(rows))
        found = self._look_up(chunks)
        pieces = [found[chunk] for row in rows for chunk in row]
        # All at once: an array for each line costs more than finding what is in it.
        joined = np.fromiter(chain.from_iterable(pieces), np.int32)
        after = np.cumsum([0, *map(len, pieces)])[np.cumsum([0, *map(len, rows)])].tolist()
        return [joined[start:stop] for start, stop in pairwise(after)]

    def _look_up(self, chunks: set[str]) -> dict[str, list[int]]:
        """The ids of chunks and of whole texts."""
        known = self._known  # nothing is taken out of what another thread may be looking at
        found = {chunk: known[chunk] for chunk in chunks if chunk in known}
        fresh = [chunk for chunk in chunks if chunk not in found]
        if fresh:
            spaced = (chunk.removeprefix(self._space) for chunk in fresh)
            ids = self._encode([self._space + chunk for chunk in spaced])
            found.update(zip(fresh, ids, strict=True))
            if len(known) >= _REMEMBERED:
                known = self._known = {}
            short = (chunk for chunk in fresh if len(chunk) <= _LONGEST)
            kept = islice(short, _REMEMBERED - len(known))
            known.update((chunk, found[chunk]) for chunk in kept)
        return found

    def _stands_apart(self, chunk: str) -> bool:
        """Whether a chunk means the same on its own as in a line."""
        if not self._space:
            return True
        return bool(chunk) and not chunk[0].isspace() and not chunk[-1].isspace()
