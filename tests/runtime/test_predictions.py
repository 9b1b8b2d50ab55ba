"""Answers of an evaluation as lines of a file, and which files may be written."""

from __future__ import annotations

import csv
import io
import json
import os
import tracemalloc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rnntext.errors import DataError, UsageError
from rnntext.runtime.answers import Answer
from rnntext.runtime.predictions import Predictions, check_predictions

TEXT = 'naïve "café",\t你好\r🙂'


def lines_of(
    answers: Iterable[Answer], suffix: str = ".jsonl", separator: str | None = ","
) -> list[str]:
    written: list[bytes] = []
    predictions = Predictions(written.append, suffix, separator)
    for answer in answers:
        predictions.add([answer])
    text = b"".join(written).decode()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def answer(columns: Mapping[str, Any], **more: Any) -> Answer:
    found: dict[str, Any] = {"gold": "neg", "predicted": "pos", "probability": 2 / 3}
    return Answer("a.csv", 7, columns, **{**found, **more})


OURS = {
    "gold": "neg", "predicted": "pos", "probability": 0.666667, "source": "a.csv", "line": 7
}  # fmt: skip


def test_json_lines_keep_the_columns_of_a_record() -> None:
    rows: list[dict[str, Any]] = [
        {"text": TEXT, "id": 5, "x": None},
        {"text": "", "y": [0.1234567]},
    ]
    found = lines_of(
        [*map(answer, rows), answer({}, gold=("a", "b"), predicted=(), probability=())]
    )
    assert [json.loads(line) for line in found[:2]] == [{**row, **OURS} for row in rows]
    assert list(json.loads(found[0])) == ["text", "id", "x", *OURS]
    several = {**OURS, "gold": ["a", "b"], "predicted": [], "probability": []}
    assert json.loads(found[2]) == several


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_an_own_column_with_the_name_of_ours_stays(suffix: str) -> None:
    own = {"text": "t", "gold": "mine", "source": "web", "rnntext_source": "x"}
    found = lines_of([answer(own)], suffix)
    if suffix == ".jsonl":
        row = json.loads(found[0])
    else:
        delimiter = "," if suffix == ".csv" else "\t"
        names, values = (line.split(delimiter) for line in found)
        row = dict(zip(names, values, strict=True))
    assert {name: row[name] for name in own} == own
    ours = ("rnntext_gold", "predicted", "rnntext_rnntext_source", "line")
    assert [str(row[name]) for name in ours] == ["neg", "pos", "a.csv", "7"]
    assert len(row) == 9


def test_csv_and_tsv() -> None:
    rows = [{"id": 5, "text": TEXT, "ok": True}, {"text": "lone\rCR", "id": None}, {"ok": [1]}]
    found = "\n".join(lines_of(map(answer, rows), ".csv"))
    table = list(csv.reader(io.StringIO(found, newline=""), strict=True))
    ours = ["neg", "pos", "0.666667", "a.csv", "7"]
    assert table == [
        ["id", "text", "ok", *OURS],
        ["5", TEXT, "true", *ours],
        ["", "lone\rCR", "", *ours],
        ["", "", "[1]", *ours],
    ]
    lines = lines_of(map(answer, rows), ".tsv")
    assert lines[0] == "\t".join(table[0])
    assert lines[1].split("\t") == ["5", 'naïve "café", 你好 🙂', "true", *ours]
    assert len(lines) == 4


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_nothing_in_a_record_drives_a_terminal_or_makes_a_line(suffix: str) -> None:
    bad = "a\x1b[2J\x9bb\u2028c\x85"
    more = {"gold": bad, "predicted": (bad,), "probability": (0.5,)}
    lines = lines_of([answer({"text": bad, "n": {bad: 1}}, **more)], suffix)
    assert all(line.replace("\t", "").isprintable() for line in lines)
    assert len(lines) == (1 if suffix == ".jsonl" else 2)
    if suffix == ".jsonl":
        assert json.loads(lines[0])["text"] == bad


def test_several_labels_and_tags_in_a_table() -> None:
    several = {"gold": ("a", "b"), "predicted": ("b",), "probability": (0.5,)}
    ends = [
        lines_of([answer({"text": "t"}, **several)], ".tsv", separator)[1].split("\t")[1:4]
        for separator in (";", None)
    ]
    assert ends == [["a;b", "b", "0.500000"], ['["a", "b"]', '["b"]', "[0.5]"]]


def test_a_table_has_the_columns_of_its_first_record() -> None:
    answers = [answer({"text": "t"}), answer({"text": "t", "new": 1})]
    with pytest.raises(DataError) as error:
        lines_of(answers, ".csv")
    assert str(error.value) == (
        "a.csv, line 7 has a column 'new' that the first record does not have: name a .jsonl"
        " file with --predictions"
    )


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_memory_does_not_grow_with_the_records(suffix: str) -> None:
    written: list[int] = []
    predictions = Predictions(lambda content: written.append(len(content)), suffix, ",")
    tracemalloc.start()
    try:
        for _ in range(5000):
            predictions.add([answer({"text": "long " * 2000})])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(written) > 50e6
    assert peak < 2e6


def test_what_is_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder = tmp_path / "a.csv", tmp_path / "classes"
    data.write_text("text,label\n")
    (folder / "pos").mkdir(parents=True)
    (tmp_path / "link.csv").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    refused = "is read by this command: name another file"
    for path, read, message in (
        ("a.csv", [str(data)], refused),
        (str(data), ["b.csv", "a.csv"], refused),
        ("link.csv", ["a.csv"], refused),
        ("classes/pos/new.txt", ["classes"], refused),
        ("classes/new.txt", [str(folder)], refused),
        ("classes", ["a.csv"], "is a directory: name a file with --predictions"),
        ("b.csv.gz", ["a.csv"], "it is not compressed; name it without .gz"),
        ("b.PARQUET", ["a.csv"], "it is no Parquet; name a .jsonl, .csv or .tsv file"),
    ):
        with pytest.raises(UsageError) as error:
            check_predictions(Path(path), read)
        assert str(error.value).endswith(message)
    for path in ("b.csv", "classes.csv", "/dev/null", "missing/b.csv"):
        check_predictions(Path(path), ["a.csv", "classes", "hf:a.csv", "no file", "/dev/null"])
    before = os.dup(0)
    try:
        with data.open() as file:
            os.dup2(file.fileno(), 0)
        with pytest.raises(UsageError, match=refused):
            check_predictions(data, ["-"])
        check_predictions(Path("b.csv"), ["-"])
    finally:
        os.dup2(before, 0)
        os.close(before)
