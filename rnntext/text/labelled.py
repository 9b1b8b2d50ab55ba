"""Texts with their labels, for classifiers.

Knows: where each format keeps the label, and that a label is a string exactly as it stands in
the file. Does not know: which labels a model has, or what it makes of a text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions, data_blocks, is_cut, is_remote, told_format
from rnntext.text.remote import read_remote
from rnntext.text.source import file_text, peek, printable, read_blocks, source_name
from rnntext.text.tables import Row, kind_of_content, read_rows, text_field

CLASSIFY_FORMATS = ("csv", "tsv", "jsonl", "fasttext", "parquet")
FASTTEXT_PREFIX = "__label__"
_SEVERAL = "several are for `train classify --multi-label`"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its labels: one, or with `multi_label` any number; `line` counts from 1."""

    text: str
    labels: tuple[str, ...]
    source: str
    line: int


def read_labelled(paths: Sequence[str], options: DataOptions, stdin: int = 0) -> Iterator[Labelled]:
    """Yield the examples of `paths` in order, as they are read.

    A directory has one folder of .txt files a class, the folder's name being the label. In JSON
    a number or truth value is the label that its JSON text spells (1 is `1`, 1.5 is `1.5`, true
    is `true`). With `multi_label` a row has a JSON list, or a string that is split at
    `label_separator` (in CSV and TSV at commas if it is unset), with the spaces around each
    label dropped; an empty string or list is no label. Raises DataError, naming file and line,
    for a row without a label, and for several labels without `multi_label`.
    """
    options.require_format("classify", CLASSIFY_FORMATS)
    for path in paths:
        found = False
        for example in _read_source(path, options, stdin):
            found = True
            yield example
        if not found:
            raise DataError(f"{source_name(path)} has no examples in it: name a file that has")


def _read_source(path: str, options: DataOptions, stdin: int) -> Iterator[Labelled]:
    if os.path.isdir(path):
        yield from _read_folders(path, options)
        return
    name = source_name(path)
    text_column = options.text_column or "text"
    columns = {text_column: "--text-column", options.label_column: "--label-column"}
    if is_remote(path, options):
        for row in read_remote(path, columns, options.split):
            yield _labelled_row(row, text_column, options, name)
        return
    head, blocks = peek(data_blocks(path, options, stdin))
    kind = told_format(path, options, head, _sniff)
    if kind == "fasttext":
        yield from _read_fasttext(blocks, options, name)
        return
    separated = kind in ("csv", "tsv")
    cut = is_cut(path, options)
    for found in read_rows(blocks, kind, name, columns, options.encoding_errors, cut=cut):
        if found is not None:
            yield _labelled_row(found, text_column, options, name, separated=separated)


def _sniff(head: Sequence[str]) -> str:
    # With several labels a line may have none, so the first line alone cannot tell.
    if any(line.startswith(FASTTEXT_PREFIX) for line in head):
        return "fasttext"
    return kind_of_content(head)


def _labelled_row(
    row: Row, text_column: str, options: DataOptions, name: str, *, separated: bool = False
) -> Labelled:
    """`separated`: whether the format can say several labels in one string alone."""
    where = f"{name}, line {row.line}"
    text = text_field(row, text_column, name)
    value = row.fields[options.label_column]
    if options.multi_label:
        labels = _several_labels(value, options.label_separator, where, separated=separated)
    elif isinstance(value, list):
        raise DataError(f"{where} has a list of labels: {_SEVERAL}")
    else:
        labels = (_label(value, where),)
    return Labelled(text, labels, name, row.line)


def _several_labels(
    value: object, separator: str | None, where: str, *, separated: bool
) -> tuple[str, ...]:
    if isinstance(value, str):
        separator = separator or ("," if separated else None)
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
            where = f"{name}, line {number}"
            labels, text = _split_fasttext(line)
            if "" in labels or not (labels or options.multi_label):
                raise DataError(f"{where} has no label: it must start with {FASTTEXT_PREFIX}NAME")
            if len(labels) > 1 and not options.multi_label:
                raise DataError(f"{where} has {len(labels)} labels: {_SEVERAL}")
            yield Labelled(text, tuple(dict.fromkeys(labels)), name, number)


def _split_fasttext(line: str) -> tuple[list[str], str]:
    """Return the labels at the start of `line`, and the text after them."""
    labels = []
    rest = line.lstrip(" \t")
    while rest.startswith(FASTTEXT_PREFIX):
        word, *after = re.split(r"[ \t]+", rest, maxsplit=1)
        labels.append(word.removeprefix(FASTTEXT_PREFIX))
        rest = after[0] if after else ""
    return labels, rest


def _read_folders(path: str, options: DataOptions) -> Iterator[Labelled]:
    folders = _entries(path, folders=True)
    for folder, label in folders.items():
        try:
            label.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{printable(folder)}: the folder's name is not UTF-8") from error
        for file in _entries(folder, folders=False):
            yield Labelled(
                file_text(read_blocks(file, options.decoding)), (label,), printable(file), 1
            )
    if not folders:
        raise DataError(
            f"{printable(path)} has no folders: put the .txt files of each class in one"
        )


def files_of_classes(directory: str) -> Iterator[str]:
    """The files that a directory of classes has its examples in, in order."""
    for folder in _entries(directory, folders=True):
        yield from _entries(folder, folders=False)


def _entries(directory: str, *, folders: bool) -> Mapping[str, str]:
    """Paths and names of the folders, or of the .txt files, in `directory`, sorted by name."""
    try:
        with os.scandir(directory) as entries:
            there = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{printable(directory)} cannot be read: {error.strerror}") from error
    return {
        entry.path: entry.name
        for entry in there
        if not entry.name.startswith(".")
        and (
            entry.is_dir()
            if folders
            else entry.is_file() and entry.name.lower().endswith((".txt", ".txt.gz"))
        )
    }
