"""Buffers standard input and pipes in temporary files, so that they can be read several times.

Knows: which sources can be read only once, and where to stop buffering a source that may have no
end. Does not know: how bytes become lines, or what these mean.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import BinaryIO

from rnntext.errors import DataError, UsageError
from rnntext.files import temporary_file_error
from rnntext.text.formats import BufferedSource, DataOptions
from rnntext.text.source import STDIN, is_compressed, read_checked_bytes, source_name


@contextmanager
def buffer_sources(
    paths: Sequence[str],
    options: DataOptions,
    stop: Callable[[], bool] = lambda: False,
    stdin: int = 0,
) -> Iterator[DataOptions]:
    """Yield options with which `paths` can be read any number of times inside the context.

    Buffering of a text ends early, after a line, once `stop` returns True. Raises DataError if a
    source cannot be buffered or a non-seekable source is named twice, UsageError if standard
    input is a terminal.
    """
    buffers: dict[str, BufferedSource] = {}
    with ExitStack() as stack:
        for path in paths:
            if not is_non_seekable(path):
                continue
            if path == STDIN and os.isatty(stdin):
                raise UsageError("there is no text to read: name a file, or pipe text in")
            if path in buffers:
                raise DataError(f"{source_name(path)} is named twice and can be read only once")
            # In compressed or UTF-16 text a byte of value 10 need not be a line end.
            has_plain_line_ends = not (options.decoding.wide or is_compressed(path))
            try:
                # The file has no name, so the system removes it however the process ends.
                file = stack.enter_context(tempfile.TemporaryFile())
                chunks = read_checked_bytes(path, options.decoding, stdin)
                truncated = _copy(chunks, file, stop if has_plain_line_ends else None)
                file.flush()
            except OSError as error:
                raise temporary_file_error(f"a copy of {source_name(path)}", error) from error
            buffers[path] = BufferedSource(file.fileno(), truncated)
        yield replace(options, buffered_sources=buffers)


def is_non_seekable(path: str) -> bool:
    """Return True for a source that is read only once: standard input, a named pipe, a device."""
    if path == STDIN:
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _copy(chunks: Iterable[bytes], file: BinaryIO, stop: Callable[[], bool] | None) -> bool:
    """Copy bytes to `file`, all of them or those up to the last line end once `stop` returns True.

    Returns True if the copy is truncated.
    """
    complete_lines = 0  # bytes up to the last line end
    for chunk in chunks:
        if end := chunk.rfind(b"\n") + 1:
            complete_lines = file.tell() + end
        file.write(chunk)
        if stop and complete_lines and stop():
            file.truncate(complete_lines)
            return True
    return False
