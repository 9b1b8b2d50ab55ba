"""Rows written to Parquet with answers beside them: types, columns that come later, errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow.parquet import ParquetFile, read_table, write_table

from rnntext.errors import DataError
from rnntext.text import parquet_writer
from rnntext.text.beside import Kind
from rnntext.text.parquet_rows import read_parquet
from rnntext.text.parquet_writer import arrow_type, parquet_rows

SAMPLE = "naïve café 你好 🙂"
KINDS: dict[str, Kind] = {"label": str, "probability": float}
Batch = tuple[Sequence[Mapping[str, object] | None], Sequence[Sequence[object]]]


def written(path: Path, *batches: Batch, kinds: Mapping[str, Kind] = KINDS) -> Any:
    """Write batches of rows and their answers, and read the file."""
    with parquet_rows(path, kinds) as table:
        for rows, answers in batches:
            table.add(rows, answers)
    return read_table(path)


def test_the_kinds_of_columns() -> None:
    kind: Kind = {"a": [str], "b": int, "c": [{"d": float}], "e": [np.float32]}
    assert str(arrow_type(kind)) == (
        "struct<a: list<item: string>, b: int64, c: list<item: struct<d: double>>, "
        "e: list<item: float>>"
    )


def test_rows_and_answers(tmp_path: Path) -> None:
    table = written(
        tmp_path / "a.parquet",
        ([{"id": "1", "label": SAMPLE}, {"id": "2", "label": "b"}], [["x", 0.1], [None, None]]),
        ([{"id": "3", "label": "c"}], [["y", 1 / 3]]),
    )
    assert table.to_pylist() == [
        {"id": "1", "label": SAMPLE, "rnntext_label": "x", "probability": 0.1},
        {"id": "2", "label": "b", "rnntext_label": None, "probability": None},
        {"id": "3", "label": "c", "rnntext_label": "y", "probability": 1 / 3},
    ]
    assert list(map(str, table.schema.types)) == ["string", "string", "string", "double"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_types_that_arrow_cannot_take_rows_of(tmp_path: Path) -> None:
    """Rows of them are left out all the same."""
    kinds = [pyarrow.string_view(), pyarrow.list_(pyarrow.string_view())]
    values: list[list[Any]] = [["a", "b", "c"], [["a"], None, ["c", "d"]]]
    columns = [pyarrow.array(*column) for column in zip(values, kinds, strict=True)]
    write_table(pyarrow.table(columns, ["text", "of"]), tmp_path / "own.parquet")
    first, _, last = read_parquet(str(tmp_path / "own.parquet"), {"text": ""}, whole=True)
    for some in ([first], [first, last]):
        rows = [row.fields for row in some]
        table = written(tmp_path / "a.parquet", (rows, [["x", 0.5]] * len(rows)))
        assert table.schema.types[:2] == kinds
        assert table.select(["text", "of"]).to_pylist() == [dict(row) for row in rows]


def test_columns_of_parquet_stay_what_they_are(tmp_path: Path) -> None:
    own = pyarrow.table(
        {
            "text": ["a", "b", "c"],
            "at": pyarrow.array([1, None, 3], pyarrow.timestamp("ns", "UTC")),
            "price": pyarrow.array([Decimal("1.50")] * 3, pyarrow.decimal128(5, 2)),
            "kind": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
            "raw": pyarrow.array([b"\xff", b"", None]),
            "nested": [[{"a": 1}], [], None],
        }
    ).replace_schema_metadata({"of": "somebody"})
    write_table(own, tmp_path / "own.parquet")
    rows = [
        row.fields for row in read_parquet(str(tmp_path / "own.parquet"), {"text": "x"}, whole=True)
    ]
    for places in ([0, 1, 2], [2, 0]):  # rows may be left out
        table = written(
            tmp_path / "a.parquet",
            ([rows[place] for place in places], [[str(place), 0.5] for place in places]),
        )
        assert table.select(own.schema.names).cast(own.schema).equals(own.take(places))
        assert table.schema.field("kind").type == own.schema.field("kind").type
        assert table["label"].to_pylist() == list(map(str, places))
        assert table.schema.metadata[b"of"] == b"somebody"


@pytest.mark.parametrize("group", [1, 100])
def test_types_that_later_rows_show(
    group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the rows before were written already, or not yet."""
    monkeypatch.setattr(parquet_writer, "_GROUP_ROWS", group)
    rows: list[Mapping[str, object] | None] = [
        {"a": None, "b": 1},
        {"a": "x", "b": 2},
        None,
        {"a": "y", "b": 2.5, "c": [{"d": 1}]},
        {"c": [{"e": True}], "label": "own"},
    ]
    batches: list[Batch] = [([row], [[str(place), 0.5]]) for place, row in enumerate(rows)]
    table = written(tmp_path / "a.parquet", *batches)
    assert table.schema.names == ["a", "b", "c", "label", "rnntext_label", "probability"]
    assert table["a"].to_pylist() == [None, "x", None, "y", None]
    assert table["b"].to_pylist() == [1.0, 2.0, None, 2.5, None]
    assert table["c"].to_pylist()[3:] == [[{"d": 1, "e": None}], [{"d": None, "e": True}]]
    assert table["label"].to_pylist() == [None, None, None, None, "own"]
    assert table["rnntext_label"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[{"a": 1, "b": 1}], [{"a": "x"}]], r"from number 2 on do not have \(.*Field a has"),
        ([[{"a": 1}], [{"a": 1}, {"a": "x"}]], r"from number 2 on do not have \('a': Could not"),
        ([[{"a": 2**70}]], r"from number 1 on do not have \('a': "),
        ([[{"a": {}}]], r"cannot hold these rows \(.*struct"),
    ],
)
def test_values_that_no_column_can_hold(
    rows: list[list[dict[str, Any]]], message: str, tmp_path: Path
) -> None:
    batches = [(some, [["x", 0.5]] * len(some)) for some in rows]
    with pytest.raises(DataError, match=message) as caught:
        written(tmp_path / "a.parquet", *batches)
    assert str(caught.value).endswith("name a .jsonl file with -o")


def test_a_file_without_rows_has_the_columns_of_answers(tmp_path: Path) -> None:
    table = written(tmp_path / "a.parquet")
    assert (table.schema.names, table.num_rows) == (["label", "probability"], 0)


def test_rows_that_come_one_by_one_are_written_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group for each would make a file that is slow to read; all in one would fill memory."""
    batches: list[Batch] = [([{"a": "x"}], [["y", 0.5]])] * 25
    for rows, size, groups in ((10, 1 << 20, [10, 10, 5]), (1 << 20, 200, [10, 10, 5])):
        monkeypatch.setattr(parquet_writer, "_GROUP_ROWS", rows)
        monkeypatch.setattr(parquet_writer, "_GROUP_BYTES", size)
        written(tmp_path / "a.parquet", *batches)
        with ParquetFile(tmp_path / "a.parquet") as file:
            found = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        if rows == 10:
            assert found == groups
        else:
            assert 1 < len(found) < 25
