"""Parses lines of CSV, TSV and JSON Lines into rows as the lines arrive.

Knows: where rows end, and which rows are malformed. Does not know: where the lines come from, which
format a file has, or the purpose of a column.

An empty line is skipped in JSON Lines and in a table with several columns. In a table with one
column it is a row with an empty field.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rnntext.errors import DataError
from rnntext.text.source import for_message

# The csv module refuses fields over 128 KiB, but a field may hold a whole document.
_FIELD_SIZE_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the number of its first line, and its fields by column, in file order."""

    line: int
    fields: dict[str, object]


def read_rows(
    blocks: Iterable[list[str]],
    table_format: str,
    name: str,
    columns: Mapping[str, str],
    errors: str = "strict",
    *,
    truncated: bool = False,
) -> Iterator[Row | None]:
    """Yield the rows of a table in `csv`, `tsv` or `jsonl`, and None if the next read may block.

    `columns` maps each required column to the option that names it; all other columns are
    optional. CSV follows RFC 4180, and every line end inside a field becomes LF; TSV has no
    quoting. Raises DataError with the file `name` and line number for a row that is malformed
    or lacks a column, after yielding the rows before it. A `truncated` CSV table may end inside a
    row, which is dropped.
    """
    if table_format == "jsonl":
        return _read_objects(blocks, name, columns, errors)
    is_csv = table_format == "csv"
    records = _split_csv(blocks, name, truncated=truncated) if is_csv else _split_tsv(blocks)
    return _read_records(records, name, columns)


def text_field(row: Row, column: str, name: str) -> str:
    """Return the string in `column`; raises DataError if the field is not a string."""
    value = row.fields[column]
    if not isinstance(value, str):
        raise DataError(
            f"{name}, line {row.line}: {for_message(column)!r} is not a string: make it one, or "
            "name another column"
        )
    return value


def group_field(row: Row, column: str | None, name: str) -> str | None:
    """Return the group in `column` as a string; None for an empty field, or without a column.

    A JSON number or boolean becomes what spells it in JSON. Raises DataError for other values.
    """
    value = None if column is None else row.fields[column]
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise DataError(
        f"{name}, line {row.line}: the group is neither a string nor a number: make it one"
    )


def group_columns(column: str | None) -> dict[str, str]:
    """Return the columns that `read_rows` has to require for groups, with their option."""
    return {} if column is None else {column: "--group-column"}


def missing_column(
    where: str, column: str, option: str, columns: Iterable[str], hint: str = ""
) -> DataError:
    """Return the error for a table without `column`; it lists the `columns` of the table."""
    names = [for_message(name if len(name) <= 40 else name[:39] + "…") for name in columns]
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return DataError(
        f"{where} has no column {column!r}; it has: {listed or 'none'} (name one with"
        f" {option}{hint})"
    )


def _read_records(
    records: Iterable[tuple[int, list[str]] | None], name: str, columns: Mapping[str, str]
) -> Iterator[Row | None]:
    """Yield the rows of a CSV or TSV table; the first record is the header."""
    header: list[str] | None = None
    for record in records:
        if record is None:
            yield None
            continue
        line, fields = record
        if header is None:
            header = fields
            for column, option in columns.items():
                if column not in header:
                    raise missing_column(name, column, option, header)
            repeated = [column for column in columns if header.count(column) > 1]
            if repeated:
                raise DataError(f"{name} has more than one column {repeated[0]!r}; rename one")
        elif len(fields) == len(header):
            yield Row(line, dict(zip(header, fields, strict=True)))
        elif fields != [""]:
            raise DataError(
                f"{name}, line {line} has {len(fields)} fields where the header has {len(header)}: "
                "correct the line, or the header"
            )


def _split_tsv(blocks: Iterable[list[str]]) -> Iterator[tuple[int, list[str]] | None]:
    number = 0
    for block in blocks:
        if not block:
            yield None
        for line in block:
            number += 1
            yield number, line.split("\t")


def _split_csv(
    blocks: Iterable[list[str]], name: str, *, truncated: bool
) -> Iterator[tuple[int, list[str]] | None]:
    csv.field_size_limit(_FIELD_SIZE_LIMIT)
    number = 0
    record: list[str] = []
    in_quotes = False
    for block in blocks:
        if not block:
            yield None
        for line in block:
            number += 1
            record.append(line)
            if in_quotes or '"' in line:
                in_quotes = _ends_in_quotes(line, in_quotes)
            if not in_quotes:
                first = number - len(record) + 1
                yield first, _parse_csv(record, f"{name}, line {first}")
                record = []
    if record and not truncated:
        raise DataError(
            f"{name}, line {number - len(record) + 1}: a quoted field starts and never ends: "
            "close it, or double the quote if it is part of the text"
        )


def _ends_in_quotes(line: str, in_quotes: bool) -> bool:
    """Return True if a quoted field is open at the end of `line`, given whether one is open at its
    start.

    csv.reader cannot tell: it would read the next line itself, and so block on a pipe.
    """
    position = 0
    while True:
        if not in_quotes and line.startswith('"', position):
            in_quotes = True
            position += 1
        if in_quotes:
            position = line.find('"', position)
            while position >= 0 and line.startswith('""', position):
                position = line.find('"', position + 2)
            if position < 0:
                return True
            in_quotes = False
        position = line.find(",", position)
        if position < 0:
            return False
        position += 1


def _parse_csv(lines: list[str], where: str) -> list[str]:
    try:
        fields = next(csv.reader([line + "\n" for line in lines], strict=True))
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        raise DataError(f"{where} is not CSV as in RFC 4180 ({reason}): correct it") from error
    return fields or [""]  # csv.reader returns no field for an empty line


def _read_objects(
    blocks: Iterable[list[str]], name: str, columns: Mapping[str, str], errors: str
) -> Iterator[Row | None]:
    number = 0
    for block in blocks:
        if not block:
            yield None
        for line in block:
            number += 1
            if not line.strip():
                continue
            where = f"{name}, line {number}"
            fields = _parse_object(line, where, errors)
            for column, option in columns.items():
                if column not in fields:
                    raise missing_column(where, column, option, fields)
            yield Row(number, fields)


def _parse_object(line: str, where: str, errors: str) -> dict[str, object]:
    try:
        value: object = _JSON.decode(line)
    except RecursionError as error:
        raise DataError(f"{where} nests too deeply for JSON") from error
    except ValueError as error:
        raise DataError(
            f"{where} is not JSON ({error}): every line must be one JSON object"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{where} is not a JSON object: every line must be one")
    if "\\ud" in line or "\\uD" in line:
        return _without_lone_surrogates(value, where, errors)
    return value


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _parse_finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large for a number")
    return value


# `json.loads` with these hooks builds a decoder per call, slower than parsing a short line.
_JSON = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_parse_finite)


def _without_lone_surrogates(
    value: dict[str, object], where: str, errors: str
) -> dict[str, object]:
    """Reject or replace lone surrogates, which JSON can express but no encoding can write."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if errors == "strict":
            raise DataError(
                f"{where} has half a surrogate pair (\\u{ord(text[error.start]):04x}), which is"
                " no character: correct it, or use --encoding-errors replace"
            ) from error
        replaced: dict[str, object] = json.loads(re.sub("[\ud800-\udfff]", "\ufffd", text))
        return replaced
    return value
