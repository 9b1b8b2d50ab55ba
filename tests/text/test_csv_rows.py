"""Rows of CSV with answers beside them."""

from __future__ import annotations

import csv
import io

import pytest

from rnntext.errors import DataError
from rnntext.text.csv_rows import CsvRows, csv_line

SAMPLE = "naïve café 你好 🙂"


class Written:
    """What was written."""

    def __init__(self) -> None:
        self.content = b""

    def __call__(self, content: bytes) -> None:
        self.content += content

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.content.decode(), newline="")))


def test_a_header_the_rows_and_their_answers() -> None:
    written = Written()
    rows = CsvRows(written, ["label", "probability", "words"])
    rows.add([{"id": 1, "label": SAMPLE, "x": None}], [["a,b", 0.1234567, ["w", 1 / 3]]])
    # A row may lack columns, and an answer may have none.
    rows.add([{"x": [1.5], "id": True}, None], [["c\nd", 1e-9, None], [None, None, None]])
    rows.finish()
    assert written.rows == [
        ["id", "label", "x", "rnntext_label", "probability", "words"],
        ["1", SAMPLE, "", "a,b", "0.123457", '["w", 0.333333]'],
        ["true", "", "[1.5]", "c\nd", "0.000000", ""],
        ["", "", "", "", "", ""],
    ]


def test_rows_before_the_first_whose_columns_are_known() -> None:
    written = Written()
    rows = CsvRows(written, ["label", "error"])
    rows.add([None, None], [[None, "one"], [None, "two"]])
    assert written.content == b""
    rows.add([{"id": "1"}], [["a", None]])
    rows.finish()
    header = ["id", "label", "error"]
    assert written.rows == [header, ["", "", "one"], ["", "", "two"], ["1", "a", ""]]


def test_a_file_without_a_row_whose_columns_are_known() -> None:
    for given, wanted in (([], []), ([[None, "one"]], [["", "one"]])):
        written = Written()
        rows = CsvRows(written, ["label", "error"])
        rows.add([None] * len(given), given)
        rows.finish()
        assert written.rows == [["label", "error"], *wanted]


def test_a_column_that_the_first_row_does_not_have() -> None:
    rows = CsvRows(Written(), ["label"])
    rows.add([{"a": 1}], [["x"]])
    with pytest.raises(DataError, match=r"record 3 has a column 'b' .* \.jsonl or \.parquet file"):
        rows.add([{"a": 1}, {"a": 2, "b": 3}], [["x"], ["y"]])


def test_no_text_makes_a_row_or_a_terminal_command() -> None:
    line = csv_line(["a\tb", 'c"d', "e\rf", "\x1b[2J", ""])
    assert line == 'a\tb,"c""d","e\rf", [2J,\n'
    assert next(csv.reader(io.StringIO(line, newline=""))) == ["a\tb", 'c"d', "e\rf", " [2J", ""]
