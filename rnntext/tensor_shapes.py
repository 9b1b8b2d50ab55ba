"""The shapes of the tensors in a safetensors file, read from its header alone.

Knows: the layout of the header. Does not know: what the tensors are, or the library that reads
them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from rnntext.held_file import damaged


def read_shapes(path: Path, handle: BinaryIO) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of an open safetensors file: 8 bytes of header length, a JSON
    header, the data. Raises CheckpointError, which names `path`, if it is damaged."""
    size = os.fstat(handle.fileno()).st_size
    length = int.from_bytes(handle.read(8), "little")
    if size < 8 or length > size - 8:
        raise damaged(path, "its header is cut short")
    try:
        header = json.loads(handle.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        complete = max(ends, default=0) == size - 8 - length
    except (ValueError, RecursionError, AttributeError, KeyError, IndexError, TypeError):
        raise damaged(path, "its header is not that of a safetensors file") from None
    if not complete:
        raise damaged(path, "its data are not as long as its header says")
    return shapes
