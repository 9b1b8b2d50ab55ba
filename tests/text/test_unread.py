"""Data with records that cannot be read and are left out of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions, Unread
from rnntext.text.labelled import read_labelled
from rnntext.text.lines import read_lines
from rnntext.text.tagged import read_tagged

Reader = Callable[[Sequence[str], DataOptions], Iterator[Any]]
CONLLU = "1\t{}\t_\tNOUN\t_\t_\t_\t_\t_\t_\n"

# The reader, the name of the file, its bytes, how many records are bad, the place of the first
# and a part of what is said of it, and the texts or words that are left.
CASES: dict[str, tuple[Reader, str, bytes, int, str, list[Any]]] = {
    "csv": (
        read_labelled, "a.csv", b"text,label\na,x\nb\nc,\nd\xff,x\ne,y\n", 3,
        "line 3 has 1 fields", ["a", "e"],
    ),
    "jsonl": (
        read_labelled, "a.jsonl", b'{"text": "a", "label": "x"}\n{"text"\n[]\n{"text": "b"}\n', 3,
        "line 2 is not JSON", ["a"],
    ),
    "fasttext": (
        read_labelled, "a.txt", b"__label__x a\nb\n__label__x \xff\n__label__y c\n", 2,
        "line 2 has no label", ["a", "c"],
    ),
    "conllu": (
        read_tagged, "a.conllu",
        f"{CONLLU.format('a')}\n1\tb\n\n{CONLLU.format('c')}\n".encode(), 1,
        "line 3 has 2 columns", [("a",), ("c",)],
    ),
    "conllu, bytes": (
        read_tagged, "a.conllu",
        CONLLU.format("a").encode() + b"\n" + CONLLU.format("b").encode().replace(b"b", b"\xff"), 1,
        "line 3 has a byte (0xFF) that is not UTF-8", [("a",)],
    ),
    "columns": (
        read_tagged, "a.conll", b"x\n\na N\nb N\n\nc\n\nd N\n", 2, "line 1 has one column",
        [("a", "b"), ("d",)],
    ),
    "lists": (
        read_tagged, "a.jsonl",
        b'{"words": ["a"], "tags": ["N"]}\n{"words": ["b"], "tags": []}\n{"words": "c"}\n', 2,
        "line 2 has 1 words and 0 tags", [("a",)],
    ),
    "text": (
        read_lines, "a.txt", b"a\nb\xff\n\nc\n", 1, "line 2 has a byte (0xFF) that is not UTF-8",
        ["a", "", "c"],
    ),
    "texts": (
        read_lines, "a.jsonl", b'{"text": "a"}\n{"text": 1}\n{"text": "b"}\n', 1,
        "line 2: 'text' is not a string", ["a", "b"],
    ),
}  # fmt: skip


def content(example: Any) -> Any:
    return getattr(example, "words", None) or example.text


@pytest.mark.parametrize("case", CASES)
def test_what_can_be_read_is_read(case: str, tmp_path: Path) -> None:
    read, name, data, count, reason, left = CASES[case]
    path = tmp_path / name
    path.write_bytes(data)
    unread = Unread()
    found = list(read([str(path)], DataOptions(unread=unread)))
    assert [content(example) for example in found] == left
    assert unread.count == count
    assert unread.first.startswith(f"{path}, {reason}")
    counted = "1 record" if count == 1 else f"{count} records"
    assert str(unread.error()).startswith(f"{counted} could not be read; the first: {path}, ")
    with pytest.raises(DataError):
        list(read([str(path)], DataOptions()))


def test_rows_of_parquet(tmp_path: Path) -> None:
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    table = pyarrow.table({"text": ["a", None, "b", "c"], "label": [1, 0, 7, 0]})
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    path = tmp_path / "a.parquet"
    write_table(table.replace_schema_metadata(described), path)
    unread = Unread()
    found = list(read_labelled([str(path)], DataOptions(unread=unread)))
    assert [(example.text, example.labels, example.line) for example in found] == [
        ("a", ("yes",), 1),
        ("c", ("no",), 4),
    ]
    assert (unread.count, unread.first.split(": ")[0]) == (2, f"{path}, row 2")
    lines = list(read_lines([str(path)], DataOptions(unread=Unread())))
    assert [(line.document, line.text) for line in lines] == [(0, "a"), (1, "b"), (2, "c")]


def test_a_file_in_a_folder_of_its_class(tmp_path: Path) -> None:
    for label, data in (("x", b"a"), ("y", b"\xff")):
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.txt").write_bytes(data)
    unread = Unread()
    found = list(read_labelled([str(tmp_path)], DataOptions(unread=unread)))
    assert [(example.text, example.labels) for example in found] == [("a", ("x",))]
    assert unread.count == 1


def test_data_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na\nb\n")
    with pytest.raises(DataError, match="has no examples in it"):
        list(read_labelled([str(path)], DataOptions(unread=Unread())))
    path.write_text("text\na\n")
    with pytest.raises(DataError, match="has no column 'label'"):
        list(read_labelled([str(path)], DataOptions(unread=Unread())))
