"""Rows of Parquet files and of data sets on the Hugging Face Hub.

Knows: `datasets` and the pyarrow it brings, and imports them only when rows are asked for. Does
not know: what a column is for. A Parquet file is read by pyarrow alone, so that nothing reaches
the network; only an `hf:` name does.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import HUB_PREFIX
from rnntext.text.source import STDIN, source_name
from rnntext.text.tables import Row, missing_column

NEEDS_EXTRA = "needs an extra that is not installed: pip install 'rnntext[train]'"


def read_remote(path: str, columns: Mapping[str, str], split: str = "train") -> Iterator[Row]:
    """Yield the rows of a `.parquet` file, `hf:NAME` or `hf:NAME:CONFIG`, numbered from 1.

    `columns` maps each column to read to the option that names it. A class index becomes its
    class's name where the data say what it is, and None where it is -1, which the Hub uses for
    no label. Raises UsageError without the `train` extra, DataError for data that cannot be read.
    """
    if path.startswith(HUB_PREFIX):
        return _read_hub(path, columns, split)
    return _read_parquet(path, columns)


def _read_parquet(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    name = source_name(path)
    if path == STDIN:
        raise DataError("Parquet cannot be read from standard input: name the file")
    try:
        from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise UsageError(f"{name} {NEEDS_EXTRA}") from error
    number = 0
    # pyarrow's own errors are OSError and ValueError.
    try:
        with ParquetFile(path) as file:
            schema = file.schema_arrow
            _require(columns, schema.names, name)
            described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
            features = described.get("info", {}).get("features") or {}
            for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
                for fields in batch.to_pylist():
                    number += 1
                    yield _named_row(number, fields, features, name)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name} cannot be read as Parquet ({_one_line(error)}): get it again"
        ) from error


def _read_hub(path: str, columns: Mapping[str, str], split: str) -> Iterator[Row]:
    dataset_name, _, config = path.removeprefix(HUB_PREFIX).partition(":")
    if not dataset_name:
        raise UsageError(f"{path} names no data set: say hf:NAME or hf:NAME:CONFIG")
    try:
        import datasets
    except ImportError as error:
        raise UsageError(f"{path} {NEEDS_EXTRA}") from error
    # What goes wrong is raised and said in one line; retries and hints would stand before it.
    for library in ("datasets", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(dataset_name, config or None, split=split)
        _require(columns, dataset.column_names, path)
        features = dataset.features.to_dict()
        for number, fields in enumerate(dataset.select_columns(list(columns)), 1):
            yield _named_row(number, fields, features, path)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{path} cannot be loaded ({_one_line(error)}): check name, split and connection"
        ) from error


def _require(columns: Mapping[str, str], there: list[str], name: str) -> None:
    for column, option in columns.items():
        if column not in there:
            raise missing_column(name, column, option, there)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def _named_row(number: int, fields: dict[str, object], features: dict[str, Any], name: str) -> Row:
    where = f"{name}, line {number}"
    return Row(
        number,
        {
            column: _with_names(value, features.get(column), where)
            for column, value in fields.items()
        },
    )


def _with_names(value: object, feature: Any, where: str) -> object:
    """Put names for class indices; `feature` is the column's, as `datasets` writes it to JSON."""
    if isinstance(feature, list):  # how older versions wrote a sequence
        feature = {"feature": feature[0]}
    if not isinstance(feature, dict):
        return value
    if isinstance(value, list):
        return [_with_names(item, feature.get("feature"), where) for item in value]
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    if not names or not isinstance(value, int) or value == -1:
        return None if names and value == -1 else value
    if not 0 <= value < len(names):
        raise DataError(f"{where}: class {value} is none of the {len(names)} in the data")
    return str(names[value])
