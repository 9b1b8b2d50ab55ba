"""Records and their batches: every format from every source, as it arrives."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text import records
from rnntext.text.records import (
    InputOptions,
    Record,
    TrainedTables,
    prefetch,
    read_records,
    text_of,
)
from rnntext.text.tables import PLAIN, Dialect
from tests.text.test_source import piped, standard_input

SAMPLE = "naïve café 你好 🙂"
TEXTS = [SAMPLE, "", 'a "quoted", text']
TABLE = InputOptions(text_column="text")
CONTENT = {
    "lines": ("\n".join(TEXTS) + "\n", InputOptions(), ".txt"),
    "file": ("\r\n".join(TEXTS) + "\r\n", InputOptions(record="file"), ".txt"),
    "csv": (f'id,text\n1,{SAMPLE}\n2,\n3,"a ""quoted"", text"\n', TABLE, ".csv"),
    "tsv": (f'id\ttext\n1\t{SAMPLE}\n2\t\n3\ta "quoted", text\n', TABLE, ".tsv"),
    "jsonl": (
        "".join(json.dumps({"id": str(n), "text": t}) + "\n" for n, t in enumerate(TEXTS, 1)),
        TABLE,
        ".jsonl",
    ),
}


def read(paths: list[str], options: InputOptions, stdin: int = 0) -> list[Record]:
    return [record for batch in read_records(paths, options, stdin) for record in batch]


@pytest.mark.parametrize("where", ["named", "other name", "gz", "stdin", "no path", "utf-16"])
@pytest.mark.parametrize("format_name", CONTENT)
def test_every_format_from_every_source(format_name: str, where: str, tmp_path: Path) -> None:
    content, options, suffix = CONTENT[format_name]
    stdin = 0
    path = tmp_path / f"input{'.data' if where == 'other name' else suffix}"
    paths = [str(path)]
    if where in ("stdin", "no path"):
        stdin = piped(content.encode())
        paths = ["-"] if where == "stdin" else []
    elif where == "gz":
        paths = [f"{path}.gz"]
        Path(paths[0]).write_bytes(gzip.compress(content.encode()))
    else:
        encoding = where if where == "utf-16" else "utf-8-sig"
        path.write_bytes(content.encode(encoding))
        options = InputOptions(options.record, options.text_column, encoding)
    got = read(paths, options, stdin)
    if stdin:
        os.close(stdin)
    if format_name == "lines":
        assert got == [Record(text) for text in TEXTS]
    elif format_name == "file":
        assert got == [Record("\n".join(TEXTS))]
    else:
        rows = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS, 1)]
        assert got == [Record(row["text"], dict(row)) for row in rows]


def test_a_piped_line_comes_while_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    batches = read_records(["-"], InputOptions(), reader)
    for text in (SAMPLE, "", "b"):
        os.write(writer, f"{text}\n".encode())
        # Nothing more is written yet, so reading ahead would block for ever.
        assert next(batches) == [Record(text)]
    os.write(writer, b"c\nd\nrest")
    assert next(batches) == [Record("c"), Record("d")]
    os.close(writer)
    assert list(batches) == [[Record("rest")]]
    os.close(reader)


def test_a_piped_row_comes_while_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    batches = read_records(["-"], TABLE, reader)
    os.write(writer, b'text,b\n"a\nb",c\n')
    assert next(batches) == [Record("a\nb", {"text": "a\nb", "b": "c"})]
    os.close(writer)
    assert list(batches) == []
    os.close(reader)


def test_the_first_piped_row_comes_without_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its format is told by that row alone."""

    def blocks(*_: object) -> Iterator[list[str]]:
        yield []
        yield [json.dumps({"text": SAMPLE})]
        yield []
        raise AssertionError("waited for a second row")

    monkeypatch.setattr(records, "read_line_blocks", blocks)
    assert next(read_records(["-"], TABLE)) == [Record(SAMPLE, {"text": SAMPLE})]


def test_standard_input_is_descriptor_0() -> None:
    with standard_input(b"a\nb\n"):
        assert list(read_records([], InputOptions())) == [[Record("a"), Record("b")]]


def test_records_say_which_file_they_are_from(tmp_path: Path) -> None:
    paths = []
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("text\n")
        paths.append(str(tmp_path / name))
    for options in (InputOptions(), InputOptions(record="file")):
        assert read(paths, options) == [Record("text", source=0), Record("text", source=1)]
    for path in paths:
        Path(path).write_text("text\nx\n")
    rows = [(record.text, record.source) for record in read(paths, TABLE)]
    assert rows == [("x", 0), ("x", 1)]


@pytest.mark.parametrize("text_column", [None, "text"])
def test_the_records_before_a_pipe_come_without_waiting_for_the_pipe(
    tmp_path: Path, text_column: str | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\nfirst\n")
    reader, writer = os.pipe()
    batches = read_records([str(path), "-"], InputOptions(text_column=text_column), reader)
    assert next(batches)[-1].text == "first"
    os.close(writer)
    assert list(batches) == []
    os.close(reader)


def test_files_are_read_in_large_batches(tmp_path: Path) -> None:
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"{number}\n" * 2000)
        paths.append(str(path))
    batches = list(read_records(paths, InputOptions()))
    assert [len(batch) for batch in batches] == [1024] * 9 + [784]
    assert [r.text for b in batches for r in b] == [str(n) for n in range(5) for _ in range(2000)]
    batches = list(read_records(paths, InputOptions(), large=True))
    assert [len(batch) for batch in batches] == [4096, 4096, 1808]
    assert [r.text for b in batches for r in b] == [str(n) for n in range(5) for _ in range(2000)]


def test_an_empty_large_batch_announces_that_the_next_may_block() -> None:
    reader, writer = os.pipe()
    batches = read_records(["-"], InputOptions(), reader, large=True)
    assert next(batches) == []
    for text in ("a", "b"):
        os.write(writer, f"{text}\n".encode())
        while not (batch := next(batches)):
            pass
        assert batch == [Record(text)]
        assert next(batches) == []
    os.close(writer)
    assert list(batches) == []
    os.close(reader)


class Submitted:
    """Records which texts were submitted."""

    def __init__(self) -> None:
        self.texts: list[list[str]] = []

    def __call__(self, texts: list[str]) -> str:
        self.texts.append(texts)
        return ",".join(texts)


def test_the_next_batch_is_submitted_before_a_result_is_yielded() -> None:
    submit = Submitted()
    batches = [[Record("a"), Record("b")], [Record("c")], [Record("d")]]
    results = prefetch(batches, submit, text_of)
    assert submit.texts == []
    for number, result in enumerate(["a,b", "c", "d"]):
        assert next(results) == (batches[number], result)
        assert submit.texts == [["a", "b"], ["c"], ["d"]][: number + 2]
    assert list(results) == []


def test_a_result_does_not_wait_for_a_batch_that_may_block() -> None:

    def batches() -> Iterator[list[Record]]:
        yield [Record("a")]
        yield []
        raise AssertionError("waited for the next batch")

    assert next(prefetch(batches(), Submitted(), text_of)) == ([Record("a")], "a")


def test_submitted_results_are_yielded_before_an_error() -> None:
    def batches() -> Iterator[list[Record]]:
        yield [Record("a")]
        yield [Record("b")]
        raise DataError("bad")

    results = prefetch(batches(), Submitted(), text_of)
    assert [next(results)[1], next(results)[1]] == ["a", "b"]
    with pytest.raises(DataError, match="bad"):
        next(results)


def test_long_records_end_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BATCH_CHARACTERS", 5)
    path = tmp_path / "a.txt"
    path.write_text("aaa\nbbb\nccccccccc\nd\ne\n")
    for large in (False, True):
        read = read_records([str(path)], InputOptions(), large=large)
        batches = [[r.text for r in b] for b in read]
        assert batches == [["aaa", "bbb"], ["ccccccccc"], ["d", "e"]]
    path.write_text("aa\nbb\nc\nd\ne\nff\ng\nh\n")
    batches = [[r.text for r in b] for b in read_records([str(path)], InputOptions())]
    assert batches == [["aa", "bb", "c"], ["d", "e", "ff", "g"], ["h"]]


@pytest.mark.parametrize("large", [False, True])
def test_a_batch_ends_at_a_mebi_of_characters(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    half = 1 << 19

    def lengths(*lines: int) -> list[list[int]]:
        blocks = [["x" * length for length in lines]]
        monkeypatch.setattr(records, "read_line_blocks", lambda *_: iter(blocks))
        batches = read_records(["a.txt"], InputOptions(), large=large)
        return [[len(record.text) for record in batch] for batch in batches]

    assert lengths(half, half - 1, 5, 5) == [[half, half - 1, 5], [5]]
    assert lengths(half, half, 5) == [[half, half], [5]]


def test_an_empty_input_has_no_record_but_an_empty_file_is_one() -> None:
    for options, expected in (
        (InputOptions(), []),
        (TABLE, []),
        (InputOptions(record="file"), [Record("")]),
    ):
        stdin = piped(b"")
        assert read(["-"], options, stdin) == expected
        os.close(stdin)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"a\n", "a"), (b"a\n\n", "a\n"), (b"a", "a"), (b"a\r\nb\r", "a\nb\r"), (b"\n", "")],
)
def test_a_file_record_loses_exactly_one_final_line_end(data: bytes, text: str) -> None:
    stdin = piped(data)
    assert read(["-"], InputOptions(record="file"), stdin) == [Record(text)]
    os.close(stdin)


def test_the_records_before_a_bad_byte_come_before_its_error() -> None:
    stdin = piped(b"a\nb\n\xff\nc\n")
    batches = read_records(["-"], InputOptions(), stdin)
    assert next(batches) == [Record("a"), Record("b")]
    with pytest.raises(DataError, match="line 3, byte 4"):
        next(batches)
    os.close(stdin)


def test_the_lines_of_each_file_are_counted_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1\n2\n3")
    (tmp_path / "b.txt").write_bytes(b"1\n\xe9")
    with pytest.raises(DataError, match=r"b\.txt, line 2, byte 2 "):
        read([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], InputOptions())
    assert read([str(tmp_path / "b.txt")], InputOptions(encoding_errors="replace")) == [
        Record("1"),
        Record("\ufffd"),
    ]


def test_a_missing_column_lists_those_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("review,label\na,b\n")
    with pytest.raises(DataError, match=r"a\.csv has no column 'text'; it has: review, label"):
        read([str(path)], TABLE)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"record": "word"}, "--record word"),
        ({"record": "file", "text_column": "text"}, "--record file and --text-column"),
        ({"on_error": "ignore"}, "--on-error is one of fail, null, skip"),
        ({"encoding": "klingon"}, "--encoding klingon"),
        ({"encoding_errors": "ignore"}, "--encoding-errors ignore"),
    ],
)
def test_invalid_options(options: dict[str, str], flag: str) -> None:
    with pytest.raises(UsageError, match=f"^{flag}"):
        InputOptions(**options)


TABLES = {
    "a.csv": ["id,body", '1,"a, b"', "2,c"],
    "b.tsv": ["id\tbody", "1\ta, b", "2\tc"],
    "c.jsonl": ['{"id": "1", "body": "a, b"}', '{"id": "2", "body": "c"}'],
    "d.json": ['[{"id": "1",', ' "body": "a, b"},', '{"id": "2", "body": "c"}]'],
}
READ = [Record(text, {"id": id_, "body": text}) for id_, text in (("1", "a, b"), ("2", "c"))]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("column", ["body", "text", None])
def test_a_table_is_read_like_those_of_the_training_data(
    name: str, column: str | None, tmp_path: Path
) -> None:
    lines = TABLES[name]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    said: list[str] = []

    def of(options: InputOptions, paths: list[str]) -> list[Record]:
        trained = TrainedTables(column, PLAIN, said.append)
        return [r for batch in read_records(paths, options, trained=trained) for r in batch]

    if (name, column) == ("d.json", "text"):  # its first line does not tell of its columns
        with pytest.raises(DataError, match="line 1 has no column 'text'"):
            of(InputOptions(), [str(path)])
        return
    found = of(InputOptions(), [str(path)])
    (remark,) = said
    if column == "body":
        assert found == READ
        assert remark.startswith(f"{path} is read by its column 'body', as the model's training")
    else:
        assert found == [Record(line) for line in lines]
        assert remark.startswith(str(path))
        assert "is read line by line" in remark
        assert "--text-column" in remark
        assert ("has no column 'text'; it has: id, body" in remark) == (column == "text")
    # A column that is named, another name, and an empty file are as they were.
    said.clear()
    assert of(InputOptions(text_column="body"), [str(path)]) == READ
    other = tmp_path / "other.txt"
    other.write_bytes(path.read_bytes())
    path.write_text("")
    assert of(InputOptions(), [str(other), str(path)]) == [Record(line) for line in lines]
    assert said == []


def test_a_table_has_the_delimiter_of_the_training_data_or_the_one_given(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    trained = TrainedTables("2", Dialect(";", header=False), lambda _: None)
    given = InputOptions(dialect=Dialect("|", header=False))
    for lines, options in (("x;a\ny;b\n", InputOptions()), ("x|a\ny|b\n", given)):
        path.write_text(lines)
        (batch,) = read_records([str(path)], options, trained=trained)
        assert [record.text for record in batch] == ["a", "b"]


def answered(paths: list[str], stdin: int = 0, **options: Any) -> tuple[list[Record], str]:
    """The records that were read, and the error at the end."""
    batches = read_records(paths, InputOptions(**options), stdin)
    found: list[Record] = []
    with pytest.raises(DataError) as caught:
        found.extend(record for batch in batches for record in batch)
    return found, str(caught.value)


BAD_LINES = b"a\ncaf\xe9\n\nb\0\nna\xc3\xafve\n"
BAD_ROWS = {
    "a.jsonl": (
        b'{"x": "a"}\n{"x": \n{"y": "b"}\n{"x": 7}\n{"x": "\xe9"}\n[1]\n{"x": "c"}\n',
        {2: "is not JSON", 3: "has no column 'x'", 4: "is not a string", 5: "a byte (0xE9) that is",
         6: "is not a JSON object"},
    ),
    "b.csv": (
        b'n,x\n1,a\n2\n3,b"c\n4,"d"e\n5,\xff\n\xfe,f\n6,b\0\n7,c\n',
        {3: "has 1 fields where", 5: "is not CSV", 6: "a byte (0xFF)", 7: "a byte (0xFE)",
         8: "has a NUL"},
    ),
    "c.tsv": (b"n\tx\n1\ta\n2\n3\tb\tc\n4\tc\n", {3: "has 1 fields", 4: "has 3 fields"}),
    "d.json": (
        b'[{"x": "a"},\n{"y": 1},\n{"x": null},\n7, {"x": "c"}]\n',
        {2: "has no column 'x'", 3: "is not a string", 4: "is not a JSON object"},
    ),
}  # fmt: skip


def test_a_line_that_is_no_text_does_not_end_the_input() -> None:
    stdin = piped(BAD_LINES)
    found, error = answered(["-"], stdin, on_error="null")
    os.close(stdin)
    byte = "standard input, line 2 has a byte (0xE9) that is not UTF-8"
    nul = "standard input, line 4 has a NUL, which is not text"
    bad = [Record("", error=byte), Record("", error=nul)]
    assert found == [Record("a"), bad[0], Record(""), bad[1], Record("naïve")]
    assert [record.line for record in found] == [0, 2, 0, 4, 0]
    assert error == f"2 records could not be read; the first: {byte}"


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_that_cannot_be_read_does_not_end_the_table(name: str, tmp_path: Path) -> None:
    content, wrong = BAD_ROWS[name]
    (tmp_path / name).write_bytes(content)
    path = str(tmp_path / name)
    found, error = answered([path], on_error="null", text_column="x")
    good = [record for record in found if record.error is None]
    assert {record.text for record in good} >= {"a", "c"}
    bad = [record for record in found if record.error is not None]
    assert [record.line for record in bad] == list(wrong)
    for record, reason in zip(bad, wrong.values(), strict=True):
        assert f"{path}, line {record.line}" in str(record.error)
        assert reason in str(record.error)
    assert error.startswith(f"{len(wrong)} records could not be read; the first: {path}, line ")
    assert answered([path], on_error="skip", text_column="x") == (good, error)
    # Without the option one of them ends the input.
    with pytest.raises(DataError, match=re.escape(path)):
        read([path], InputOptions(text_column="x"))


def test_a_file_that_is_no_text_and_what_cannot_be_passed_over(tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_bytes(b"a\n\xe9\n")
    two.write_text("b\n")
    found, error = answered([str(one), str(two)], on_error="null", record="file")
    assert [record.text for record in found] == ["", "b"]
    assert error.startswith(f"1 record could not be read; the first: {one}, line 1 has a byte")
    # Bytes that are replaced are text; a file that is not there is no record.
    options = InputOptions(on_error="null", encoding_errors="replace")
    assert read([str(one)], options) == [Record("a"), Record("\ufffd")]
    found, error = answered([str(two), str(tmp_path / "none")], on_error="skip")
    assert (found, "none cannot be read" in error) == ([Record("b")], True)
    two.write_text("y\nb\n")
    found, error = answered([str(two)], on_error="skip", text_column="x")
    assert (found, "has no column 'x'" in error) == ([], True)


def test_a_broken_row_of_a_pipe_is_answered_while_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    options = InputOptions(text_column="x", on_error="null")
    batches = read_records(["-"], options, reader)
    for line, text in ((b'{"x": "a"}', "a"), (b"{", ""), (b'{"x": "b"}', "b")):
        os.write(writer, line + b"\n")
        (record,) = next(batches)
        assert (record.text, record.error is None) == (text, bool(text))
    os.close(writer)
    with pytest.raises(DataError, match=r"^1 record could not be read"):
        list(batches)
    os.close(reader)
