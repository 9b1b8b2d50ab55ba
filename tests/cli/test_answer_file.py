"""`-o FILE`: the same answers as `--json`, beside the columns of the rows that were read."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import read_table, write_table

from rnntext.cli.answer_file import AnswerOptions
from rnntext.cli.classify import classify
from rnntext.cli.options import RecordSource
from rnntext.cli.score import Above, score
from rnntext.cli.tag import Words, tag
from rnntext.errors import DataError, RnntextError, UsageError
from tests.conftest import Shell

SAMPLE = "naïve café 你好 🙂"
TEXTS = ["The soup was cold.", "", SAMPLE, 'a "b", c\nd']
FORMATS = ("jsonl", "csv", "parquet")
Command = Callable[..., Iterator[str]]


@pytest.fixture(params=["classify", "score", "tag"])
def command(request: pytest.FixtureRequest) -> Command:
    """A command in this process: its source, `json` and `out` are left to give."""
    if request.param == "classify":
        return partial(classify, request.getfixturevalue("classifier"), threads=1)
    if request.param == "score":
        model = request.getfixturevalue("lm")
        return partial(score, model, words=False, state="reset", threads=1)
    return partial(tag, request.getfixturevalue("tagger"), words=Words(), threads=1)


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return list(map(json.loads, path.read_text("utf-8").splitlines()))
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = read_table(path).to_pylist()
        return found
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def source_of(route: str, tmp_path: Path) -> RecordSource:
    """Rows with a gold label, or lines."""
    rows = [{"id": n, "label": "gold", "text": text} for n, text in enumerate(TEXTS)]
    path = tmp_path / f"in.{route}"
    if route == "parquet":
        write_table(pyarrow.Table.from_pylist(rows), path)
    elif route == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    elif route == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{text}\n" for text in TEXTS[:3]), "utf-8")
        return RecordSource([str(path)])
    return RecordSource([str(path)], text_column="text")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("route", ["txt", *FORMATS])
def test_a_file_has_what_json_has(
    command: Command, route: str, suffix: str, tmp_path: Path
) -> None:
    source, out = source_of(route, tmp_path), tmp_path / f"out.{suffix}"
    printed = list(map(json.loads, "".join(command(source, json=True)).splitlines()))
    assert list(command(source, json=False, out=out)) == []
    found = rows_of(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in.{route}", f"out.{suffix}"]
    if suffix == "jsonl":
        assert found == printed
        return
    assert len(found) == len(printed)
    own = {"text"} if route == "txt" else {"id", "label", "text"}
    for row, wanted in zip(found, printed, strict=True):
        for name in own:
            value = wanted.get("input", {}).get(name, wanted[name])
            as_text = suffix == "csv" or route == "csv"
            assert row[name] == (str(value) if as_text else value)
        names = row.keys() - own
        assert names
        for name in names:
            value = wanted[name.removeprefix("rnntext_")]
            told = row[name]
            if suffix == "csv" and not isinstance(value, str):
                told = json.loads(told) if told else None
            assert told == (pytest.approx(value, abs=1e-6) if value != [] else [])
    # A name that is taken has a prefix.
    assert ("rnntext_label" in found[0]) == ("label" in own and "labels" in printed[0])


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("on_error", ["null", "skip"])
def test_records_that_cannot_be_read(
    on_error: str, suffix: str, classifier: Path, tmp_path: Path
) -> None:
    """They have no answer, and all others are written before the command fails."""
    path, out = tmp_path / "in.jsonl", tmp_path / f"out.{suffix}"
    path.write_text('broken\n{"text": "a", "id": 1}\n{"text": null, "id": 2}\n')
    source = RecordSource([str(path)], text_column="text", on_error=on_error)
    with pytest.raises(DataError, match=r"^2 records could not be read; the first: .*, line 1 is"):
        list(classify(classifier, source, out=out, threads=1))
    found = rows_of(out)
    if on_error == "skip":
        assert [row["text"] for row in found] == ["a"]
        return
    assert len(found) == 3
    assert [bool(row.get("error")) for row in found] == [True, False, True]
    assert "line 1 is not JSON" in found[0]["error"]
    assert "'text' is not a string" in found[2]["error"]
    if suffix != "jsonl":
        assert [row["id"] and int(row["id"]) for row in found] == [found[0]["id"], 1, 2]
        assert not found[0]["id"]
        assert [bool(row["label"]) for row in found] == [False, True, False]


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_error_leaves_the_file_as_it_was(suffix: str, classifier: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / f"out.{suffix}"
    path.write_text('{"text": "a"}\nbroken\n')
    source = RecordSource([str(path)], text_column="text")
    for before in (None, b"before"):
        if before is not None:
            out.write_bytes(before)
        with pytest.raises(DataError, match="line 2 is not JSON"):
            list(classify(classifier, source, out=out, threads=1))
        assert (out.read_bytes() if out.exists() else None) == before
        assert {path.name for path in tmp_path.iterdir()} <= {"in.jsonl", out.name}
    with pytest.raises(RnntextError, match="choose another place with -o"):
        list(classify(classifier, source, out=tmp_path / "none" / out.name, threads=1))


def test_only_odd_lines_are_written(lm: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "in.txt", tmp_path / "out.csv"
    path.write_text("The heron waited.\nzzqx qqzx\n")
    source = RecordSource([str(path)])
    lines = "".join(score(lm, source, False, "reset", True, 1)).splitlines()
    found = list(map(json.loads, lines))
    bits = [row["bits"] / row["tokens"] for row in found]
    list(score(lm, source, False, "reset", False, 1, above=Above(sum(bits) / 2), out=out))
    assert [row["text"] for row in rows_of(out)] == [found[bits.index(max(bits))]["text"]]


def test_words_and_vectors(lm: Path, run: Shell, tmp_path: Path) -> None:
    path, out = tmp_path / "in.txt", tmp_path / "out.parquet"
    path.write_text("The heron\n")
    list(score(lm, RecordSource([str(path)]), True, "reset", False, 1, out=out))
    (row,) = rows_of(out)
    assert [word["word"] for word in row["words"]][-1] == "<eos>"
    assert sum(word["bits"] for word in row["words"]) == pytest.approx(row["bits"])
    printed = run("embed", "-m", lm, "--threads", 1, "--json", path).done().objects
    run("embed", "-m", lm, "--threads", 1, "-o", out, path).done()
    (row,) = rows_of(out)
    assert row == {"text": "The heron", "vector": pytest.approx(printed[0]["vector"], abs=1e-6)}


def test_files_that_are_refused(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "in.csv"
    data.write_text("text\na\n")
    (tmp_path / "folder.csv").mkdir()
    source = RecordSource([str(data)])
    for name, message in (
        ("out.txt", r"name a file that ends in \.parquet, \.csv, \.jsonl"),
        ("out", "name a file that ends in"),
        ("out.csv.gz", "name a file that ends in"),
        ("folder.csv", "is a directory: name a file with -o"),
        ("in.csv", "is read by this command: name another file"),
    ):
        with pytest.raises(UsageError, match=message):
            AnswerOptions(out=tmp_path / name).check(source, classifier)
    with pytest.raises(UsageError, match="is read by this command"):
        AnswerOptions(out=classifier / "metrics.jsonl").check(source, classifier)
    out = tmp_path / "out.parquet"
    with pytest.raises(UsageError, match="writes a file and prints nothing: leave --json out"):
        AnswerOptions(json=True, out=out).check(source, classifier)
    with pytest.raises(UsageError, match="leave --with-text out"):
        AnswerOptions(out=out).check(source, classifier, with_text=True)
    AnswerOptions(out=out).check(source, classifier, with_text=False)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'rnntext\[parquet\]'"):
        AnswerOptions(out=out).check(source, classifier)


def test_the_command_line(run: Shell, classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    options = ("classify", "-m", classifier, "--threads", 1)
    found = run(*options, "--output", out, "--text", "a", "-k", 2).done()
    assert found.out == b""
    (row,) = rows_of(out)
    assert list(row) == ["text", "label", "probability", "label_2", "probability_2"]
    run(*options, "-o", tmp_path / "out.txt", "--text", "a").failed(2, "name a file that ends in")
    assert os.listdir(tmp_path) == ["out.csv"]
