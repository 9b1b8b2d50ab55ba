"""Reads the rows of Parquet files, a batch of rows at a time.

Knows: pyarrow, which only those who read Parquet need, and what a value of Arrow is in JSON. Does
not know: the purpose of a column. No network is needed.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rnntext.errors import DataError, UsageError
from rnntext.text.source import STDIN, for_message, is_compressed, read_error, source_name
from rnntext.text.tables import Row, missing_column

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Scalar
    from pyarrow.parquet import ParquetFile

# Rows that are decoded together.
_BATCH_ROWS = 1024
# Bytes of a column that are read from the file together. Without it a whole column of a row group
# would be, and a file may have a single one.
_BUFFER_BYTES = 1 << 20
# How the names of types begin whose values are in JSON what they are in Python.
_SAME_IN_JSON = ("string", "large_string", "int", "uint", "bool", "null")

# What pyarrow raises for nanoseconds and for years that Python's times do not have, and for a zone
# that it does not find (ArrowException for the most part derives from ValueError).
_NOT_IN_PYTHON = (ValueError, OverflowError, KeyError)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


class ArrowBatch:
    """A batch of Arrow. A column is converted when it is asked for, to what JSON has.

    Dates and times become ISO 8601, decimals the string of their digits, bytes base64, durations
    seconds, and a number that is not finite None. Of columns with the same name the last counts.
    """

    def __init__(self, batch: RecordBatch) -> None:
        self.arrow = batch
        self.places = {name: place for place, name in enumerate(batch.schema.names)}
        self._converted: dict[str, list[Any]] = {}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column. Raises KeyError if there is none."""
        if name not in self._converted:
            column = self.arrow.column(self.places[name])
            try:
                values = column.to_pylist()
            except _NOT_IN_PYTHON:
                values = list(map(_by_parts, column))
            if not str(column.type).startswith(_SAME_IN_JSON):
                values = list(map(_in_json, values))
            self._converted[name] = values
        return self._converted[name]


class ArrowRow(Mapping[str, object]):
    """A row of an `ArrowBatch`."""

    __slots__ = ("batch", "index")

    def __init__(self, batch: ArrowBatch, index: int) -> None:
        self.batch, self.index = batch, index

    def __getitem__(self, name: str) -> object:
        return self.batch.column(name)[self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.places)

    def __len__(self) -> int:
        return len(self.batch.places)


def require_pyarrow(purpose: str) -> None:
    """Raise UsageError, which says what to install for this `purpose`, where pyarrow is not."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{purpose} needs an extra that is not installed: pip install 'rnntext[parquet]'"
        ) from error


def has_parquet_column(path: str, column: str) -> bool:
    """Return True if a Parquet file has a column of this name. Raises like `read_parquet`."""
    with _opened(path) as file:
        return column in file.schema_arrow.names


def described_features(path: str) -> dict[str, Any]:
    """Return what `datasets` has written about each column of a file; empty of other files. Raises
    like `read_parquet`."""
    with _opened(path) as file:
        metadata = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
    features: dict[str, Any] = metadata.get("info", {}).get("features") or {}
    return features


def read_parquet(
    path: str,
    columns: Mapping[str, str],
    optional: Sequence[str] = (),
    *,
    whole: bool = False,
    keep_bad: bool = False,
) -> Iterator[Row]:
    """Yield the rows of a Parquet file, numbered from 1, each an `ArrowRow`.

    `columns` maps each column to read to the option that names it; `optional` ones are read too
    where there are such, and with `whole` all are. Raises UsageError without pyarrow, and DataError
    for a file that cannot be read, lacks a column, or has a text that is not UTF-8, after the rows
    before it. With `keep_bad` a row with such a text is yielded with its error.
    """
    name = source_name(path)
    number = 0
    with _opened(path) as file:
        schema = file.schema_arrow
        read = require_columns(columns, optional, schema.names, name)
        for column in columns:
            if "binary" in str(schema.types[schema.names.index(column)]):
                raise DataError(
                    f"{name}: {for_message(column)!r} holds bytes, not text: write it as strings"
                )
        for batch in file.iter_batches(_BATCH_ROWS, columns=None if whole else read):
            for row in rows_of_batch(batch, name, number):
                if row.error is not None and not keep_bad:
                    raise DataError(row.error)
                yield row
            number += len(batch)


def rows_of_batch(batch: RecordBatch, name: str, before: int = 0) -> Iterator[Row]:
    """Yield the rows of a batch of Arrow, numbered from 1 after those `before`; one with a text
    that is not UTF-8 with its error. `name`: of the source, for messages."""
    number = before
    for part, is_valid in _parts(batch):
        found = ArrowBatch(part)
        for index in range(len(part)):
            number += 1
            if is_valid:
                yield Row(number, ArrowRow(found, index), unit="row")
            else:
                error = f"{name}, row {number} has a text that is not UTF-8: correct it"
                yield Row(number, {}, error, "row")


def rows_at(batch: RecordBatch, places: Sequence[int]) -> RecordBatch:
    """Return the rows at these places, in ascending order. `take` has not every type of Arrow."""
    import pyarrow

    # Of places that follow each other, the place less its number is the same.
    runs = [list(run) for _, run in groupby(enumerate(places), lambda pair: pair[1] - pair[0])]
    slices = [batch.slice(run[0][1], len(run)) for run in runs]
    if len(slices) < 2:
        return slices[0] if slices else batch.slice(0, 0)
    (rows,) = pyarrow.Table.from_batches(slices).combine_chunks().to_batches()
    return rows


def _parts(batch: RecordBatch) -> Iterator[tuple[RecordBatch, bool]]:
    """Yield a batch whose texts are UTF-8, with True, or else each row and whether its are."""
    if _is_valid(batch):
        yield batch, True
        return
    for index in range(len(batch)):
        row = batch.slice(index, 1)
        yield row, _is_valid(row)


@contextmanager
def _opened(path: str) -> Iterator[ParquetFile]:
    """Open a Parquet file. The errors of pyarrow become DataError."""
    name = source_name(path)
    if path == STDIN:
        raise DataError("Parquet cannot be read from standard input: name the file")
    require_pyarrow(name)
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        os.stat(path)
    except OSError as error:
        raise read_error(name, error) from error
    if not os.path.isfile(path):
        kind = "a directory: name the files in it" if os.path.isdir(path) else "no regular file"
        raise DataError(f"{name} cannot be read as Parquet: it is {kind}")
    if is_compressed(path):
        raise DataError(f"{name} cannot be read as Parquet: unpack it with gunzip")
    # The errors of pyarrow derive from ArrowException, or are OSError and ValueError.
    try:
        with ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            yield file
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{name} cannot be read as Parquet ({one_line(error)}): get it again"
        ) from error


def _is_valid(batch: RecordBatch) -> bool:
    try:
        batch.validate(full=True)
    except ValueError:
        return False
    return True


def require_columns(
    columns: Mapping[str, str], optional: Sequence[str], available: Sequence[str], name: str
) -> list[str]:
    """Return the columns to read; raises DataError if one of `columns` is missing."""
    for column, option in columns.items():
        if column not in available:
            raise missing_column(name, column, option, available)
    return [*columns, *(name for name in optional if name in available and name not in columns)]


def one_line(error: Exception) -> str:
    """Return the message of an error of another library as one line that is not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def _by_parts(value: Scalar) -> object:
    """Return a value of JSON for one of Arrow that may hold what Python does not have."""
    import pyarrow

    try:
        return _in_json(value.as_py())
    except _NOT_IN_PYTHON:
        pass
    if isinstance(value, pyarrow.StructScalar):
        return {name: _by_parts(part) for name, part in value.items()}
    if isinstance(value, pyarrow.MapScalar):
        return [[_by_parts(part) for part in pair.values()] for pair in value.values]
    if isinstance(value, pyarrow.ListScalar):
        return [_by_parts(part) for part in value.values]
    if isinstance(value, pyarrow.DictionaryScalar):
        return _by_parts(value.value)
    if isinstance(value, pyarrow.DurationScalar):
        return value.value * _SECONDS[value.type.unit]
    try:
        text = str(value.cast("string").as_py())
    except pyarrow.ArrowInvalid:  # an unknown zone
        text = str(value.cast(pyarrow.timestamp(value.type.unit, "UTC")).cast("string").as_py())
    # Of years after 32767 Arrow has `<value out of range: NUMBER>`.
    return text if text.startswith("<") else text.replace(" ", "T")


def _in_json(value: Any) -> object:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):  # a pair of a map is a tuple
        return [_in_json(item) for item in value]
    if isinstance(value, dict):
        return {name: _in_json(item) for name, item in value.items()}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)  # a decimal, a UUID
