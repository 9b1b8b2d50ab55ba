"""Running text from files, directories and tables, as documents and lines."""

from __future__ import annotations

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.lines import Line, read_lines
from tests.text.test_source import piped, standard_input

SAMPLE = "naïve café 你好 🙂"
CONTENT = {
    "text": (f"{SAMPLE}\n\nb\n", ".txt", {}),
    "csv": (f'id,text\n1,"{SAMPLE}\n\nb"\n2,c\n', ".csv", {"text_column": "text"}),
    "tsv": (f"x\tid\n{SAMPLE}\t1\nc\t2\n", ".tsv", {"text_column": "x"}),
    "jsonl": (
        json.dumps({"text": f"{SAMPLE}\r\n\r\nb\r\n"}) + "\n" + json.dumps({"text": "c"}) + "\n",
        ".jsonl",
        {"text_column": "text"},
    ),
}
EXPECTED = {
    "text": [(0, SAMPLE), (0, ""), (0, "b")],
    "csv": [(0, SAMPLE), (0, ""), (0, "b"), (1, "c")],
    "tsv": [(0, SAMPLE), (1, "c")],
    "jsonl": [(0, SAMPLE), (0, ""), (0, "b"), (1, "c")],
}


def read(*paths: Path | str, stdin: int = 0, **options: str) -> list[tuple[int, str]]:
    lines = read_lines([str(path) for path in paths], DataOptions(**options), stdin)
    return [(line.document, line.text) for line in lines]


def test_standard_input_is_descriptor_0() -> None:
    with standard_input(b"a\nb\n"):
        assert list(read_lines(["-"], DataOptions())) == [Line(0, "a"), Line(0, "b")]


@pytest.mark.parametrize("where", ["named", "other name", "gz", "stdin", "format named"])
@pytest.mark.parametrize("format_name", CONTENT)
def test_every_format_from_every_source(format_name: str, where: str, tmp_path: Path) -> None:
    content, suffix, options = CONTENT[format_name]
    path = tmp_path / f"data{suffix if where in ('named', 'gz') else '.data'}"
    if where == "stdin":
        stdin = piped(content.encode())
        got = read("-", stdin=stdin, **options)
        os.close(stdin)
    elif where == "gz":
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(content.encode()))
        got = read(packed, **options)
    else:
        path.write_text(content)
        named = {"format": format_name} if where == "format named" else {}
        got = read(path, **options, **named)
    assert got == EXPECTED[format_name]


def test_documents_are_numbered_through_files_and_directories(tmp_path: Path) -> None:
    for name, data in {
        "d/b.txt": b"b",
        "d/a.txt.gz": gzip.compress(b"a1\n\na2\n"),
        "d/c/z.md": b"z\n",
        "d/.hidden": b"hidden\n",
        "d/.git/x": b"hidden\n",
        "d/d.png": b"\x89PNG\0\0\n",
        "d/e.txt": b"",
        "d/f.jsonl": b'{"text": "f1\\nf2"}\n{"text": "g"}\n',
        "last.txt": b"last\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "d/c/loop").symlink_to(tmp_path / "d")
    os.mkfifo(tmp_path / "d/fifo")
    got = read(tmp_path / "d", tmp_path / "last.txt")
    texts = ["a1", "", "a2", "b", "z", "f1", "f2", "g", "last"]
    assert [text for _, text in got] == texts
    numbers = [number for number, _ in got]
    new = [n == 0 or numbers[n] != numbers[n - 1] for n in range(len(numbers))]
    assert [text for text, is_new in zip(texts, new, strict=True) if is_new] == [
        "a1", "b", "z", "f1", "g", "last",
    ]  # fmt: skip
    assert numbers == sorted(numbers)


def test_text_of_any_name_can_be_read_as_plain_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n")
    assert read(path, format="text") == [(0, "a,b")]
    with pytest.raises(DataError, match=r"a\.csv has no column 'text'; it has: a, b"):
        read(path)


def test_lines_come_while_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a\nb\n")
    lines = read_lines(["-"], DataOptions(), reader)
    assert list(islice(lines, 2)) == [Line(0, "a"), Line(0, "b")]
    os.close(writer)
    assert list(lines) == []
    os.close(reader)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", r"a\.txt is empty: name a file"),
        ("a.jsonl", b"", r"a\.jsonl is empty: name a file"),
        ("a.tsv", b"text\tb\n", r"a\.tsv has no text in it: name a file that has$"),
        ("a.bin", b"a\0b", r"a\.bin looks like a binary file"),
        ("a.txt", b"a\n\xff", r"a\.txt, line 2, byte 2 \(0xFF\) is not UTF-8"),
        ("a.jsonl", b'{"text": 1}\n', r"a\.jsonl, line 1: 'text' is not a string"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


def test_empty_files_in_a_directory_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "c.csv").write_text("text\ntwo\n")
    for name in ("b.csv", "b.jsonl", "b.tsv", "b.txt"):
        (tmp_path / name).touch()
    assert [text for _, text in read(tmp_path)] == ["one", "two"]


def test_a_directory_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0")
    with pytest.raises(DataError, match="has no text in it"):
        read(tmp_path)
    with pytest.raises(DataError, match="gone cannot be read: No such file"):
        read(tmp_path / "gone")
