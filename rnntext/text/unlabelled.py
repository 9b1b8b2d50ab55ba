"""Texts without labels, which a teacher answers.

Knows: where each format stores a text, and that other columns, labels too, are left alone. Does not
know: models, or which of the texts are learned from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rnntext.errors import DataError
from rnntext.text.format_detection import (
    has_fasttext_label,
    is_hub_or_parquet,
    table_format_of_extension,
)
from rnntext.text.formats import DataOptions, is_truncated, read_data_line_blocks
from rnntext.text.labelled import Labelled, split_fasttext_line, text_files_in
from rnntext.text.remote import read_remote
from rnntext.text.source import file_text, for_message, peek_lines, read_line_blocks, source_name
from rnntext.text.tables import Row, group_field, read_rows, text_field


def read_unlabelled(
    paths: Sequence[str], options: DataOptions, stdin: int = 0, *, fasttext: bool = False
) -> Iterator[Labelled]:
    """Yield the texts of `paths` in order, as they are read, each without a label.

    A file with the extension of a table (.csv, .tsv, .jsonl, .json, .parquet), and an `hf:` data
    set, has a text in each row, in `text_column`, and its group in `group_column` if it has that. A
    directory has a text in each .txt file that is right in it. Any other file has a text in each
    line, whatever `format` the labelled data have, and a line of fastText is taken without its
    labels: with `fasttext` (the labelled data have this format), and where all of the first lines
    have a label. Blank texts are left out. Raises DataError, with file and line where there
    is one, for what cannot be read and for a path without a text.
    """
    for path in paths:
        empty = True
        for line, text, group in _texts(path, options, stdin, fasttext=fasttext):
            if text and not text.isspace():
                empty = False
                yield Labelled(text, (), source_name(path), line, group)
        if empty:
            raise DataError(f"{source_name(path)} has no texts in it: name a file that has")


def _texts(
    path: str, options: DataOptions, stdin: int, *, fasttext: bool
) -> Iterator[tuple[int, str, str | None]]:
    """Yield each text with the number of its first line, or of its file, and its group."""
    name, column = source_name(path), options.text_column or "text"
    columns = {column: "--text-column"}

    def of_row(row: Row) -> tuple[int, str, str | None]:
        by = options.group_column if options.group_column in row.fields else None
        return row.line, text_field(row, column, name), group_field(row, by, name)

    if os.path.isdir(path):
        for number, file in enumerate(text_files_in(path), 1):
            blocks = read_line_blocks(file, options.decoding)
            yield number, file_text(blocks, for_message(file), options.max_line), None
    elif is_hub_or_parquet(path, replace(options, format=None)):
        groups = [] if options.group_column is None else [options.group_column]
        yield from map(of_row, read_remote(path, columns, options.split, groups))
    else:
        blocks = read_data_line_blocks(path, options, stdin)
        table = table_format_of_extension(path)
        if table is None:
            head, blocks = peek_lines(blocks)
            fasttext = fasttext or all(map(has_fasttext_label, head))
            lines = (line for block in blocks for line in block)
            for number, line in enumerate(lines, 1):
                yield number, split_fasttext_line(line)[1] if fasttext else line, None
            return
        truncated = is_truncated(path, options)
        for table_row in read_rows(
            blocks,
            table,
            name,
            columns,
            options.encoding_errors,
            truncated=truncated,
            dialect=options.dialect,
        ):
            if table_row is not None:
                yield of_row(table_row)
