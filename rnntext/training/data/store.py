"""Arrays of numbers in files, read in slices.

Knows: how numbers are stored in a file, also as rows of different lengths, and how a slice is read.
Does not know: the meaning of the numbers, the name of the file, or its other readers.

A slice is read into its own memory. A memory map would be less code, but every page read through it
stays resident, so memory would grow with the corpus.
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

_WINDOW = 1 << 20  # numbers counted together


class IdSequence(Protocol):
    """A sequence of numbers that can be sliced: an array, or a `Stream` on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, window: slice, /) -> Array: ...


def id_type(vocab_size: int) -> np.dtype[Any]:
    """Return the narrowest dtype for the ids of a vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.int32)


def counts_of(numbers: IdSequence, size: int) -> Array:
    """Return the number of occurrences of 0 to `size` - 1: (size,) int64."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(numbers), _WINDOW):
        counts += np.bincount(numbers[start : start + _WINDOW], minlength=size)
    return counts


class Stream:
    """An array in a file, which the stream owns and closes when it is garbage collected.

    A slice is an array in memory; uint16 becomes int32.
    """

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
        data = _read(self._file, start * size, max(0, stop - start) * size)
        numbers = np.frombuffer(data, self._dtype)
        # A sum of two uint16 may overflow, and PyTorch supports few operations on them.
        return numbers.astype(np.int32 if self._dtype == np.uint16 else self._dtype)


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


class RaggedArray:
    """Rows of different lengths, concatenated: row i is `values[offsets[i] : offsets[i + 1]]`.

    Both arrays may be on disk; no memory is used per row.
    """

    def __init__(self, values: IdSequence, offsets: IdSequence) -> None:
        self.values, self._offsets = values, offsets

    @classmethod
    def from_arrays(cls, arrays: Iterable[Array]) -> RaggedArray:
        """Concatenate the rows in memory."""
        rows = list(arrays)
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return cls(np.concatenate(rows) if rows else np.empty(0, np.int32), offsets)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Array:
        start, stop = self._offsets[index : index + 2].tolist()
        return self.values[start:stop]

    def __iter__(self) -> Iterator[Array]:
        return map(self.__getitem__, range(len(self)))

    def lengths(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the lengths of rows `start` to `stop` - 1; of all rows by default."""
        end = len(self) if stop is None else stop
        return np.diff(self._offsets[start : end + 1])

    def size(self) -> int:
        """Return the number of values in all rows."""
        return len(self.values)

    def select(self, index: Array) -> RaggedArray:
        """Return the rows with these indices, in ascending order, as a ragged array."""
        return _SelectedRows(self, index)


class _SelectedRows(RaggedArray):
    """Some rows of another ragged array; 8 bytes of memory for each."""

    def __init__(self, rows: RaggedArray, index: Array) -> None:
        super().__init__(rows.values, rows._offsets)
        self._rows, self._index = rows, index

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Array:
        return self._rows[int(self._index[index])]

    def lengths(self, start: int = 0, stop: int | None = None) -> Array:
        index = self._index[start:stop]
        if not len(index):
            return np.zeros(0, np.int64)
        first, last = int(index[0]), int(index[-1])
        return np.asarray(self._rows.lengths(first, last + 1)[index - first])

    def size(self) -> int:
        steps = range(0, len(self), _WINDOW)
        return sum(int(self.lengths(start, start + _WINDOW).sum()) for start in steps)


class StreamWriter:
    """Writes the file of a `Stream`."""

    def __init__(self, file: BinaryIO, dtype: npt.DTypeLike) -> None:
        self._file, self.dtype = file, np.dtype(dtype)
        self.length = 0

    def append(self, numbers: Array) -> None:
        self._file.write(np.ascontiguousarray(numbers, self.dtype).data)
        self.length += len(numbers)


class RaggedArrayWriter:
    """Writes the two streams of a `RaggedArray`: the values, and the offsets (int64)."""

    def __init__(self, values: StreamWriter, offsets: StreamWriter) -> None:
        self._values, self._offsets = values, offsets
        self._offsets.append(np.zeros(1, np.int64))

    def extend(self, rows: Sequence[Array]) -> None:
        if not rows:
            return
        self._offsets.append(self._values.length + np.cumsum([len(row) for row in rows]))
        self._values.append(np.concatenate(rows))
