"""Texts without labels: lines, rows and files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, has_fasttext
from rnntext.text.unlabelled import read_unlabelled

TEXTS = ["naïve café", "你好 🙂", "a,b\tc"]


def texts(*paths: Path, **options: Any) -> list[str]:
    return [e.text for e in read_unlabelled([*map(str, paths)], DataOptions(**options))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["texts.txt", "texts", "texts.txt.gz"])
def test_each_line_that_is_not_blank_is_a_text(name: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / name
    content = end.join([TEXTS[0], "", "  \t", *TEXTS[1:]]).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert texts(path) == TEXTS
    # How labelled data are read says nothing of lines.
    assert texts(path, format="fasttext", text_column="review", label_column="stars") == TEXTS
    assert texts(path, format="parquet") == TEXTS
    (first, second, _) = read_unlabelled([str(path)], DataOptions())
    assert first == Labelled(TEXTS[0], (), str(path), 1)
    assert second.line == 4


def test_each_row_of_a_table_is_a_text(tmp_path: Path) -> None:
    rows = [{"review": text, "label": "pos"} for text in ["one", "", "naïve 你好\n🙂"]]
    jsonl, csv, tsv = (tmp_path / f"rows.{kind}" for kind in ("jsonl", "csv", "tsv"))
    jsonl.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    csv.write_text('label,review\r\n,one\r\npos,\r\n,"naïve 你好\r\n🙂"\r\n', "utf-8")
    tsv.write_text("review\ttext\none\tno\nnaïve 你好\tno\n", "utf-8")
    expected = ["one", "naïve 你好\n🙂"]
    assert texts(jsonl, text_column="review") == expected
    assert texts(csv, text_column="review", format="jsonl") == expected
    assert texts(tsv, csv, text_column="review") == ["one", "naïve 你好", *expected]
    with pytest.raises(DataError, match=r"rows\.csv has no column 'text'.*--text-column"):
        texts(csv)


def test_labels_of_fasttext_lines_are_no_part_of_a_text(tmp_path: Path) -> None:
    path, mixed = tmp_path / "all.txt", tmp_path / "mixed.txt"
    path.write_text(
        "__label__a __label__b one\n\n__label__c\ttwo __label__d\n__label__e\n", "utf-8"
    )
    assert texts(path) == ["one", "two"]
    # Of lines that are not all labelled only the labelled data can tell.
    lines = ["__label__a one", "two", "", "__label__b three"]
    mixed.write_text("\n".join(lines), "utf-8")
    assert texts(mixed) == [line for line in lines if line]
    found = read_unlabelled([str(mixed)], DataOptions(), fasttext=True)
    assert [(e.text, e.line) for e in found] == [("one", 1), ("two", 2), ("three", 4)]


def test_labelled_data_tell_whether_lines_may_have_labels(tmp_path: Path) -> None:
    def has(content: str, name: str = "data", **options: Any) -> bool:
        (tmp_path / name).write_text(content, "utf-8")
        return has_fasttext([str(tmp_path), str(tmp_path / name)], DataOptions(**options))

    assert has("__label__a one\n")
    assert has("one\n", format="fasttext")
    assert not has("label,text\na,__label__a one\n")
    assert not has("__label__a,text\n", "data.csv")


def test_a_group_is_read_where_there_is_a_column_of_them(tmp_path: Path) -> None:
    table, other, lines = (tmp_path / name for name in ("a.jsonl", "b.csv", "c.txt"))
    table.write_text('{"text": "one", "film": 7}\n{"text": "two"}\n', "utf-8")
    other.write_text("text,film\nthree,x\nfour,\n", "utf-8")
    lines.write_text("five\n", "utf-8")

    def groups(**options: Any) -> list[str | None]:
        paths = [*map(str, (table, other, lines))]
        return [e.group for e in read_unlabelled(paths, DataOptions(**options))]

    assert groups(group_column="film") == ["7", None, "x", None, None]
    assert groups(group_column="author") == groups() == [None] * 5
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"text": ["one"], "film": ["x"], "more": [1]}), path)
    for column, group in (("film", "x"), ("author", None)):
        (found,) = read_unlabelled([str(path)], DataOptions(group_column=column))
        assert (found.text, found.group) == ("one", group)


def test_each_file_of_a_directory_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second\nline\n", "utf-8")
    (tmp_path / "a.txt").write_text("first", "utf-8")
    (tmp_path / "blank.txt").write_text("\n", "utf-8")
    (tmp_path / "notes.md").write_text("none", "utf-8")
    assert texts(tmp_path) == ["first", "second\nline"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b"\n  \n", "a.txt has no texts in it"),
        ("a.txt", b"one\nna\xefve\n", "a.txt, line 2"),
        ("a.csv", b"text\n", "a.csv has no texts in it"),
        ("a.jsonl", b'{"text": 1}\n', "a.jsonl, line 1: 'text' is not a string"),
    ],
)
def test_what_cannot_be_read_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        texts(tmp_path / name)


def test_a_directory_without_texts_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no texts in it"):
        texts(tmp_path)
    with pytest.raises(DataError, match=r"missing\.txt"):
        texts(tmp_path / "missing.txt")


def test_an_encoding_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve\n".encode("latin-1"))
    assert texts(tmp_path / "a.txt", encoding="latin-1") == ["naïve"]
    assert texts(tmp_path / "a.txt", encoding_errors="replace") == ["na\ufffdve"]
