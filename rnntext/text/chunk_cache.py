"""Ids of lines, put together from those of what stands between their spaces.

Knows: which lines can be put together so, and what was met before. Does not know: how a chunk is
encoded. Text repeats itself: a line whose words are known takes a seventh of the time that the
library's tokenizer takes for it, for nothing is done for a word but to look it up.

A splitter begins a new piece at a single space before another character, and looks back across
none. What a byte-level one makes of white space depends on all of it that stands together, so that
under `bpe` a line where more of it stands at a space is encoded as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)
Encode = Callable[[list[str]], list[list[int]]]

# Chunks and ids at which all are forgotten, some 20 MB of them, and how long a chunk may be that is
# remembered. A longer one counts too, as long as its ids are held.
_MOST_CHUNKS = 1 << 16
_MOST_IDS = 1 << 20
_LONGEST = 40


class Chunks:
    """Encodes lines by their chunks; safe to share between threads."""

    def __init__(self, encode: Encode, space: str) -> None:
        """`encode` gives the ids of each of some texts. `space`: what every text and every chunk
        is encoded with at its start, a space or nothing."""
        self._encode, self._space = encode, space
        self._lock = threading.Lock()
        self._met = _Met()

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """What `encode` gives for each text."""
        rows = [self._apart(text) for text in texts]
        starts, sizes, ids = self._find(chain.from_iterable(rows))
        # All at once: an array for each line costs more than finding what is in it.
        ends = np.cumsum(sizes)
        shift = np.repeat(starts - ends + sizes, sizes)
        joined = ids[np.arange(len(shift)) + shift]
        after = np.append(0, ends)[np.cumsum([0, *map(len, rows)])].tolist()
        return [joined[start:stop] for start, stop in pairwise(after)]

    def _apart(self, text: str) -> list[str]:
        """A text's chunks, or the text alone where not each means the same on its own."""
        rest = text.removeprefix(self._space)
        chunks = rest.split(" ")
        if not self._space or (rest.isprintable() and "" not in chunks):
            return chunks  # of white space the space alone can be printed
        alike = all(chunk and not (chunk[0].isspace() or chunk[-1].isspace()) for chunk in chunks)
        # With its space at the start it is no chunk of another text.
        return chunks if alike else [text]

    def _find(self, chunks: Iterable[str]) -> tuple[Numbers, Numbers, Ids]:
        with self._lock:
            try:
                found = self._met.find(chunks, self._spaced)
            except BaseException:  # Ctrl-C leaves chunks that have a number and no ids
                self._met = _Met()
                raise
            if self._met.full:
                self._met = _Met()
        return found

    def _spaced(self, chunks: list[str]) -> list[list[int]]:
        return self._encode([self._space + chunk.removeprefix(self._space) for chunk in chunks])


class _Met:
    """The chunks that were met, with their ids side by side."""

    def __init__(self) -> None:
        self._numbers = _Numbered()
        self._count = self._end = 0  # chunks and ids that the arrays hold
        self._starts: Numbers = np.empty(0, np.int64)
        self._sizes: Numbers = np.empty(0, np.int64)
        self._ids: Ids = np.empty(0, np.int32)

    @property
    def full(self) -> bool:
        return self._count > _MOST_CHUNKS or self._end > _MOST_IDS

    def find(self, chunks: Iterable[str], encode: Encode) -> tuple[Numbers, Numbers, Ids]:
        """Where each chunk's ids start, how many they are, and in what."""
        numbers = np.fromiter(map(self._numbers.__getitem__, chunks), np.int64)
        if self._numbers.fresh:
            self._learn(self._numbers.fresh, encode)
        # What was found does not change later: the arrays are only ever written past it.
        return self._starts[numbers], self._sizes[numbers], self._ids

    def _learn(self, fresh: list[str], encode: Encode) -> None:
        encoded = encode(fresh)
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ends = self._end + np.cumsum(sizes)
        ids = np.fromiter(chain.from_iterable(encoded), np.int32)
        self._starts = _written(self._starts, self._count, ends - sizes)
        self._sizes = _written(self._sizes, self._count, sizes)
        self._ids = _written(self._ids, self._end, ids)
        self._count, self._end = self._count + len(fresh), self._end + len(ids)
        for chunk in fresh:
            if len(chunk) > _LONGEST:
                del self._numbers[chunk]
        fresh.clear()


class _Numbered(dict[str, int]):
    """Numbers chunks as they are looked up; the new ones stand in `fresh`."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[str] = []
        self._next = 0

    def __missing__(self, chunk: str) -> int:
        number = self[chunk] = self._next
        self._next += 1
        self.fresh.append(chunk)
        return number


def _written(
    array: npt.NDArray[Number], start: int, more: npt.NDArray[Number]
) -> npt.NDArray[Number]:
    """`array` with `more` from `start` on, another one where there is not enough room."""
    stop = start + len(more)
    if stop > len(array):
        array, old = np.empty(max(stop, 2 * len(array)), array.dtype), array
        array[:start] = old[:start]
    array[start:stop] = more
    return array
