"""Ids of lines, put together from those of what stands between their spaces.

Knows: which lines can be put together so, and what was looked up before. Does not know: how a
chunk is encoded. Text repeats itself: most of a line is found here in a tenth of the time that the
library's tokenizer takes for it.

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
        found, mixed = self._look_up(set(chain.from_iterable(rows)))
        if mixed:
            whole = [number for number, row in enumerate(rows) if not mixed.isdisjoint(row)]
            # A text with its space at the start is no chunk of another.
            for number, ids in zip(whole, self._encode([texts[n] for n in whole]), strict=True):
                rows[number], found[texts[number]] = [texts[number]], ids
        pieces = [found[chunk] for row in rows for chunk in row]
        # All at once: an array for each line costs more than finding what is in it.
        joined = np.fromiter(chain.from_iterable(pieces), np.int32)
        after = np.cumsum([0, *map(len, pieces)])[np.cumsum([0, *map(len, rows)])].tolist()
        return [joined[start:stop] for start, stop in pairwise(after)]

    def _look_up(self, chunks: set[str]) -> tuple[dict[str, list[int]], set[str]]:
        """The ids of chunks, and those that mean something else in a line than on their own."""
        known = self._known  # nothing is taken out of what another thread may be looking at
        found = {chunk: known[chunk] for chunk in chunks if chunk in known}
        mixed: set[str] = set()
        if len(found) < len(chunks):
            fresh = [chunk for chunk in chunks if chunk not in found]
            mixed = {chunk for chunk in fresh if not self._stands_apart(chunk)}
            fresh = [chunk for chunk in fresh if chunk not in mixed]
            if fresh:
                ids = self._encode([self._space + chunk for chunk in fresh])
                found.update(zip(fresh, ids, strict=True))
            if len(known) >= _REMEMBERED:
                known = self._known = {}
            short = (chunk for chunk in fresh if len(chunk) <= _LONGEST)
            kept = islice(short, _REMEMBERED - len(known))
            known.update((chunk, found[chunk]) for chunk in kept)
        return found, mixed

    def _stands_apart(self, chunk: str) -> bool:
        if not self._space:
            return True
        return bool(chunk) and not chunk[0].isspace() and not chunk[-1].isspace()
