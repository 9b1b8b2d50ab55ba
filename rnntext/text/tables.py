"""Lines to table rows: CSV, TSV and JSON Lines, as they arrive.

Knows: which of the three a table is, where its rows end, and what is wrong with a row. Does not
know: where the lines come from, or what a column is for.

An empty line of a table with several columns, or of JSON Lines, is no row and is passed over.
In a table with one column it is a row whose field is empty.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnntext.errors import DataError
from rnntext.text.source import printable

TABLE_EXTENSIONS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl"}

# Fields longer than the csv module's 128 KiB are ordinary here: a whole document in a cell.
LONGEST_FIELD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the number of the line it starts on, and its fields by column, in file order."""

    line: int
    fields: dict[str, object]


def kind_of_content(head: Sequence[str]) -> str:
    """Tell `csv`, `tsv` or `jsonl` by the first lines that are not blank."""
    first = head[0] if head else ""
    if looks_like_json(first):
        return "jsonl"
    return "tsv" if "\t" in first else "csv"


def looks_like_json(line: str) -> bool:
    """Whether `line` starts a JSON object: a brace alone may also be a word or a CSV header."""
    return re.match(r'\s*\{\s*["}]', line) is not None


def read_rows(
    blocks: Iterable[list[str]],
    kind: str,
    name: str,
    columns: Mapping[str, str],
    errors: str = "strict",
    *,
    cut: bool = False,
) -> Iterator[Row | None]:
    """Yield the rows of a table of `kind`, and None where the next read may have to wait.

    `columns` maps each column that must be there to the option that names it; other columns
    may be missing. CSV is RFC 4180, with LF inside a field for every line end; TSV has no
    quoting. Raises DataError with the file `name` and line number for a row that is malformed
    or lacks a column, after the rows before it. A table that was `cut` may end inside a row, which
    is left out.
    """
    if kind == "jsonl":
        return _read_objects(blocks, name, columns, errors)
    records = _split_csv(blocks, name, cut=cut) if kind == "csv" else _split_tsv(blocks)
    return _read_records(records, name, columns)


def text_field(row: Row, column: str, name: str) -> str:
    """Return the string in `column`; raises DataError where it is not a string."""
    value = row.fields[column]
    if not isinstance(value, str):
        raise DataError(
            f"{name}, line {row.line}: {printable(column)!r} is not a string: make it one, or "
            "name another column"
        )
    return value


def missing_column(
    where: str, column: str, option: str, there: Iterable[str], hint: str = ""
) -> DataError:
    """The error for a table without `column`, which lists the columns that are `there`."""
    names = [printable(name if len(name) <= 40 else name[:39] + "…") for name in there]
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return DataError(
        f"{where} has no column {column!r}; it has: {listed or 'none'} (name one with"
        f" {option}{hint})"
    )


def _read_records(
    records: Iterable[tuple[int, list[str]] | None], name: str, columns: Mapping[str, str]
) -> Iterator[Row | None]:
    """Rows of a table with a header line."""
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
    blocks: Iterable[list[str]], name: str, *, cut: bool
) -> Iterator[tuple[int, list[str]] | None]:
    csv.field_size_limit(LONGEST_FIELD)
    number = 0
    record: list[str] = []
    inside = False
    for block in blocks:
        if not block:
            yield None
        for line in block:
            number += 1
            record.append(line)
            if inside or '"' in line:
                inside = _ends_in_quotes(line, inside)
            if not inside:
                first = number - len(record) + 1
                yield first, _parse_csv(record, f"{name}, line {first}")
                record = []
    if record and not cut:
        raise DataError(
            f"{name}, line {number - len(record) + 1}: a quoted field starts and never ends: "
            "close it, or double the quote if it is part of the text"
        )


def _ends_in_quotes(line: str, inside: bool) -> bool:
    """Whether a quoted field is open at the end of `line`; `inside` tells of its start.

    csv.reader cannot say so: it takes the next line by itself, and so would wait for it.
    """
    at = 0
    while True:
        if not inside and line.startswith('"', at):
            inside = True
            at += 1
        if inside:
            at = line.find('"', at)
            while at >= 0 and line.startswith('""', at):
                at = line.find('"', at + 2)
            if at < 0:
                return True
            inside = False
        at = line.find(",", at)
        if at < 0:
            return False
        at += 1


def _parse_csv(lines: list[str], where: str) -> list[str]:
    try:
        fields = next(csv.reader([line + "\n" for line in lines], strict=True))
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        raise DataError(f"{where} is not CSV as in RFC 4180 ({reason}): correct it") from error
    return fields or [""]  # csv.reader gives no field at all for an empty line


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
        return _without_half_characters(value, where, errors)
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large for a number")
    return value


# `json.loads` makes a decoder anew for each line, which takes longer than to read a short one.
_JSON = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)


def _without_half_characters(
    value: dict[str, object], where: str, errors: str
) -> dict[str, object]:
    """Refuse or replace half a surrogate pair, which JSON can say but no encoding can write."""
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
