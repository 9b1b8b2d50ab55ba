"""Labelled texts for classifiers.

Knows: where each format stores labels, and that a label is a string exactly as written in the
file. Does not know: which labels a model has, or how it classifies.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnntext.errors import DataError
from rnntext.text.format_detection import (
    FASTTEXT_PREFIX,
    detect_labelled_format,
    is_hub_or_parquet,
)
from rnntext.text.formats import DataOptions, is_truncated, read_data_line_blocks
from rnntext.text.remote import read_remote
from rnntext.text.source import (
    file_text,
    for_message,
    peek_lines,
    read_line_blocks,
    source_name,
    visible_entries,
)
from rnntext.text.tables import Row, group_columns, group_field, read_rows, text_field

CLASSIFY_FORMATS = ("csv", "tsv", "jsonl", "fasttext", "parquet")
_FASTTEXT_LABEL = re.compile(rf"(?:^|[ \t]+){FASTTEXT_PREFIX}([^ \t]*)")
_SEVERAL = "several are for `train classify --multi-label`"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with one label, or any number with `multi_label`; `line` counts from 1."""

    text: str
    labels: tuple[str, ...]
    source: str
    line: int
    group: str | None = None  # what `group_column` holds
    row: Mapping[str, object] | None = None  # all fields of its row, if rows are kept


def read_labelled(
    paths: Sequence[str], options: DataOptions, stdin: int = 0, *, keep_rows: bool = False
) -> Iterator[Labelled]:
    """Yield the examples of `paths` in order, as they are read.

    A directory has one folder of .txt files per class, and the folder's name is the label. A JSON
    number or boolean becomes the label that spells it in JSON (`1`, `1.5`, `true`). With
    `multi_label` a row has a JSON list, or a string that is split at `label_separator` (in CSV
    and TSV at commas if it is unset), and spaces around each label are stripped; an empty string
    or list means no label. With `keep_rows` an example of a table has its row (of a Parquet file
    or a data set: the columns that are read). Raises DataError with file and line for a row
    without a label, and for several labels without `multi_label`; UsageError for a `group_column`
    where there are no columns.
    """
    options.require_format("classify", CLASSIFY_FORMATS)
    for path in paths:
        empty = True
        for example in _read_source(path, options, stdin, keep_rows):
            empty = False
            yield example
        if empty:
            raise DataError(f"{source_name(path)} has no examples in it: name a file that has")


def has_fasttext(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> bool:
    """Return True if one of `paths` is read as lines of fastText."""
    for path in paths:
        if not os.path.isdir(path) and not is_hub_or_parquet(path, options):
            head, _ = peek_lines(read_data_line_blocks(path, options, stdin))
            if detect_labelled_format(path, options, head) == "fasttext":
                return True
    return False


def _read_source(
    path: str, options: DataOptions, stdin: int, keep_rows: bool
) -> Iterator[Labelled]:
    if os.path.isdir(path):
        options.refuse_group_column(for_message(path), "a folder for each class")
        yield from _read_folders(path, options)
        return
    name = source_name(path)
    text_column = options.text_column or "text"
    columns = {
        **group_columns(options.group_column),
        text_column: "--text-column",
        options.label_column: "--label-column",
    }
    if is_hub_or_parquet(path, options):
        keep_bad = options.unread is not None
        for row in read_remote(path, columns, options.split, keep_bad=keep_bad):
            yield from _labelled_row(row, text_column, options, name, keep_row=keep_rows)
        return
    head, blocks = peek_lines(read_data_line_blocks(path, options, stdin))
    format_name = detect_labelled_format(path, options, head)
    if format_name == "fasttext":
        options.refuse_group_column(name, "fastText lines")
        yield from _read_fasttext(blocks, options, name)
        return
    default_separator = "," if format_name in ("csv", "tsv") else None
    truncated = is_truncated(path, options)
    for table_row in read_rows(
        blocks,
        format_name,
        name,
        columns,
        options.encoding_errors,
        truncated=truncated,
        dialect=options.dialect,
        keep_bad=options.unread is not None,
    ):
        if table_row is not None:
            yield from _labelled_row(
                table_row, text_column, options, name, default_separator, keep_row=keep_rows
            )


def _labelled_row(
    row: Row,
    text_column: str,
    options: DataOptions,
    name: str,
    default_separator: str | None = None,
    *,
    keep_row: bool,
) -> Iterator[Labelled]:
    """Yield the example in `row`, unless it is left out. `default_separator` splits labels if the
    user named none."""
    where = f"{name}, {row.place}"
    try:
        if row.error is not None:
            raise DataError(row.error)
        text = text_field(row, text_column, name)
        value = row.fields[options.label_column]
        if options.multi_label:
            labels = _several_labels(value, options.label_separator or default_separator, where)
        elif isinstance(value, list):
            raise DataError(f"{where} has a list of labels: {_SEVERAL}")
        else:
            labels = (_label(value, where),)
        options.check_text("\n".join([text, *labels]), where)
        group = group_field(row, options.group_column, name)
    except DataError as error:
        options.leave_out(error)
        return
    yield Labelled(text, labels, name, row.line, group, row.fields if keep_row else None)


def _several_labels(value: object, separator: str | None, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        if not value:
            return ()
        if separator is not None:
            value = [part.strip(" ") for part in value.split(separator)]
    parts = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(_label(part, where) for part in parts))


def _label(value: object, where: str) -> str:
    if value is None or value == "":
        raise DataError(f"{where} has no label: give it one or leave it out")
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise DataError(f"{where}: the label is neither a string nor a number: make it one")


def _read_fasttext(
    blocks: Iterator[list[str]], options: DataOptions, name: str
) -> Iterator[Labelled]:
    number = 0
    for block in blocks:
        for line in block:
            number += 1
            if not line.strip():
                continue
            try:
                labels, text = _fasttext_example(line, f"{name}, line {number}", options)
            except DataError as error:
                options.leave_out(error)
                continue
            yield Labelled(text, tuple(dict.fromkeys(labels)), name, number)


def _fasttext_example(line: str, where: str, options: DataOptions) -> tuple[list[str], str]:
    """Return the labels and the text of a line. Raises DataError if it is no example."""
    options.check_text(line, where)
    labels, text = split_fasttext_line(line)
    if "" in labels or not (labels or options.multi_label):
        raise DataError(f"{where} has no label: give it one, as {FASTTEXT_PREFIX}NAME")
    for label in labels:
        if FASTTEXT_PREFIX in label:
            raise DataError(
                f"{where} has one label {for_message(FASTTEXT_PREFIX + label)!r}: put a "
                "space before each label"
            )
    if len(labels) > 1 and not options.multi_label:
        raise DataError(f"{where} has {len(labels)} labels: {_SEVERAL}")
    return labels, text


def split_fasttext_line(line: str) -> tuple[list[str], str]:
    """Return the labels of `line`, which stand anywhere between spaces and tabs, as in fastText
    (Joulin et al. 2017), and the text without them."""
    if FASTTEXT_PREFIX not in line:
        return [], line.lstrip(" \t")
    labels = _FASTTEXT_LABEL.findall(line)
    return labels, _FASTTEXT_LABEL.sub("", line).lstrip(" \t")


def _read_folders(path: str, options: DataOptions) -> Iterator[Labelled]:
    folders = _folders(path)
    for folder, label in folders.items():
        try:
            label.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{for_message(folder)}: the folder's name is not UTF-8") from error
        for file in text_files_in(folder):
            blocks = read_line_blocks(file, options.decoding)
            try:
                text = file_text(blocks, source_name(file), options.max_line)
                options.check_text(text, source_name(file))
            except DataError as error:
                options.leave_out(error)
                continue
            yield Labelled(text, (label,), for_message(file), 1)
    if not folders:
        raise DataError(
            f"{for_message(path)} has no folders: put the .txt files of each class in one"
        )


def files_of_classes(directory: str) -> Iterator[str]:
    """Yield the example files in a directory of one folder per class, in order."""
    for folder in _folders(directory):
        yield from text_files_in(folder)


def _folders(directory: str) -> Mapping[str, str]:
    """Map paths to names of the folders in `directory`, sorted by name."""
    return {entry.path: entry.name for entry in visible_entries(directory) if entry.is_dir()}


def text_files_in(directory: str) -> list[str]:
    """Return the paths of the .txt files right in `directory`, sorted by name."""
    return [
        entry.path
        for entry in visible_entries(directory)
        if entry.is_file() and entry.name.lower().endswith((".txt", ".txt.gz"))
    ]
