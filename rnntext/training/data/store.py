"""Numbers on disk, read in windows.

Knows: how ids lie in a file end to end, also as rows of different lengths, and how a window of
them is read. Does not know: what the numbers mean, which file they lie in, or who else reads it.

A window is read into memory of its own. A memory map would be less code, but every page that was
once read through one counts as resident: memory would grow with the corpus after all.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from rnntext.errors import DataError

Array = npt.NDArray[Any]

_WINDOW = 1 << 20  # numbers looked at together where all are looked at


class IdSequence(Protocol):
    """A row of numbers that can be sliced: an array, or a `Stream` that has it on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, window: slice, /) -> Array: ...


def id_type(vocab_size: int) -> np.dtype[Any]:
    """The narrowest type that holds the ids of a vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


def counts_of(numbers: IdSequence, size: int) -> Array:
    """How often each number from 0 to `size` - 1 is there."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(numbers), _WINDOW):
        counts += np.bincount(numbers[start : start + _WINDOW], minlength=size)
    return counts


class Stream:
    """Numbers in a file, which is its own from here on and is closed with it. A slice of it is
    an array, int32 where the file has uint16."""

    def __init__(self, file: BinaryIO, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._file = file
        self._length = os.fstat(file.fileno()).st_size // self._dtype.itemsize
        weakref.finalize(self, file.close)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, window: slice, /) -> Array:
        start, stop, _ = window.indices(self._length)
        size = self._dtype.itemsize
        found = np.frombuffer(
            _read(self._file, start * size, max(0, stop - start) * size), self._dtype
        )
        # A sum of two uint16 may overflow, and PyTorch hardly knows them.
        return found.astype(np.int32 if self._dtype == np.uint16 else self._dtype)


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    pieces = []
    while size:
        if hasattr(os, "pread"):
            piece = os.pread(file.fileno(), size, start)
        else:  # Windows
            file.seek(start)
            piece = file.read(size)
        if not piece:
            raise DataError("the encoded text was cut short while it was in use: run again")
        pieces.append(piece)
        start += len(piece)
        size -= len(piece)
    return b"".join(pieces)


class Rows:
    """Rows of numbers of different lengths, laid end to end: row i is
    `values[offsets[i] : offsets[i + 1]]`. Both may be on disk; nothing is held for a row."""

    def __init__(self, values: IdSequence, offsets: IdSequence) -> None:
        self.values, self._offsets = values, offsets

    @classmethod
    def of(cls, rows: Iterable[Array]) -> Rows:
        """The rows in memory."""
        given = list(rows)
        offsets = np.cumsum([0, *map(len, given)], dtype=np.int64)
        return cls(np.concatenate(given) if given else np.empty(0, np.int32), offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Array:
        start, stop = self._offsets[index : index + 2].tolist()
        return self.values[start:stop]

    def __iter__(self) -> Iterator[Array]:
        return map(self.__getitem__, range(len(self)))

    def lengths(self, start: int = 0, stop: int | None = None) -> Array:
        """The lengths of rows `start` to `stop`, that one not included; of all of them."""
        end = len(self) if stop is None else stop
        return np.diff(self._offsets[start : end + 1])


class StreamWriter:
    """Writes what a `Stream` reads."""

    def __init__(self, file: BinaryIO, dtype: npt.DTypeLike) -> None:
        self._file, self.dtype = file, np.dtype(dtype)
        self.length = 0

    def append(self, numbers: Array) -> None:
        self._file.write(np.ascontiguousarray(numbers, self.dtype).data)
        self.length += len(numbers)


class RowsWriter:
    """Writes what `Rows` reads: values to one stream, offsets (int64) to another."""

    def __init__(self, values: StreamWriter, offsets: StreamWriter) -> None:
        self._values, self._offsets = values, offsets
        self._offsets.append(np.zeros(1, np.int64))

    def extend(self, rows: Sequence[Array]) -> None:
        if not rows:
            return
        self._offsets.append(self._values.length + np.cumsum([len(row) for row in rows]))
        self._values.append(np.concatenate(rows))
