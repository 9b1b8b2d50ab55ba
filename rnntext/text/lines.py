"""Lines of running text, for language models.

Knows: which sources are one document and which hold many. Does not know: what is learnt from a
line. Nothing is kept: memory does not grow with the length of the data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions, data_blocks, is_cut, is_remote, told_format
from rnntext.text.remote import read_remote
from rnntext.text.source import (
    BinaryDataError,
    extension,
    peek,
    printable,
    read_blocks,
    source_name,
)
from rnntext.text.tables import kind_of_content, read_rows, text_field

LM_FORMATS = ("text", "csv", "tsv", "jsonl", "parquet")


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its line end; `document` is new where the state starts from zero."""

    document: int
    text: str


def read_lines(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Line]:
    """Yield the lines of `paths` in order, empty lines included, as they are read.

    A file is a document. A directory stands for the files in it and below it, sorted by name,
    hidden, empty and binary files passed over. Files ending in .csv, .tsv, .jsonl or .parquet,
    `hf:` names, and any file where `text_column` is set, are tables: each row is a document, and
    the line ends in its text end lines. `format="text"` reads any file as plain text. Raises
    DataError for what cannot be read, for an empty file, and where there is no line at all.
    """
    options.require_format("lm", LM_FORMATS)
    document = 0
    for path in paths:
        found = False
        for lines in _documents(path, options, stdin):
            for text in lines:
                found = True
                yield Line(document, text)
            document += 1
        if not found:
            raise DataError(f"{source_name(path)} has no text in it: name a file that has")


def _documents(path: str, options: DataOptions, stdin: int) -> Iterator[Iterable[str]]:
    if os.path.isdir(path):
        for file in text_files(path):
            if is_remote(file, options):
                yield from _documents(file, options, stdin)
            elif _is_table(file, options):
                yield from _table_documents(file, options, read_blocks(file, options.decoding))
            else:
                yield _text_in_directory(file, options)
    elif is_remote(path, options):
        column = options.text_column or "text"
        for row in read_remote(path, {column: "--text-column"}, options.split):
            yield _row_lines(text_field(row, column, source_name(path)))
    elif _is_table(path, options):
        yield from _table_documents(path, options, data_blocks(path, options, stdin))
    else:
        yield chain.from_iterable(data_blocks(path, options, stdin))


def text_files(directory: str) -> Iterator[str]:
    """Yield the regular files in and below `directory` that are not hidden, sorted by name.

    Links to files are followed, links to directories are not, as they may lead in a circle.
    """
    try:
        with os.scandir(directory) as entries:
            there = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{printable(directory)} cannot be read: {error.strerror}") from error
    for entry in there:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from text_files(entry.path)
        elif entry.is_file():
            yield entry.path


def _text_in_directory(path: str, options: DataOptions) -> Iterator[str]:
    """The lines of a file that nobody named: no line if it is empty or binary."""
    try:
        yield from chain.from_iterable(read_blocks(path, options.decoding))
    except BinaryDataError:
        # NUL bytes are searched for in the first read, so no line has been given yet.
        return


def _is_table(path: str, options: DataOptions) -> bool:
    if options.format is not None:
        return options.format != "text"
    return options.text_column is not None or extension(path) in (".csv", ".tsv", ".jsonl")


def _table_documents(
    path: str, options: DataOptions, blocks: Iterator[list[str]]
) -> Iterator[list[str]]:
    """The lines of each row; none where there is no line, not even a header."""
    name = source_name(path)
    column = options.text_column or "text"
    head, blocks = peek(blocks)
    if not head:
        return
    kind = told_format(path, options, head, kind_of_content)
    columns = {column: "--text-column"}
    cut = is_cut(path, options)
    for row in read_rows(blocks, kind, name, columns, options.encoding_errors, cut=cut):
        if row is not None:
            yield _row_lines(text_field(row, column, name))


def _row_lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines
