"""Labelled texts: every format from every source; labels stay strings as they stand."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.labelled import Labelled, read_labelled, split_fasttext_line
from tests.text.test_source import piped, standard_input

SAMPLE = "naïve café 你好 🙂"
CONTENT = {
    "csv": f'label,text\nNA,{SAMPLE}\n1,"a\n""b"","\nnull,\n',
    "tsv": f'text\tlabel\n{SAMPLE}\tNA\na "b"\t1\n\tnull\n',
    "jsonl": f'{{"text": "{SAMPLE}", "label": "NA"}}\n\n{{"label": 1, "text": "a"}}\n'
    '{"label": "null", "text": ""}\n',
    "fasttext": f"__label__NA {SAMPLE}\n\na __label__1 b\n__label__null\n",
}
TEXTS = {
    "csv": (SAMPLE, 'a\n"b",', ""),
    "tsv": (SAMPLE, 'a "b"', ""),
    "jsonl": (SAMPLE, "a", ""),
    "fasttext": (SAMPLE, "a b", ""),
}
LINES = {"csv": (2, 3, 5), "tsv": (2, 3, 4), "jsonl": (1, 3, 4), "fasttext": (1, 3, 4)}


def read(path: Path | str, stdin: int = 0, **options: object) -> list[Labelled]:
    return list(read_labelled([str(path)], DataOptions(**options), stdin))


def test_standard_input_is_descriptor_0() -> None:
    with standard_input(b"__label__x a\n"):
        wanted = Labelled("a", ("x",), "standard input", 1)
        assert list(read_labelled(["-"], DataOptions())) == [wanted]


@pytest.mark.parametrize("where", ["named", "other name", "gz", "stdin", "format named"])
@pytest.mark.parametrize("format_name", CONTENT)
def test_every_format_from_every_source(format_name: str, where: str, tmp_path: Path) -> None:
    content = CONTENT[format_name].encode()
    suffix = ".txt" if format_name == "fasttext" else f".{format_name}"
    path = tmp_path / f"data{suffix if where in ('named', 'gz') else '.data'}"
    name = str(path)
    if where == "stdin":
        stdin = piped(content)
        name = "standard input"
        got = read("-", stdin)
        os.close(stdin)
    elif where == "gz":
        name += ".gz"
        Path(name).write_bytes(gzip.compress(content))
        got = read(name)
    else:
        path.write_bytes(content)
        got = read(path, **({"format": format_name} if where == "format named" else {}))
    assert got == [
        Labelled(text, (label,), name, line)
        for text, label, line in zip(
            TEXTS[format_name], ("NA", "1", "null"), LINES[format_name], strict=True
        )
    ]


def labels(tmp_path: Path, name: str, content: str, **options: object) -> list[tuple[str, ...]]:
    path = tmp_path / name
    path.write_text(content)
    return [example.labels for example in read(path, **options)]


@pytest.mark.parametrize(
    ("value", "label"),
    [('" a, b "', " a, b "), ("0", "0"), ("-1.5", "-1.5"), ("1.0", "1.0"), ("true", "true")],
)
def test_json_labels_are_what_the_json_spells(tmp_path: Path, value: str, label: str) -> None:
    line = f'{{"text": "a", "label": {value}}}'
    assert labels(tmp_path, "a.jsonl", line) == [(label,)]


def test_a_no_break_space_ends_no_fasttext_label(tmp_path: Path) -> None:
    assert labels(tmp_path, "a.txt", "__label__x\u00a0y a\n") == [("x\u00a0y",)]


@pytest.mark.parametrize(
    ("line", "found", "text"),
    [
        ("__label__x __label__y  some  text ", ["x", "y"], "some  text "),
        ("some  text __label__x", ["x"], "some  text"),
        ("some\t__label__x text\t__label__y more", ["x", "y"], "some text more"),
        ("  some text", [], "some text"),
        ("some a__label__x text", [], "some a__label__x text"),
        ("\t__label__x", ["x"], ""),
        ("a\u00a0__label__x", [], "a\u00a0__label__x"),
    ],
)
def test_labels_of_fasttext_stand_anywhere(line: str, found: list[str], text: str) -> None:
    assert split_fasttext_line(line) == (found, text)


GROUPED = {
    "csv": 'film,text,label\nthe film,a,x\n,b,y\n"7, 8",c,x\n',
    "tsv": "film\ttext\tlabel\nthe film\ta\tx\n\tb\ty\n7, 8\tc\tx\n",
    "jsonl": '{"film": "the film", "text": "a", "label": "x"}\n'
    '{"film": "", "text": "b", "label": "y"}\n{"film": "7, 8", "text": "c", "label": "x"}\n',
}


@pytest.mark.parametrize("format_name", GROUPED)
def test_rows_have_the_group_that_a_column_names(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{format_name}"
    path.write_text(GROUPED[format_name])
    assert [row.group for row in read(path, group_column="film")] == ["the film", None, "7, 8"]
    assert [row.group for row in read(path)] == [None] * 3
    where = r"line 1 " if format_name == "jsonl" else ""
    message = rf"a\.{format_name},? ?{where}has no column 'book'; it has: film, .*--group-column"
    with pytest.raises(DataError, match=message):
        read(path, group_column="book")


def test_groups_of_json_are_what_the_json_spells(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    values = ("null", "7", "7.5", "true", "0", '"7"')
    path.write_text("".join(f'{{"text": "", "label": 1, "g": {value}}}\n' for value in values))
    groups = [row.group for row in read(path, group_column="g")]
    assert groups == [None, "7", "7.5", "true", "0", "7"]
    path.write_text('{"text": "", "label": 1, "g": ["x"]}\n')
    message = r"a\.jsonl, line 1: the group is neither a string nor a number: make it one"
    with pytest.raises(DataError, match=message):
        read(path, group_column="g")


def test_a_format_without_columns_has_no_groups(tmp_path: Path) -> None:
    lines = tmp_path / "a.txt"
    lines.write_text("__label__x a\n")
    folder = tmp_path / "films"
    (folder / "x").mkdir(parents=True)
    (folder / "x" / "1.txt").write_text("a")
    for path, kind in ((lines, "fastText lines"), (folder, "a folder for each class")):
        message = f"^--group-column film: {path} is {kind}, which has no columns with names: leave"
        with pytest.raises(UsageError, match=message):
            read(path, group_column="film")
        assert [row.group for row in read(path)] == [None]


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("x\ty\tlabel\na\tb\tc\n")
    (example,) = read(path, text_column="y", label_column="x")
    assert (example.text, example.labels) == ("b", ("a",))


@pytest.mark.parametrize(
    ("name", "content", "separator", "expected"),
    [
        ("a.csv", 'text,label\na,"x, y,x"\nb,\nc,z\n', None, [("x", "y"), (), ("z",)]),
        ("a.csv", "text,label\na,x|y z\n", "|", [("x", "y z")]),
        ("a.tsv", "text\tlabel\na\tx,y\n", None, [("x", "y")]),
        ("a.jsonl", '{"text":"","label":["x, y",1]}\n', None, [("x, y", "1")]),
        ("a.jsonl", '{"text":"","label":[]}\n{"text":"","label":"x,y"}\n', None, [(), ("x,y",)]),
        ("a.jsonl", '{"text":"","label":"x;y"}\n', ";", [("x", "y")]),
        ("a.txt", "no label\n__label__x __label__y a\n", None, [(), ("x", "y")]),
    ],
)
def test_several_labels(
    tmp_path: Path,
    name: str,
    content: str,
    separator: str | None,
    expected: list[tuple[str, ...]],
) -> None:
    got = labels(tmp_path, name, content, multi_label=True, label_separator=separator)
    assert got == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\na,x\nb,\n", "a.csv, line 3 has no label"),
        ("a.jsonl", '{"text": "a", "label": null}', "a.jsonl, line 1 has no label"),
        ("a.jsonl", '{"text": "a", "label": ""}', "a.jsonl, line 1 has no label"),
        ("a.jsonl", '{"text": "a"}', "line 1 has no column 'label'; it has: text"),
        ("a.jsonl", '{"text": "a", "label": {}}', "line 1: the label is neither a string nor"),
        (
            "a.jsonl",
            '{"text": "a", "label": ["x"]}',
            "list of labels: several are for `train",
        ),
        ("a.jsonl", '{"text": 2, "label": "x"}', "line 1: 'text' is not a string"),
        ("a.txt", "__label__x __label__y a", "a.txt, line 1 has 2 labels: several are for"),
        ("a.txt", "__label__x a\nb", "a.txt, line 2 has no label: give it one, as __label__NAME"),
        ("a.txt", "__label__ a", "a.txt, line 1 has no label"),
        ("a.txt", "a __label__x b __label__y", "a.txt, line 1 has 2 labels: several are for"),
        (
            "a.txt",
            "__label__x,__label__y a",
            "a.txt, line 1 has one label '__label__x,__label__y': put a space before each label",
        ),
        ("a.csv", "text\na\n", "has no column 'label'; it has: text (name one with --label-col"),
        ("a.csv", "", "a.csv is empty"),
        ("a.csv", "text,label\n", "a.csv has no examples in it"),
        ("a.tsv", "text\tlabel\na\tb\tc\n", "a.tsv, line 2 has 3 fields"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        labels(tmp_path, name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ['["x", ""]', "null", '["x", null]'])
def test_an_empty_label_among_several_is_an_error(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match="line 1 has no label"):
        labels(tmp_path, "a.jsonl", f'{{"text": "a", "label": {value}}}', multi_label=True)


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name, text in {
        "pos/ba.txt": f"{SAMPLE}\r\nmore\n",
        "pos/ab.txt": "a\n",
        "neg/c.txt": "c",
        "neg/.d.txt": "hidden",
        "neg/e.png": "not text",
        ".git/f.txt": "hidden",
        "README.txt": "stray",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    got = read(tmp_path)
    assert [(example.text, example.labels) for example in got] == [
        ("c", ("neg",)),
        ("a", ("pos",)),
        (f"{SAMPLE}\nmore", ("pos",)),
    ]
    assert got[1].source == str(tmp_path / "pos" / "ab.txt")


def test_directories_without_classes_or_texts_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("stray")
    with pytest.raises(DataError, match="has no folders: put"):
        read(tmp_path)
    (tmp_path / "pos").mkdir()
    with pytest.raises(DataError, match="has no examples in it"):
        read(tmp_path)


def test_rows_are_kept_if_asked_for(tmp_path: Path) -> None:
    table, lines, folder = tmp_path / "a.csv", tmp_path / "a.txt", tmp_path / "d"
    table.write_text('id,text,label\n5,"naïve, café",x\n', "utf-8")
    lines.write_text("__label__x some text\n")
    (folder / "x").mkdir(parents=True)
    (folder / "x" / "1.txt").write_text("some text")
    paths = [str(path) for path in (table, lines, folder)]
    found = [example.row for example in read_labelled(paths, DataOptions(), keep_rows=True)]
    assert found == [{"id": "5", "text": "naïve, café", "label": "x"}, None, None]
    # In training they would only take memory.
    assert [example.row for example in read_labelled(paths, DataOptions())] == [None] * 3
