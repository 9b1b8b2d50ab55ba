"""Caches the ids of chunks, the text between two spaces, and joins them to the ids of lines.

Knows: which lines may be encoded chunk by chunk, and the ids of chunks encoded before. Does not
know: how a chunk is encoded. Text is repetitive: a line of cached words takes a seventh of the
library's time, because a word costs only a dictionary lookup.

This is correct because a pre-tokenizer splits before a single space that another character follows,
and looks at nothing before it. A byte-level one treats a run of white space as a whole, so under
`bpe` a line with a space next to other white space is encoded in one piece.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
Encode = Callable[[list[str]], list[list[int]]]

# The cache is cleared when it holds more chunks or ids than this, some 20 MB.
_MAX_CHUNKS = 1 << 16
_MAX_IDS = 1 << 20
# Characters. A longer chunk is not found again, but its ids count until the cache is cleared.
_MAX_CHUNK_LENGTH = 40


class ChunkCache:
    """Encodes lines chunk by chunk; can be shared between threads."""

    def __init__(self, encode: Encode, prefix: str) -> None:
        """`encode` returns the ids of each of its texts. `prefix`, a space or nothing, starts every
        line and is put before every chunk."""
        self._encode, self._prefix = encode, prefix
        self._lock = threading.Lock()
        self._table = _ChunkTable()

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the same ids for each text as `encode`."""
        rows = [self._split(text) for text in texts]
        starts, sizes, ids = self._look_up(chain.from_iterable(rows))
        # Gather the ids of all lines at once: an array per line costs more than its lookups.
        ends = np.cumsum(sizes)
        shift = np.repeat(starts - ends + sizes, sizes)
        joined = ids[np.arange(len(shift)) + shift]
        boundaries = np.append(0, ends)[np.cumsum([0, *map(len, rows)])].tolist()
        return [joined[start:stop] for start, stop in pairwise(boundaries)]

    def _split(self, text: str) -> list[str]:
        """Return the chunks of a text, or the whole text if chunks depend on each other."""
        line = text.removeprefix(self._prefix)
        chunks = line.split(" ")
        if not self._prefix or (line.isprintable() and "" not in chunks):
            return chunks  # the space is the only printable white space
        independent = all(
            chunk and not (chunk[0].isspace() or chunk[-1].isspace()) for chunk in chunks
        )
        # The leading space keeps a whole text apart from an equal chunk.
        return chunks if independent else [text]

    def _look_up(self, chunks: Iterable[str]) -> tuple[Indices, Indices, Ids]:
        """Return the start and the number of the ids of each chunk, and the array with the ids."""
        with self._lock:
            try:
                found = self._table.look_up(chunks, self._encode_chunks)
            except BaseException:  # after Ctrl-C some chunks have an index but no ids
                self._table = _ChunkTable()
                raise
            if self._table.is_full:
                self._table = _ChunkTable()
        return found

    def _encode_chunks(self, chunks: list[str]) -> list[list[int]]:
        return self._encode([self._prefix + chunk.removeprefix(self._prefix) for chunk in chunks])


class _ChunkTable:
    """The ids of all cached chunks, concatenated, with the offset and the count of each chunk."""

    def __init__(self) -> None:
        self._index = _ChunkIndex()
        self._chunk_count = self._id_count = 0  # used; the arrays have spare room
        self._starts: Indices = np.empty(0, np.int64)
        self._sizes: Indices = np.empty(0, np.int64)
        self._ids: Ids = np.empty(0, np.int32)

    @property
    def is_full(self) -> bool:
        return self._chunk_count > _MAX_CHUNKS or self._id_count > _MAX_IDS

    def look_up(self, chunks: Iterable[str], encode: Encode) -> tuple[Indices, Indices, Ids]:
        """Return starts, sizes and the array of ids, after encoding the chunks that are new."""
        indices = np.fromiter(map(self._index.__getitem__, chunks), np.int64)
        if self._index.new_chunks:
            self._add(self._index.new_chunks, encode)
        # Other threads may add ids meanwhile, but only behind those that exist now.
        return self._starts[indices], self._sizes[indices], self._ids

    def _add(self, new_chunks: list[str], encode: Encode) -> None:
        encoded = encode(new_chunks)
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ends = self._id_count + np.cumsum(sizes)
        ids = np.fromiter(chain.from_iterable(encoded), np.int32)
        self._starts = append(self._starts, self._chunk_count, ends - sizes)
        self._sizes = append(self._sizes, self._chunk_count, sizes)
        self._ids = append(self._ids, self._id_count, ids)
        self._chunk_count += len(new_chunks)
        self._id_count += len(ids)
        for chunk in new_chunks:
            if len(chunk) > _MAX_CHUNK_LENGTH:
                del self._index[chunk]
        new_chunks.clear()


class _ChunkIndex(dict[str, int]):
    """Maps chunks to indices; a lookup gives a new chunk the next index and lists it."""

    def __init__(self) -> None:
        super().__init__()
        self.new_chunks: list[str] = []
        self._next = 0

    def __missing__(self, chunk: str) -> int:
        index = self[chunk] = self._next
        self._next += 1
        self.new_chunks.append(chunk)
        return index


def append(
    array: npt.NDArray[Scalar], length: int, values: npt.NDArray[Scalar]
) -> npt.NDArray[Scalar]:
    """Write `values` behind the first `length` rows; reallocate at twice the size if needed. What
    others see of the first rows does not change."""
    stop = length + len(values)
    if stop > len(array):
        old, array = array, np.empty((max(stop, 2 * len(array)), *array.shape[1:]), array.dtype)
        array[:length] = old[:length]
    array[length:stop] = values
    return array
