"""Texts without labels, which a teacher answers.

Knows: where each format stores a text, and that other columns, labels too, are left alone. Does not
know: models, or which of the texts are learned from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnntext.errors import DataError
from rnntext.text.format_detection import is_hub_or_parquet, table_format_of_extension
from rnntext.text.formats import DataOptions, is_truncated, read_data_line_blocks
from rnntext.text.labelled import Labelled, text_files_in
from rnntext.text.remote import read_remote
from rnntext.text.source import file_text, for_message, read_line_blocks, source_name
from rnntext.text.tables import read_rows, text_field


def read_unlabelled(
    paths: Sequence[str], options: DataOptions, stdin: int = 0
) -> Iterator[Labelled]:
    """Yield the texts of `paths` in order, as they are read, each without a label.

    A file with the extension of a table (.csv, .tsv, .jsonl, .json, .parquet), and an `hf:` data
    set, has a text in each row, in `text_column`. A directory has a text in each .txt file that is
    right in it. Any other file has a text in each line, whatever `format` the labelled data have.
    Blank texts are left out. Raises DataError, with file and line where there is one, for what
    cannot be read and for a path without a text.
    """
    for path in paths:
        empty = True
        for line, text in _texts(path, options, stdin):
            if text and not text.isspace():
                empty = False
                yield Labelled(text, (), source_name(path), line)
        if empty:
            raise DataError(f"{source_name(path)} has no texts in it: name a file that has")


def _texts(path: str, options: DataOptions, stdin: int) -> Iterator[tuple[int, str]]:
    """Yield each text with the number of its first line, or of its file."""
    name, column = source_name(path), options.text_column or "text"
    columns = {column: "--text-column"}
    if os.path.isdir(path):
        for number, file in enumerate(text_files_in(path), 1):
            blocks = read_line_blocks(file, options.decoding)
            yield number, file_text(blocks, for_message(file), options.max_line)
    elif is_hub_or_parquet(path, replace(options, format=None)):
        for row in read_remote(path, columns, options.split):
            yield row.line, text_field(row, column, name)
    else:
        blocks = read_data_line_blocks(path, options, stdin)
        table = table_format_of_extension(path)
        if table is None:
            lines = (line for block in blocks for line in block)
            yield from enumerate(lines, 1)
            return
        truncated = is_truncated(path, options)
        for table_row in read_rows(
            blocks, table, name, columns, options.encoding_errors, truncated=truncated
        ):
            if table_row is not None:
                yield table_row.line, text_field(table_row, column, name)
