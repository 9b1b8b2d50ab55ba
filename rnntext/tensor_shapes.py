"""The tensors in a safetensors file, read from its header alone: names, element types, shapes.

Knows: the layout of the header, and that every number in it may be a stranger's: a shape, its
element type and its place in the file must agree before anything is allocated. Does not know: what
the tensors are, or the library that reads them.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rnntext.held_file import damaged

# Bytes of one element.
_ELEMENT_SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
# The header of 64 layers in two directions takes a tenth of it.
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What the header says of one tensor."""

    element_type: str  # as in the file: F32, F16, U32, ...
    shape: tuple[int, ...]
    start: int  # of its bytes in the file

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def read_shapes(path: Path, handle: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of an open safetensors file: 8 bytes of header length, a JSON
    header, the data. Raises CheckpointError, which names `path`, if it is damaged."""
    size = os.fstat(handle.fileno()).st_size
    start = handle.read(8)
    length = int.from_bytes(start, "little")
    if size < 8 or length > size - 8:
        raise damaged(path, "its header is cut short")
    if length > _LONGEST_HEADER:
        raise damaged(path, "its header is too long")
    try:
        entries = read_entries(start + handle.read(length), size)
    except ValueError as error:
        raise damaged(path, error) from None
    return {name: entry.shape for name, entry in entries.items()}


def read_entries(content: bytes, size: int) -> dict[str, TensorEntry]:
    """Read the header of a file of `size` bytes from its beginning. Raises ValueError for one whose
    tensors do not fill the file from the header's end to its own."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        if not 8 < start <= len(content):
            raise ValueError
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        entries = {name: _entry(value, start) for name, value in header.items()}
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise ValueError("its header is not that of a safetensors file") from None
    place = start
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.count)):
        if entry.start != place:
            raise ValueError("its tensors do not follow each other")
        place += entry.count * _ELEMENT_SIZES[entry.element_type]
    if place != size:
        raise ValueError("its data are not as long as its header says")
    return entries


def _entry(value: dict[str, Any], start: int) -> TensorEntry:
    """Raises ValueError, TypeError or KeyError."""
    element_type, shape = value["dtype"], value["shape"]
    begin, end = value["data_offsets"]
    if not isinstance(shape, list) or len(shape) > 8:
        raise ValueError
    numbers = [*shape, begin, end]
    if any(type(number) is not int or not 0 <= number < 1 << 48 for number in numbers):
        raise ValueError
    if math.prod(shape) * _ELEMENT_SIZES[element_type] != end - begin:
        raise ValueError
    return TensorEntry(element_type, tuple(shape), start + begin)
