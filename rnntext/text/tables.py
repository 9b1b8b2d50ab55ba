"""Parses lines of CSV, TSV, JSON Lines and a JSON array into rows as the lines arrive.

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
from itertools import chain

from rnntext.errors import DataError, UsageError
from rnntext.text.source import for_message

# The csv module refuses fields over 128 KiB, but a field may hold a whole document.
_FIELD_SIZE_LIMIT = 2**31 - 1
# What may separate columns where a comma was expected.
_OTHER_DELIMITERS = ";\t|"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV or TSV table is written. Raises UsageError for a delimiter that cannot be one."""

    delimiter: str | None = None  # unset: a comma, in TSV a tab
    header: bool = True  # otherwise the names of the columns are their numbers, from 1

    def __post_init__(self) -> None:
        if self.delimiter == "\\t":  # as a shell passes '\t' on
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise UsageError(
                f"--delimiter {for_message(self.delimiter)}: give one character, such as ';'"
            )


PLAIN = Dialect()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the number of its first line, and its fields by column, in file order; or what is
    wrong with it."""

    line: int
    fields: Mapping[str, object]
    error: str | None = None
    unit: str = "line"  # what `line` counts, in messages

    @property
    def place(self) -> str:
        """Where the row is, for messages."""
        return f"{self.unit} {self.line}"


def read_rows(
    blocks: Iterable[list[str]],
    table_format: str,
    name: str,
    columns: Mapping[str, str],
    errors: str = "strict",
    *,
    truncated: bool = False,
    dialect: Dialect = PLAIN,
    keep_bad: bool = False,
) -> Iterator[Row | None]:
    """Yield the rows of a table in `csv`, `tsv` or `jsonl`, and None if the next read may block.
    What is one JSON array of objects is read as its rows, whatever lines it is written in.

    `columns` maps each required column to the option that names it; all other columns are
    optional. CSV follows RFC 4180, and every line end inside a field becomes LF; TSV has no
    quoting. Raises DataError with the file `name` and line number for a row that is malformed
    or lacks a column, after yielding the rows before it. With `keep_bad` such a row is yielded with
    its error, as far as it is told where the next one begins. A `truncated` table may end inside a
    row, which is dropped.
    """
    if table_format == "jsonl":
        read = _read_json(blocks, name, columns, errors, truncated=truncated)
    else:
        read = _read_table(blocks, table_format, name, columns, dialect, truncated=truncated)
    for row in read:
        if row is not None and row.error is not None and not keep_bad:
            raise DataError(row.error)
        yield row


def _read_table(
    blocks: Iterable[list[str]],
    table_format: str,
    name: str,
    columns: Mapping[str, str],
    dialect: Dialect,
    *,
    truncated: bool,
) -> Iterator[Row | None]:
    """Yield the rows of a CSV or TSV table."""
    records: Iterator[tuple[int, list[str] | DataError] | None]
    if table_format == "csv":
        delimiter = dialect.delimiter or ","
        records = _split_csv(blocks, name, delimiter, truncated=truncated)
    else:
        records = _split_tsv(blocks, dialect.delimiter or "\t")
    return _read_records(records, name, columns, dialect)


def check_column(
    first: str, table_format: str, name: str, column: str, dialect: Dialect = PLAIN
) -> None:
    """Raise DataError if the `first` line of a table tells that it has no such column, or that it
    is no table of this format."""
    columns = {column: "--text-column"}
    for _ in read_rows([[first]], table_format, name, columns, truncated=True, dialect=dialect):
        pass


def text_field(row: Row, column: str, name: str) -> str:
    """Return the string in `column`; raises DataError if the field is not a string."""
    value = row.fields[column]
    if not isinstance(value, str):
        raise DataError(
            f"{name}, {row.place}: {for_message(column)!r} is not a string: make it one, or "
            "name another column"
        )
    return value


def words_field(row: Row, column: str, name: str) -> tuple[str, ...] | None:
    """Return the strings of a list in `column`; None for what is no list. Raises DataError for a
    list of anything else, or with an empty string."""
    value = row.fields[column]
    if not isinstance(value, list):
        return None
    if not all(isinstance(word, str) and word for word in value):
        raise DataError(
            f"{name}, {row.place}: {for_message(column)!r} has a word that is empty or no string"
        )
    return tuple(value)


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
    raise DataError(f"{name}, {row.place}: the group is neither a string nor a number: make it one")


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
    records: Iterable[tuple[int, list[str] | DataError] | None],
    name: str,
    columns: Mapping[str, str],
    dialect: Dialect,
) -> Iterator[Row | None]:
    """Yield the rows of a CSV or TSV table; the first record is the header, if it has one."""
    header: list[str] | None = None
    for record in records:
        if record is None:
            yield None
            continue
        line, fields = record
        if isinstance(fields, DataError):
            if header is None:
                raise fields
            yield Row(line, {}, str(fields))
            continue
        if header is None:
            header = fields
            if not dialect.header:
                header = [str(number) for number in range(1, len(fields) + 1)]
            for column, option in columns.items():
                if column not in header:
                    raise missing_column(name, column, option, header, _delimiter_hint(fields))
            repeated = [column for column in columns if header.count(column) > 1]
            if repeated:
                raise DataError(f"{name} has more than one column {repeated[0]!r}; rename one")
            if dialect.header:
                continue
        if len(fields) == len(header):
            yield Row(line, dict(zip(header, fields, strict=True)))
        elif fields != [""]:
            yield Row(
                line,
                {},
                f"{name}, line {line} has {len(fields)} fields where the header has {len(header)}: "
                "correct the line, or the header",
            )


def _delimiter_hint(header: list[str]) -> str:
    """What to say of a header of one column that has another delimiter in it."""
    found = [d for d in _OTHER_DELIMITERS if len(header) == 1 and d in header[0]]
    return f", or say --delimiter {found[0]!r} if that separates its columns" if found else ""


def _split_tsv(
    blocks: Iterable[list[str]], delimiter: str
) -> Iterator[tuple[int, list[str] | DataError] | None]:
    number = 0
    for block in blocks:
        if not block:
            yield None
        for line in block:
            number += 1
            yield number, line.split(delimiter)


def _split_csv(
    blocks: Iterable[list[str]], name: str, delimiter: str, *, truncated: bool
) -> Iterator[tuple[int, list[str] | DataError] | None]:
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
                in_quotes = _ends_in_quotes(line, delimiter, in_quotes)
            if not in_quotes:
                first = number - len(record) + 1
                try:
                    yield first, _parse_csv(record, f"{name}, line {first}", delimiter)
                except DataError as error:
                    yield first, error
                record = []
    if record and not truncated:
        raise DataError(
            f"{name}, line {number - len(record) + 1}: a quoted field starts and never ends: "
            "close it, or double the quote if it is part of the text"
        )


def _ends_in_quotes(line: str, delimiter: str, in_quotes: bool) -> bool:
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
        position = line.find(delimiter, position)
        if position < 0:
            return False
        position += 1


def _parse_csv(lines: list[str], where: str, delimiter: str = ",") -> list[str]:
    rows = csv.reader([line + "\n" for line in lines], delimiter=delimiter, strict=True)
    try:
        fields = next(rows)
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        other = re.search(f'"([{_OTHER_DELIMITERS}])', lines[0])
        hint = f", or say --delimiter {other[1]!r} if that separates its columns" if other else ""
        raise DataError(
            f"{where} is not CSV as in RFC 4180 ({reason}): correct it{hint}"
        ) from error
    return fields or [""]  # csv.reader returns no field for an empty line


def _read_json(
    blocks: Iterable[list[str]],
    name: str,
    columns: Mapping[str, str],
    errors: str,
    *,
    truncated: bool,
) -> Iterator[Row | None]:
    """Yield the rows of JSON Lines, or of a JSON array, which the first line begins."""
    blocks = iter(blocks)
    start: list[list[str]] = []
    for block in blocks:
        if not block:
            yield None
            continue
        start.append(block)
        if any(map(str.strip, block)):
            break
    first = next((line for block in start for line in block if line.strip()), "")
    rest = chain(start, blocks)
    if first.lstrip().startswith("["):
        yield from _read_array(rest, name, columns, errors, truncated=truncated)
    else:
        yield from _read_objects(rest, name, columns, errors)


# The marks that may stand at a place in an array, and the place after each.
_ARRAY = {
    "start": {"[": "first"},
    "first": {"]": "end"},
    "element": {},
    "after": {",": "element", "]": "end"},
    "end": {},
}
_SPACE = re.compile(r"\s*")


def _read_array(
    blocks: Iterable[list[str]],
    name: str,
    columns: Mapping[str, str],
    errors: str,
    *,
    truncated: bool,
) -> Iterator[Row | None]:
    """Yield the objects of a JSON array as their lines arrive."""
    text, at, line, place = "", 0, 1, "start"
    for block in blocks:
        if not block:
            yield None
            continue
        text, at = text[at:] + "\n".join([*block, ""]), 0
        while True:
            start = at
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            line += text.count("\n", start, at)
            if at == len(text):
                break
            where = f"{name}, line {line}"
            if text[at] in _ARRAY[place]:
                place = _ARRAY[place][text[at]]
                at += 1
                continue
            if place not in ("first", "element"):
                raise DataError(f"{where} is not JSON: it must be one array of objects")
            try:
                value, end = _JSON.raw_decode(text, at)
            except RecursionError as error:
                raise DataError(f"{where} nests too deeply for JSON") from error
            except ValueError as error:
                # An object that goes on in the next block ends where the text does.
                if isinstance(error, json.JSONDecodeError) and not text[error.pos :].strip():
                    break
                raise DataError(f"{where} is not JSON ({error}): correct it") from error
            try:
                row = Row(line, _checked_object(value, text[at:end], where, columns, errors))
            except DataError as error:
                row = Row(line, {}, str(error))
            yield row
            line += text.count("\n", at, end)
            at, place = end, "after"
    if place != "end" and not truncated:
        raise DataError(f"{name}, line {line}: a JSON array begins and never ends: close it")


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
            try:
                row = Row(number, _parse_object(line, where, columns, errors))
            except DataError as error:
                row = Row(number, {}, str(error))
            yield row


def _parse_object(
    line: str, where: str, columns: Mapping[str, str], errors: str
) -> dict[str, object]:
    try:
        value: object = _JSON.decode(line)
    except RecursionError as error:
        raise DataError(f"{where} nests too deeply for JSON") from error
    except ValueError as error:
        raise DataError(
            f"{where} is not JSON ({error}): every line must be one JSON object"
        ) from error
    return _checked_object(value, line, where, columns, errors)


def _checked_object(
    value: object, text: str, where: str, columns: Mapping[str, str], errors: str
) -> dict[str, object]:
    """Return the JSON `value` of `text`. Raises DataError if it is no object, or lacks a column."""
    if not isinstance(value, dict):
        raise DataError(f"{where} is not a JSON object: every line, or element, must be one")
    for column, option in columns.items():
        if column not in value:
            raise missing_column(where, column, option, value)
    if "\\ud" in text or "\\uD" in text:
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
