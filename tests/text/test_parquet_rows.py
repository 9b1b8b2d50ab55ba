"""Parquet files as rows: what a value becomes, rows that cannot be read, files that are none."""

from __future__ import annotations

import os
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table

from rnntext.errors import DataError
from rnntext.text.controls import json_text
from rnntext.text.formats import UnreadError
from rnntext.text.parquet_rows import has_parquet_column, read_parquet
from rnntext.text.records import InputOptions, Record, TrainedTables, read_records
from rnntext.text.tables import PLAIN

SAMPLE = "naïve café 你好 🙂"
TEXT = {"text": "--text-column"}


def written(tmp_path: Path, columns: dict[str, Any], name: str = "a.parquet") -> str:
    path = tmp_path / name
    write_table(pyarrow.table(columns), path, row_group_size=3)
    return str(path)


def not_utf8(*values: bytes) -> Any:
    """A column of strings with these bytes, which Arrow does not check."""
    ends = [0]
    for value in values:
        ends.append(ends[-1] + len(value))
    offsets = struct.pack(f"<{len(ends)}i", *ends)
    buffers = [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"".join(values))]
    return pyarrow.Array.from_buffers(pyarrow.string(), len(values), buffers)


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        (SAMPLE, pyarrow.large_string(), SAMPLE),
        (SAMPLE, pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), SAMPLE),
        (2**63, pyarrow.uint64(), 2**63),
        (1.5, pyarrow.float64(), 1.5),
        (float("nan"), pyarrow.float64(), None),
        (True, pyarrow.bool_(), True),
        (None, pyarrow.string(), None),
        (date(2020, 2, 29), pyarrow.date32(), "2020-02-29"),
        (time(1, 2, 3), pyarrow.time64("us"), "01:02:03"),
        (datetime(2020, 2, 29, 1, tzinfo=UTC), pyarrow.timestamp("s", "UTC"),
         "2020-02-29T01:00:00+00:00"),
        (timedelta(seconds=1.5), pyarrow.duration("ms"), 1.5),
        (Decimal("1.50"), pyarrow.decimal128(5, 2), "1.50"),
        (b"\xff", pyarrow.binary(), "/w=="),
        ([{"a": [None, date(2020, 1, 1)]}], None, [{"a": [None, "2020-01-01"]}]),
        ([("k", 1)], pyarrow.map_(pyarrow.string(), pyarrow.int64()), [["k", 1]]),
    ],
)  # fmt: skip
def test_what_a_value_is_in_json(value: Any, kind: Any, wanted: Any, tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["x"], "of": pyarrow.array([value], kind)})
    (row,) = read_parquet(path, TEXT, whole=True)
    assert dict(row.fields) == {"text": "x", "of": wanted}
    json_text(dict(row.fields))


def test_nanoseconds_are_kept(tmp_path: Path) -> None:
    """Python's own times have none."""
    times = pyarrow.array([1], pyarrow.timestamp("ns"))
    (row,) = read_parquet(written(tmp_path, {"text": ["x"], "at": times}), TEXT, whole=True)
    assert row.fields["at"] == "1970-01-01T00:00:00.000000001"


NANOSECOND = "1970-01-01T00:00:00.000000001"


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([[1]], pyarrow.list_(pyarrow.timestamp("ns")), [NANOSECOND]),
        ([{"a": 1}], pyarrow.struct([("a", pyarrow.timestamp("ns"))]), {"a": NANOSECOND}),
        ([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.timestamp("ns")),
         [["k", NANOSECOND]]),
        ([1], pyarrow.duration("ns"), 1e-9),
        ([2**62], pyarrow.duration("s"), float(2**62)),
        ([3 * 10**14], pyarrow.timestamp("ms"), "11476-08-15T05:20:00.000"),
        ([2**50], pyarrow.timestamp("ms"), f"<value out of range: {2**50}>"),
        ([1], pyarrow.timestamp("us", "Mars/Olympus"), "1970-01-01T00:00:00.000001Z"),
    ],
)  # fmt: skip
def test_values_that_python_does_not_have(
    values: list[Any], kind: Any, wanted: Any, tmp_path: Path
) -> None:
    """What depends on pandas without it is also read with it."""
    path = written(tmp_path, {"text": ["x"], "of": pyarrow.array(values, kind)})
    (row,) = read_parquet(path, TEXT, whole=True)
    assert row.fields["of"] == wanted


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": [1], "text": ["x"], "group": ["g"]})
    read = [dict(next(read_parquet(path, TEXT, more)).fields) for more in ((), ("group", "none"))]
    assert read == [{"text": "x"}, {"text": "x", "group": "g"}]
    with pytest.raises(KeyError):
        next(read_parquet(path, TEXT)).fields["id"]
    assert has_parquet_column(path, "group")
    assert not has_parquet_column(path, "none")


def test_rows_are_numbered_over_row_groups_and_batches(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": [str(number) for number in range(1, 2501)]})
    rows = list(read_parquet(path, TEXT))
    assert [row.line for row in rows] == [*range(1, 2501)]
    assert [row.fields["text"] for row in rows] == [str(row.line) for row in rows]


def records(paths: list[str], **options: Any) -> list[Record]:
    return [r for batch in read_records(paths, InputOptions(**options)) for r in batch]


def test_records_have_their_rows(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": [SAMPLE, "b\nc"], "id": [1, 2]})
    assert [dict(record.row or {}) for record in records([path])] == [
        {"text": SAMPLE, "id": 1},
        {"text": "b\nc", "id": 2},
    ]
    assert [dict(record.row or {}) for record in records([path], whole_rows=False)] == [
        {"text": SAMPLE},
        {"text": "b\nc"},
    ]


def test_the_column_of_the_texts(tmp_path: Path) -> None:
    """What is named, else that of the training data, else `text`."""
    path = written(tmp_path, {"text": ["a"], "body": ["b"], "other": ["c"]})
    remarks: list[str] = []
    for named, trained, wanted in (
        ("other", "body", "c"),
        (None, "body", "b"),
        (None, None, "a"),
    ):
        tables = TrainedTables(trained, PLAIN, remarks.append)
        (batch,) = read_records([path], InputOptions(text_column=named), trained=tables)
        assert [record.text for record in batch] == [wanted]
    assert remarks == []  # such a file has no lines that could be meant
    with pytest.raises(DataError, match=r"no column 'x'; it has: text, body, other \(name one"):
        records([path], text_column="x")


def test_rows_of_words(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": ["a b", "c"], "words": [["a b", "c"], []]})
    found = records([path], lists=True)
    assert [(r.text, r.words, r.column) for r in found] == [
        ("a b c", ("a b", "c"), "words"),
        ("", (), "words"),
    ]
    found = records([path], lists=True, text_column="text")
    assert [(r.text, r.words) for r in found] == [("a b", None), ("c", None)]
    with pytest.raises(DataError, match="row 1: 'words' is not a string"):
        records([path], text_column="words")
    path = written(tmp_path, {"words": [["a"], ["b", None], [""]]})
    found, _ = records_with_errors([path], lists=True, on_error="null")
    message = "'words' has a word that is empty or no string"
    assert [r.error for r in found] == [None, *(f"{path}, row {n}: {message}" for n in (2, 3))]


def records_with_errors(paths: list[str], **options: Any) -> tuple[list[Record], str]:
    """The records, and what is raised when all have been read."""
    found: list[Record] = []
    with pytest.raises(UnreadError) as caught:
        found.extend(r for batch in read_records(paths, InputOptions(**options)) for r in batch)
    return found, str(caught.value)


def test_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    """A null, a text that is not UTF-8, one that is too long."""
    texts = not_utf8(b"a", b"b\xff", b"c" * 9, b"d")
    others = [not_utf8(b"", b"", b"", b"\xfe"), pyarrow.array([1, 2, 3, 4])]
    paths = [
        written(tmp_path, {"text": pyarrow.array(["a", None])}, "null.parquet"),
        written(tmp_path, {"text": texts, "id": others[1]}, "bytes.parquet"),
        written(tmp_path, {"text": ["a"] * 4, "more": others[0]}, "other.parquet"),
    ]
    wanted = [
        (1, f"{paths[0]}, row 2: 'text' is not a string: make it one, or name another column"),
        (1, f"{paths[1]}, row 2 has a text that is not UTF-8: correct it"),
        (3, f"{paths[2]}, row 4 has a text that is not UTF-8: correct it"),
    ]
    for path, (before, message) in zip(paths, wanted, strict=True):
        read: list[Record] = []
        with pytest.raises(DataError) as caught:
            read.extend(r for batch in read_records([path], InputOptions()) for r in batch)
        assert (len(read), str(caught.value)) == (before, message)

    found, raised = records_with_errors(paths, on_error="null", max_line=8)
    assert [(r.text, r.line) for r in found if r.error] == [("", 2), ("", 2), ("", 3), ("", 4)]
    assert [r.error for r in found if r.error][2] == (
        f"{paths[1]}, row 3 has a text of more than 8 characters: cut it, or allow more with "
        "--max-line"
    )
    assert len(found) == 10
    assert raised.startswith(f"4 records could not be read; the first: {wanted[0][1]}")
    # A row that is there keeps its fields, though its text is none.
    assert [dict(r.row or {}) for r in found if r.error][2]["id"] == 3
    found, _ = records_with_errors(paths, on_error="skip", max_line=8)
    assert [record.text for record in found] == ["a", "a", "d", "a", "a", "a"]
    alone = written(tmp_path, {"text": not_utf8(b"\xff")}, "alone.parquet")
    assert records_with_errors([alone], on_error="skip") == (
        [],
        f"1 record could not be read; the first: {alone}, row 1 has a text that is not UTF-8: "
        "correct it",
    )
    # A column that is not asked for is not looked at.
    assert len(records([paths[2]], on_error="skip", whole_rows=False)) == 4


def test_bytes_are_no_text(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": pyarrow.array([b"a"])})
    with pytest.raises(DataError, match="'text' holds bytes, not text: write it as strings"):
        records([path], on_error="skip")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    whole = Path(written(tmp_path, {"text": [SAMPLE] * 1000, "n": [*range(1000)]})).read_bytes()
    (tmp_path / "folder.parquet").mkdir()
    os.mkfifo(tmp_path / "pipe.parquet")
    contents = {
        "plain": b"plain",
        "empty": b"",
        "short": whole[:-100],
        "footer": whole[:-20] + bytes(20),
        "head": b"PAR1" + whole[-60:],
        "holes": whole[:200] + bytes(len(whole) - 400) + whole[-200:],
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.parquet").write_bytes(content)
    for name in (*contents, "folder", "pipe", "gone"):
        path = str(tmp_path / f"{name}.parquet")
        wanted = "cannot be read: No such file" if name == "gone" else "cannot be read as Parquet"
        for on_error in ("fail", "skip"):
            with pytest.raises(DataError) as caught:
                records([path], on_error=on_error)
            assert str(caught.value).startswith(f"{path} {wanted}"), name
            assert len(str(caught.value)) < 600


def test_a_packed_file_is_named_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet.gz"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.parquet\.gz cannot be read as Parquet: unpack it"):
        next(read_parquet(str(path), TEXT))


def test_a_file_of_damaged_data_is_named_after_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{number} {SAMPLE}" for number in range(3000)]
    table = pyarrow.table({"text": texts})
    write_table(table, path, row_group_size=1024, compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)  # in the second of three groups
    path.write_bytes(content)
    read: list[Record] = []
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        read.extend(r for batch in read_records([str(path)], InputOptions()) for r in batch)
    assert [record.text for record in read] == texts[: len(read)]
    assert len(read) == 1024
