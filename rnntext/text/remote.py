"""Reads rows of Parquet files and of data sets on the Hugging Face Hub, as examples to learn from.

Knows: `datasets`, which it imports only for an `hf:` name, and how it describes classes in the
files that it writes. Does not know: the purpose of a column, or how Parquet is read
(`parquet_rows`).
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import HUB_PREFIX
from rnntext.text.parquet_rows import described_features, one_line, read_parquet, require_columns
from rnntext.text.source import source_name
from rnntext.text.tables import Row

_CONNECTING = 3.0  # seconds for a connection to the Hub

NEEDS_EXTRA = "needs an extra that is not installed: pip install 'rnntext[train]'"


def read_remote(
    path: str,
    columns: Mapping[str, str],
    split: str = "train",
    optional: Sequence[str] = (),
    *,
    keep_bad: bool = False,
) -> Iterator[Row]:
    """Yield the rows of a `.parquet` file, `hf:NAME` or `hf:NAME:CONFIG`, numbered from 1.

    `columns` maps each column to read to the option that names it; `optional` ones are read too
    where there are such. A class index becomes the class name if the data have class names; -1,
    which the Hub uses for no label, becomes None. Raises UsageError without the extra
    (`parquet`, or `train` for `hf:`), DataError for data that cannot be read. With `keep_bad` a row
    of Parquet that cannot be read is yielded with its error.
    """
    if path.startswith(HUB_PREFIX):
        return _read_hub(path, columns, split, optional)
    return _read_parquet(path, columns, optional, keep_bad)


def _read_parquet(
    path: str, columns: Mapping[str, str], optional: Sequence[str], keep_bad: bool
) -> Iterator[Row]:
    name = source_name(path)
    features = described_features(path)
    for row in read_parquet(path, columns, optional, keep_bad=keep_bad):
        try:
            found = _with_class_names(row, features, name)
        except DataError as error:
            if not keep_bad:
                raise
            found = Row(row.line, {}, str(error), row.unit)
        yield found


def _read_hub(
    path: str, columns: Mapping[str, str], split: str, optional: Sequence[str]
) -> Iterator[Row]:
    dataset_name, _, config = path.removeprefix(HUB_PREFIX).partition(":")
    if not dataset_name:
        raise UsageError(f"{path} names no data set: say hf:NAME or hf:NAME:CONFIG")
    if importlib.util.find_spec("datasets") is None:
        raise UsageError(f"{path} {NEEDS_EXTRA}")
    # This comes with `datasets`, whose own import takes seconds.
    from huggingface_hub import constants

    if not (constants.HF_HUB_OFFLINE or os.path.exists(dataset_name)):
        _require_connection(path, constants.ENDPOINT)
    import datasets

    # Errors are reported in one line below; logged retries and hints would precede it.
    for library in ("datasets", "huggingface_hub"):
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        dataset = datasets.load_dataset(dataset_name, config or None, split=split)
        read = require_columns(columns, optional, dataset.column_names, path)
        features = dataset.features.to_dict()
        for number, fields in enumerate(dataset.select_columns(read), 1):
            yield _with_class_names(Row(number, fields, unit="row"), features, path)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(
            f"{path} cannot be loaded ({one_line(error)}): check name, split and connection"
        ) from error


def _require_connection(path: str, endpoint: str) -> None:
    """Raise DataError where no connection to the Hub (or the proxy to it) can be opened within a
    few seconds. `huggingface_hub` itself tries again for half a minute without a word."""
    shown = endpoint
    try:
        address = urlsplit(endpoint)
        proxies = getproxies()
        proxy = proxies.get(address.scheme) or proxies.get("all")
        if proxy and not proxy_bypass(address.hostname or ""):
            shown = proxy
            address = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError as error:
        raise UsageError(
            f"{shown} is no address ({error}): correct HF_ENDPOINT, or the proxy's variable"
        ) from None
    reasons: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((address.hostname or "", port), _CONNECTING).close()
        except OSError as error:
            reasons.append(error.strerror or str(error))
        else:
            reasons.append("")

    # A thread, because looking up a name takes as long as the resolver likes.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_CONNECTING)
    reason = reasons[0] if reasons else "no answer"
    if reason:
        raise DataError(
            f"{path} cannot be loaded: {endpoint} cannot be reached ({reason}): connect to the "
            "network, or set HF_HUB_OFFLINE=1 to read what was downloaded before"
        )


def _with_class_names(row: Row, features: Mapping[str, Any], name: str) -> Row:
    where = f"{name}, {row.place}"
    fields = {
        column: _to_class_names(value, features.get(column), where)
        for column, value in row.fields.items()
    }
    return replace(row, fields=fields)


def _to_class_names(value: object, feature: Any, where: str) -> object:
    """Replace class indices by names; `feature` describes the column, as JSON by `datasets`."""
    if isinstance(feature, list):  # a sequence, as written by older versions
        feature = {"feature": feature[0]}
    if not isinstance(feature, dict):
        return value
    if isinstance(value, list):
        return [_to_class_names(item, feature.get("feature"), where) for item in value]
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    if not names or not isinstance(value, int) or value == -1:
        return None if names and value == -1 else value
    if not 0 <= value < len(names):
        raise DataError(f"{where}: class {value} is none of the {len(names)} in the data")
    return str(names[value])
