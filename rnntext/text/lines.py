"""Lines of running text for language models.

Knows: which sources are one document and which hold many. Does not know: tokenizers or models.
Lines are streamed: memory does not grow with the length of the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from rnntext.errors import DataError
from rnntext.text.format_detection import detect_table_format, is_hub_or_parquet, is_text_table
from rnntext.text.formats import DataOptions, is_truncated, read_data_line_blocks
from rnntext.text.remote import read_remote
from rnntext.text.source import (
    BinaryDataError,
    peek_lines,
    read_line_blocks,
    source_name,
    visible_entries,
)
from rnntext.text.tables import Row, read_rows, text_field

LM_FORMATS = ("text", "csv", "tsv", "jsonl", "parquet")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its line end, and the number of its document.

    A model resets its state at the start of each document.
    """

    document: int
    text: str


def read_lines(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Line]:
    """Yield the lines of `paths` in order, empty lines included, as they are read.

    A file is a document. A directory stands for the files in and below it, sorted by name; hidden,
    empty and binary files are skipped. Files ending in .csv, .tsv, .jsonl or .parquet, `hf:`
    names, and all files if `text_column` is set, are tables: each row is a document, and its text
    is split at line ends. `format="text"` reads any file as plain text. Raises DataError for a
    source that cannot be read, for an empty file, and for a path without a single line.
    """
    options.require_format("lm", LM_FORMATS)
    document = 0
    for path in paths:
        empty = True
        for lines in _documents(path, options, stdin):
            for text in lines:
                empty = False
                yield Line(document, text)
            document += 1
        if empty:
            raise DataError(f"{source_name(path)} has no text in it: name a file that has")


def _documents(path: str, options: DataOptions, stdin: int) -> Iterator[Iterable[str]]:
    """Yield the lines of each document."""
    if os.path.isdir(path):
        for file in text_files(path):
            if is_hub_or_parquet(file, options):
                yield from _documents(file, options, stdin)
            elif is_text_table(file, options):
                yield from _table_documents(file, options, read_line_blocks(file, options.decoding))
            else:
                yield _lines_unless_binary(file, options)
    elif is_hub_or_parquet(path, options):
        column = options.text_column or "text"
        keep_bad = options.unread is not None
        columns = {column: "--text-column"}
        for row in read_remote(path, columns, options.split, keep_bad=keep_bad):
            yield from _row_document(row, column, source_name(path), options)
    elif is_text_table(path, options):
        yield from _table_documents(path, options, read_data_line_blocks(path, options, stdin))
    else:
        yield _readable(read_data_line_blocks(path, options, stdin), source_name(path), options)


def text_files(directory: str) -> Iterator[str]:
    """Yield the regular files in and below `directory` that are not hidden, sorted by name.

    Links to files are followed. Links to directories are not, because they may form a cycle.
    """
    for entry in visible_entries(directory):
        if entry.is_dir(follow_symlinks=False):
            yield from text_files(entry.path)
        elif entry.is_file():
            yield entry.path


def _lines_unless_binary(path: str, options: DataOptions) -> Iterator[str]:
    """Yield the lines of a file in a directory; none if the file is empty or binary."""
    try:
        yield from _readable(read_line_blocks(path, options.decoding), source_name(path), options)
    except BinaryDataError:
        # The first read is searched for NUL bytes, so no line has been yielded yet.
        return


def _table_documents(
    path: str, options: DataOptions, blocks: Iterator[list[str]]
) -> Iterator[list[str]]:
    """Yield the lines of each row; no document if the file has no line, not even a header."""
    name = source_name(path)
    column = options.text_column or "text"
    head, blocks = peek_lines(blocks)
    if not head:
        return
    format_name = detect_table_format(path, options, head)
    columns = {column: "--text-column"}
    truncated = is_truncated(path, options)
    for row in read_rows(
        blocks,
        format_name,
        name,
        columns,
        options.encoding_errors,
        truncated=truncated,
        dialect=options.dialect,
        keep_bad=options.unread is not None,
    ):
        if row is not None:
            yield from _row_document(row, column, name, options)


def _row_document(row: Row, column: str, name: str, options: DataOptions) -> Iterator[list[str]]:
    """Yield the lines of a row, unless it is left out."""
    try:
        if row.error is not None:
            raise DataError(row.error)
        text = text_field(row, column, name)
        options.check_text(text, f"{name}, {row.place}")
    except DataError as error:
        options.leave_out(error)
        return
    yield _split_lines(text)


def _readable(blocks: Iterable[list[str]], name: str, options: DataOptions) -> Iterator[str]:
    """Yield the lines that are not left out."""
    lines = chain.from_iterable(blocks)
    if options.unread is None:
        yield from lines
        return
    for number, line in enumerate(lines, 1):
        try:
            options.check_text(line, f"{name}, line {number}")
        except DataError as error:
            options.leave_out(error)
            continue
        yield line


def _split_lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines
