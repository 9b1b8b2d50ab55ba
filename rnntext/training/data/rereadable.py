"""Copies of what can be read only once, so that it can be read again.

Knows: that standard input and pipes give their bytes once, and where to stop copying a stream
that may have no end. Does not know: what the bytes say.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import BinaryIO

from rnntext.errors import DataError, UsageError
from rnntext.files import no_temporary
from rnntext.text.formats import BufferedSource, DataOptions
from rnntext.text.source import STDIN, read_chunks, source_name


@contextmanager
def rereadable(
    paths: Sequence[str],
    options: DataOptions,
    enough: Callable[[], bool] = lambda: False,
    stdin: int = 0,
) -> Iterator[DataOptions]:
    """Options with which `paths` can be read any number of times, while the context lasts.

    Copying of text ends early, after a line, where `enough` says so. Raises DataError where a
    source cannot be copied, and for one that is named twice and can be read only once; UsageError
    where somebody would have to type the text.
    """
    copies: dict[str, BufferedSource] = {}
    with ExitStack() as stack:
        for path in paths:
            if not is_read_once(path):
                continue
            if path == STDIN and os.isatty(stdin):
                raise UsageError("there is no text to read: name a file, or pipe text in")
            if path in copies:
                raise DataError(f"{source_name(path)} is named twice and can be read only once")
            # Where a compressed line ends, or one of several bytes a character, is not told here.
            whole = options.decoding.wide or path.lower().endswith(".gz")
            try:
                # It has no name: nothing is left of it, however the process ends.
                file = stack.enter_context(tempfile.TemporaryFile())
                cut = _copy(path, file, stdin, None if whole else enough)
                file.flush()
            except OSError as error:
                raise no_temporary(f"a copy of {source_name(path)}", error) from error
            copies[path] = BufferedSource(file.fileno(), cut)
        yield replace(options, copies=copies)


def is_read_once(path: str) -> bool:
    """Whether a source gives its bytes once: standard input, a named pipe, a device."""
    if path == STDIN:
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _copy(path: str, file: BinaryIO, stdin: int, enough: Callable[[], bool] | None) -> bool:
    """Copy until the end, or after a line where it is enough; whether it was cut."""
    whole = 0  # bytes of the lines that are there to their ends
    for chunk in read_chunks(path, source_name(path), stdin):
        if end := chunk.rfind(b"\n") + 1:
            whole = file.tell() + end
        file.write(chunk)
        if enough and whole and enough():
            file.truncate(whole)
            return True
    return False
