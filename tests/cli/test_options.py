"""Options that commands share: where records come from, and which model is meant."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import rnntext.cli.options
import rnntext.runtime.evaluate
import rnntext.text.records
from rnntext.cli.commands import click_command
from rnntext.cli.options import (
    Model,
    OutputOptions,
    RecordSource,
    RunOptions,
    Threads,
    check_utf8,
    model_directory,
    refuse_terminal,
)
from rnntext.cli.signature import expanded
from rnntext.errors import DataError, RnntextError, UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.records import InputOptions, Record
from tests.cli.screens import Screen

NO_TEXT = "there is no text to read: name a file, or pipe text in"


def texts(source: RecordSource) -> list[str]:
    return [record.text for batch in source.batches() for record in batch]


def test_texts_of_the_command_line_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Screen())  # which is not read
    batches = list(RecordSource(texts=["naïve\ntext", ""]).batches())
    assert batches == [[Record("naïve\ntext"), Record("")]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            RecordSource(["a.txt"], ["x"]),
            "--text stands in place of files: give one or the other",
        ),
        (RecordSource(texts=["a", "caf\udce9"]), "--text: byte 0xE9 is not UTF-8: give the text"),
        (RecordSource(texts=["a"], record="word"), "--record word: choose one of line, file"),
    ],
)
def test_records_that_are_refused(source: RecordSource, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        source.batches()
    assert str(caught.value).startswith(message)


def test_records_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Screen())
    path = tmp_path / "a.txt"
    path.write_bytes("one\ntwo é\n".encode("latin-1"))
    assert texts(RecordSource([str(path)], encoding="latin-1")) == ["one", "two é"]
    assert texts(RecordSource([str(path)], encoding_errors="replace")) == ["one", "two \ufffd"]
    assert texts(RecordSource([str(path)], record="file", encoding="latin-1")) == ["one\ntwo é"]
    assert texts(RecordSource([str(path)], encoding="latin-1", max_line=5)) == ["one", "two é"]
    with pytest.raises(DataError, match="line 2"):
        texts(RecordSource([str(path)], encoding="latin-1", max_line=4))
    (tmp_path / "a.jsonl").write_text('{"body": "three"}\n')
    assert texts(RecordSource([str(tmp_path / "a.jsonl")], text_column="body")) == ["three"]


@pytest.mark.parametrize("large", [False, True])
def test_large_batches_are_asked_for(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def read(inputs: Any, options: InputOptions, *, large: bool, trained: Any) -> Any:
        assert trained is None
        asked.append((list(inputs), options, large))
        return iter([])

    monkeypatch.setattr(rnntext.text.records, "read_records", read)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    list(RecordSource().batches(large=large))
    assert asked == [([], InputOptions(), large)]
    if not large:
        RecordSource().batches()
        assert asked[1] == asked[0]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("inputs", "reads"), [((), True), (("-",), True), (("a", "-"), True), (("a", "b"), False)]
)
def test_a_terminal_is_not_read(
    inputs: tuple[str, ...], reads: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Screen() if terminal else io.StringIO())
    if reads and terminal:
        with pytest.raises(UsageError) as caught:
            refuse_terminal(inputs, ", or sing it")
        assert str(caught.value) == f"{NO_TEXT}, or sing it"
        with pytest.raises(UsageError, match=r"or give it with --text TEXT$"):
            RecordSource(list(inputs)).batches()
    else:
        refuse_terminal(inputs)


def test_a_closed_standard_input_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    refuse_terminal(["a"])
    with pytest.raises(UsageError) as caught:
        refuse_terminal()
    assert str(caught.value) == NO_TEXT


def test_text_that_is_no_utf_8_is_refused() -> None:
    assert check_utf8("PROMPT", "naïve 🙂") == "naïve 🙂"
    with pytest.raises(UsageError) as caught:
        check_utf8("PROMPT", "caf\udce9")
    assert str(caught.value) == "PROMPT: byte 0xE9 is not UTF-8: give the text in a file"


def test_a_model_must_be_named() -> None:
    assert model_directory(Path("m")) == Path("m")
    with pytest.raises(UsageError) as caught:
        model_directory(None)
    assert str(caught.value) == "no model is named: use -m DIR, or set RNNTEXT_MODEL"


def test_what_a_command_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def command(*, model: Model = None, threads: Threads = None, printing: OutputOptions) -> None:
        found.append((model, threads, printing))

    def refuse(threads: int | None) -> None:
        raise RnntextError(f"{threads} are too many")

    def parsed(*words: str) -> Any:
        click_command(expanded(command), "command")(list(words), standalone_mode=False)
        return found.pop()

    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    assert parsed() == (None, None, OutputOptions(json=False, quiet=False))
    assert os.environ["RAYON_NUM_THREADS"] == "7"
    assert parsed("-m", "a", "--threads", "3", "--json") == (Path("a"), 3, OutputOptions(True))
    assert os.environ["RAYON_NUM_THREADS"] == "3"  # the tokenizers' threads
    assert parsed("-q") == (None, None, OutputOptions(False, True))
    monkeypatch.setattr(rnntext.cli.options, "require_threads", refuse)
    with pytest.raises(RnntextError, match="too many"):
        parsed("--threads", "5")
    assert os.environ["RAYON_NUM_THREADS"] == "3"
    built = click_command(expanded(command), "command")
    built.make_context("command", ["--threads", "5"], resilient_parsing=True)  # to complete words
    assert os.environ["RAYON_NUM_THREADS"] == "3"
    monkeypatch.undo()
    monkeypatch.setenv("RNNTEXT_MODEL", "from environment")
    assert parsed()[0] == Path("from environment")
    assert parsed("--model", "b")[0] == Path("b")
    assert RunOptions() == RunOptions(False, False, None)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_table_that_is_read_as_in_training_is_told_of(
    quiet: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained = DataOptions(text_column="body")
    monkeypatch.setattr(rnntext.runtime.evaluate, "trained_tables", lambda *_: trained)
    path = tmp_path / "a.csv"
    path.write_text("body,label\none,x\n", "utf-8")
    batches = RecordSource([str(path)]).batches(Path("m"), quiet=quiet)
    assert [record.text for batch in batches for record in batch] == ["one"]
    said = capsys.readouterr().err
    expected = f"rnntext: {path} is read by its column 'body'"
    assert said == "" if quiet else said.startswith(expected)
