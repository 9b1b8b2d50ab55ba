"""Lines to rows: CSV against the csv module's own writer, TSV, JSON Lines and their errors."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.errors import DataError, UsageError
from rnntext.text import tables
from rnntext.text.tables import Dialect, Row, read_rows, text_field

SAMPLE = "naïve café 你好 🙂"
TEXT = {"text": "--text-column"}
FIELD = st.text(
    st.one_of(st.sampled_from('",\n a'), st.characters(exclude_categories=["Cs"])), max_size=8
).map(lambda text: text.replace("\r", "").replace("\0", ""))


def rows(kind: str, *lines: str, errors: str = "strict") -> list[Row | None]:
    return list(read_rows([list(lines)], kind, "FILE", TEXT, errors))


def failure(kind: str, *lines: str) -> str:
    with pytest.raises(DataError) as caught:
        rows(kind, *lines)
    message = str(caught.value)
    assert "\n" not in message
    return message


@given(st.lists(st.tuples(FIELD, FIELD), max_size=6))
def test_csv_reads_what_the_csv_module_writes(fields: list[tuple[str, str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "b"), *fields])
    lines = file.getvalue().removesuffix("\n").split("\n")
    blocks = [[line] for line in lines]
    read = list(read_rows(blocks, "csv", "FILE", TEXT))
    assert [row.fields for row in read if row] == [{"text": a, "b": b} for a, b in fields]


@given(st.lists(FIELD.filter(lambda field: "\n" not in field), min_size=1, max_size=5))
def test_csv_without_needless_quotes(fields: list[str]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["text"] * 1 + [f"c{n}" for n in range(1, len(fields))], fields])
    lines = file.getvalue().removesuffix("\n").split("\n")
    (row,) = rows("csv", *lines)
    assert row is not None
    assert list(row.fields.values()) == fields


def test_csv_rows_know_the_line_they_start_on() -> None:
    read = rows("csv", "id,text", '1,"two', "", 'lines, ""quoted"""', f"2,{SAMPLE}", "", '3,5" x')
    assert read == [
        Row(2, {"id": "1", "text": 'two\n\nlines, "quoted"'}),
        Row(5, {"id": "2", "text": SAMPLE}),
        Row(7, {"id": "3", "text": '5" x'}),
    ]


def test_a_csv_row_comes_with_its_last_line() -> None:
    blocks = iter([["text", '"a'], [], ['b"'], [], ["c"]])
    read = read_rows(blocks, "csv", "FILE", TEXT)
    assert next(read) is None
    assert next(read) == Row(2, {"text": "a\nb"})
    assert next(read) is None
    assert list(read) == [Row(4, {"text": "c"})]


def test_a_truncated_table_may_end_inside_a_row() -> None:
    lines = ["text", "a", '"b', "c"]
    assert list(read_rows([lines], "csv", "FILE", TEXT, truncated=True)) == [Row(2, {"text": "a"})]
    with pytest.raises(DataError, match="line 3: a quoted field starts and never ends"):
        list(read_rows([lines], "csv", "FILE", TEXT))


def test_tsv_has_no_quoting() -> None:
    assert rows("tsv", "text\tlabel", '"a\t"', "", 'say "hi"\tNA') == [
        Row(2, {"text": '"a', "label": '"'}),
        Row(4, {"text": 'say "hi"', "label": "NA"}),
    ]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_an_empty_line_is_a_row_of_one_column(kind: str) -> None:
    assert rows(kind, "text", "", "a") == [Row(2, {"text": ""}), Row(3, {"text": "a"})]


def test_fields_longer_than_the_csv_module_allows() -> None:
    long = "a" * 300_000
    (row,) = rows("csv", "text", f'"{long}"')
    assert row == Row(2, {"text": long})


@pytest.mark.parametrize("delimiter", [";", "|", "\t", "\\t"])
def test_another_delimiter(delimiter: str) -> None:
    char = "\t" if delimiter == "\\t" else delimiter
    lines = [f"id{char}text", f'1{char}"a, ""b""', f'{char}c"']
    (row,) = read_rows([lines], "csv", "FILE", TEXT, dialect=Dialect(delimiter))
    assert row == Row(2, {"id": "1", "text": f'a, "b"\n{char}c'})
    (row,) = read_rows([["text;b", '"x;y']], "tsv", "FILE", TEXT, dialect=Dialect(";"))
    assert row == Row(2, {"text": '"x', "b": "y"})


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_what_separates_no_columns(delimiter: str) -> None:
    with pytest.raises(UsageError, match=r"^--delimiter .*: give one character, such as ';'"):
        Dialect(delimiter)


def test_a_table_without_a_header_has_numbers_for_names() -> None:
    lines = [["1,a"], [], ['"2",b']]
    read = read_rows(lines, "csv", "FILE", {"2": "--text-column"}, dialect=Dialect(header=False))
    assert list(read) == [Row(1, {"1": "1", "2": "a"}), None, Row(2, {"1": "2", "2": "b"})]
    with pytest.raises(DataError, match="FILE has no column 'text'; it has: 1, 2"):
        list(read_rows(lines, "csv", "FILE", TEXT, dialect=Dialect(header=False)))


ROWS = [{"text": SAMPLE, "n": [1, {"x": "]},"}]}, {"text": 'a\n"b\\', "n": None}, {"text": ""}]


@pytest.mark.parametrize("indent", [None, 1, 3])
@pytest.mark.parametrize("lines_a_block", [1, 2, 100])
def test_a_json_array_is_read_as_its_rows(indent: int | None, lines_a_block: int) -> None:
    lines = ["", *json.dumps(ROWS, indent=indent).split("\n"), " "]
    blocks = [lines[n : n + lines_a_block] for n in range(0, len(lines), lines_a_block)]
    read = [row for row in read_rows(blocks, "jsonl", "FILE", TEXT) if row is not None]
    assert [row.fields for row in read] == ROWS
    starts = [n for n, line in enumerate(lines, 1) if line.startswith(" " * (indent or 0) + "{")]
    assert [row.line for row in read] == (starts if indent is not None else [2] * 3)
    assert list(read_rows([["[", "]"]], "jsonl", "FILE", TEXT)) == []


def test_a_row_of_an_array_comes_before_the_next_is_there() -> None:
    def blocks() -> Iterator[list[str]]:
        yield ["[", '{"text": "a"}', ","]
        yield []
        raise AssertionError("waited")

    read = read_rows(blocks(), "jsonl", "FILE", TEXT)
    assert next(read) == Row(2, {"text": "a"})
    assert next(read) is None


def test_an_array_that_is_read_in_part() -> None:
    lines = ["[", '{"text": "a"},', '{"text":']
    assert list(read_rows([lines], "jsonl", "FILE", TEXT, truncated=True)) == [
        Row(2, {"text": "a"})
    ]


def test_json_keeps_the_kinds_of_values_and_their_order() -> None:
    line = json.dumps({"b": [1, None], "text": SAMPLE})
    (row,) = rows("jsonl", "", line)
    assert row == Row(2, {"b": [1, None], "text": SAMPLE})
    assert list(row.fields) == ["b", "text"]


@pytest.mark.parametrize(
    ("kind", "lines", "message"),
    [
        ("csv", ["a,b"], "FILE has no column 'text'; it has: a, b (name one with --text-column)"),
        ("tsv", ["a"], "FILE has no column 'text'; it has: a (name"),
        ("jsonl", ['{"a": 1}'], "FILE, line 1 has no column 'text'; it has: a (name"),
        ("csv", ["text,text"], "FILE has more than one column 'text'"),
        ("csv", ["text,b", "1,2", "1"], "FILE, line 3 has 1 fields where the header has 2"),
        ("tsv", ["text", "a\tb"], "FILE, line 2 has 2 fields where the header has 1"),
        ("csv", ["text", '"a"b'], "FILE, line 2 is not CSV as in RFC 4180"),
        ("csv", ["text", "a\rb"], "FILE, line 2 is not CSV as in RFC 4180"),
        ("csv", ["text", "a", '"b', "c"], "FILE, line 3: a quoted field starts and never ends"),
        ("jsonl", ['{"text": "a"}', "{"], "FILE, line 2 is not JSON ("),
        ("jsonl", ["[1]"], "FILE, line 1 is not a JSON object"),
        ("jsonl", ["["], "FILE, line 2: a JSON array begins and never ends: close it"),
        ("jsonl", ["", '[{"text": ""},', "{"], "FILE, line 3: a JSON array begins and never"),
        ("jsonl", ['[{"text": ""},', "]"], "FILE, line 2 is not JSON (Expecting value"),
        ("jsonl", ['[{"text": ""} {}]'], "FILE, line 1 is not JSON: it must be one array"),
        ("jsonl", ["[]", '{"text": ""}'], "FILE, line 2 is not JSON: it must be one array"),
        ("jsonl", ["[", '{"text"', ":", "NaN}]"], "FILE, line 2 is not JSON (NaN is no JSON"),
        ("jsonl", ["[", "{}]"], "FILE, line 2 has no column 'text'; it has: none"),
        ("jsonl", ["[", '{"text": "\\ud83d"}]'], "FILE, line 2 has half a surrogate pair"),
        (
            "csv",
            ["id;text"],
            "it has: id;text (name one with --text-column, or say --delimiter ';'",
        ),
        (
            "csv",
            ['"id";"text"'],
            "correct it, or say --delimiter ';' if that separates its columns",
        ),
        ("jsonl", ["[" * 100_000], "FILE, line 1 nests too deeply"),
        ("jsonl", ['{"text": "\\uD83d"}'], r"FILE, line 1 has half a surrogate pair (\ud83d)"),
    ],
)
def test_a_malformed_table_is_named(kind: str, lines: list[str], message: str) -> None:
    assert message in failure(kind, *lines)


def test_many_columns_are_not_all_listed() -> None:
    message = failure("tsv", "\t".join(["x" * 90] * 30))
    assert "and 20 more" in message
    assert len(message) < 600


def test_the_rows_before_a_bad_one_come_first() -> None:
    read = read_rows([["text", "a", "b\tc"]], "tsv", "FILE", TEXT)
    assert next(read) == Row(2, {"text": "a"})
    with pytest.raises(DataError, match="line 3"):
        next(read)


def test_half_a_surrogate_pair_can_be_replaced() -> None:
    lines = ['{"text": "a\\ud83d", "x": ["\\uDE42"]}', '{"text": "\\ud83d\\ude42 \\\\ud83d"}']
    first, second = rows("jsonl", *lines, errors="replace")
    assert first == Row(1, {"text": "a\ufffd", "x": ["\ufffd"]})
    assert second == Row(2, {"text": "🙂 \\ud83d"})


@pytest.mark.parametrize("value", [None, 1, ["a"]])
def test_a_text_must_be_a_string(value: object) -> None:
    with pytest.raises(DataError, match=r"^FILE, line 4: 'text' is not a string: make it one"):
        text_field(Row(4, {"text": value}), "text", "FILE")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"a', "unexpected end of data"),
        ('"a"b,c', "',' expected after '\"'"),
        # The library adds advice about how to open files.
        ("a\rb", "new-line character seen in unquoted field"),
    ],
)
def test_the_reason_of_a_line_that_is_not_csv(line: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        tables._parse_csv([line], "f, line 7")
    assert str(error.value) == f"f, line 7 is not CSV as in RFC 4180 ({reason}): correct it"
