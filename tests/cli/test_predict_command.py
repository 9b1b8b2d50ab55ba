"""What `predict` prints of a language model's predictions, and what it asks for."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rnntext.cli.interactive
import rnntext.cli.predict
import rnntext.runtime.predict
from rnntext.cli.commands import click_command
from rnntext.cli.options import RecordSource
from rnntext.errors import UsageError
from rnntext.runtime.predict import Predictions, WordPrediction
from rnntext.text.columns import columns_of
from tests.cli.screens import Screen, pipe, screen, written

WORDS = [WordPrediction("river,", 0.123456789), WordPrediction("a\tb", 0.04)]

RIVER = [WordPrediction("river", 0.123456789), WordPrediction("heron", 0.04)]


class Model:
    """Always predicts the same words, and notes what it was asked."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Path, int | None]] = []
        self.asked: list[tuple[list[str], int, bool]] = []

    def load(self, directory: Path, threads: int | None) -> Model:
        self.loaded.append((directory, threads))
        return self

    def predict(self, texts: Sequence[str], *, top_k: int, complete: bool) -> list[Predictions]:
        self.asked.append((list(texts), top_k, complete))
        return [Predictions(text, WORDS[:top_k] if text else [], 0.25) for text in texts]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.predict, "Predictor", fake)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)
    return fake


def command(*words: str) -> None:
    built = click_command(rnntext.cli.predict.command, "predict")
    built(list(words), prog_name="predict", standalone_mode=False)


def test_pairs_along_the_line(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    command("-m", "dir", "--text", "by the", "--text", "", "--text", "naïve 🙂")
    line = "river,\t0.1235\ta b\t0.0400\n"
    assert written(reader) == f"{line}\n{line}"
    assert model.loaded == [(Path("dir"), None)]
    assert model.asked == [(["by the", "", "naïve 🙂"], 5, False)]


def test_what_a_model_is_asked(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    command("-m", "dir", "-k", "1", "--complete", "--threads", "1", "--text", "by")
    assert written(reader) == "river,\t0.1235\n"
    assert model.loaded == [(Path("dir"), 1)]
    assert model.asked == [(["by"], 1, True)]


def test_json(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = pipe(monkeypatch)
    command("-m", "dir", "--json", "--text", "by")
    words = [{"word": "river,", "probability": 0.123457}, {"word": "a\tb", "probability": 0.04}]
    found = json.loads(written(reader))
    assert found == {"text": "by", "predictions": words, "unexplored": 0.25}
    assert list(found) == ["text", "predictions", "unexplored"]


def test_json_keeps_the_row(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,said\n7,The heron\n", "utf-8")
    reader = pipe(monkeypatch)
    command("-m", "dir", "--json", "--text-column", "said", str(tmp_path / "a.csv"))
    found = json.loads(written(reader))
    assert list(found) == ["id", "said", "text", "predictions", "unexplored"]
    assert (found["id"], found["text"]) == ("7", "The heron")


def test_records_are_answered_in_their_batches(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x\n" * 1025)
    source = RecordSource([str(path)])
    found = list(rnntext.cli.predict.predict(Path("m"), source, 1, False, False, None))
    assert found == ["river,\t0.1235\n" * 1024, "river,\t0.1235\n"]


def test_a_terminal_shows_the_end_of_the_text_and_the_words(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch, columns=20)
    source = RecordSource(texts=["said  the\n[bold]heron", "a"])
    (found,) = rnntext.cli.predict.predict(Path("m"), source, 1, False, False, None)
    assert found == (
        "\x1b[2m…[bold]heron\x1b[0m\n  \x1b[1;36mriver, \x1b[0m\x1b[32m0.12\x1b[0m\n"
        "\x1b[2ma\x1b[0m  \x1b[1;36mriver, \x1b[0m\x1b[32m0.12\x1b[0m\n"
    )
    (found,) = rnntext.cli.predict.predict(Path("m"), source, 1, False, True, None)
    assert [json.loads(line)["unexplored"] for line in found.splitlines()] == [0.25, 0.25]


LONG = "The old heron stood by the lamp and looked out over the harbour for the boats of"


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        (LONG, 120, [f"{LONG}  river 0.12  heron 0.04"]),
        (LONG, 80, [f"…{LONG[-53:]}  river 0.12  heron 0.04"]),
        (LONG, 30, ["…boats of  river 0.12", "  heron 0.04"]),
        (LONG, 20, ["…of  river 0.12", "  heron 0.04"]),
        ("the harbourmaster", 24, ["…harbourmaster", "  river 0.12  heron 0.04"]),
        ("老苍鹭站在灯旁", 40, ["老苍鹭站在灯旁  river 0.12  heron 0.04"]),
        ("老苍鹭站在灯旁", 30, ["老苍鹭站在灯旁  river 0.12", "  heron 0.04"]),
        ("老苍鹭站在灯旁", 20, ["…苍鹭站在灯旁", "  river 0.12", "  heron 0.04"]),
        ("the cafe\u0301 of 🙂", 38, ["the cafe\u0301 of 🙂  river 0.12  heron 0.04"]),
        ("the cafe\u0301 of 🙂", 37, ["…cafe\u0301 of 🙂  river 0.12  heron 0.04"]),
    ],
)
def test_the_end_of_a_long_text_is_shown_with_a_sign(
    text: str, columns: int, lines: list[str], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = screen(monkeypatch, columns=columns)
    monkeypatch.setattr(model, "predict", lambda *_, **__: [Predictions(text, [*RIVER], 0.0)])
    source = RecordSource(texts=[text])
    (found,) = rnntext.cli.predict.predict(Path("m"), source, 2, False, False, None)
    terminal.write(found)
    assert terminal.shown.splitlines() == lines
    assert max(map(columns_of, lines)) <= columns


def test_a_word_that_no_line_holds_is_shortened(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = screen(monkeypatch, columns=20)
    words = [WordPrediction("x" * 50, 0.5)]
    monkeypatch.setattr(model, "predict", lambda *_, **__: [Predictions("a", words, 0.0)])
    source = RecordSource(texts=["a"])
    terminal.write(*rnntext.cli.predict.predict(Path("m"), source, 2, False, False, None))
    assert terminal.shown.splitlines() == ["a", "  xxxxxx…xxxxxx 0.50"]


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["--json"], "--json"),
        (["--complete"], "--complete"),
        (["--record", "file", "--max-line", "9"], "--record, --max-line"),
        (["--text-column", "text", "--no-header"], "--text-column, --no-header"),
        (["--encoding", "latin-1", "--on-error", "skip"], "--encoding, --on-error"),
    ],
)
def test_what_would_be_ignored_while_typing_is_refused(
    words: list[str], flags: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        rnntext.cli.interactive, "predict_while_typing", lambda *_: pytest.fail("it began")
    )
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, Screen())
    with pytest.raises(UsageError) as error:
        command("-m", "dir", *words)
    assert str(error.value).startswith(f"{flags}: not while you type; ")
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    ("words", "terminals", "typed"),
    [
        ([], ("stdin", "stdout"), True),
        ([], ("stdin",), False),
        ([], ("stdout",), False),
        (["--text", "by"], ("stdin", "stdout"), False),
        (["-"], ("stdin", "stdout"), False),
    ],
)
def test_only_a_terminal_without_input_is_typed_on(
    words: list[str],
    terminals: tuple[str, ...],
    typed: bool,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        rnntext.cli.interactive, "predict_while_typing", lambda *given: asked.append(given)
    )
    monkeypatch.setattr(RecordSource, "batches", lambda *_, **__: iter([]))
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(sys, name, Screen() if name in terminals else io.StringIO())
    command("-m", "dir", "-k", "3", "--threads", "1", *words)
    assert asked == ([(Path("dir"), 3, 1)] if typed else [])
    assert len(model.loaded) == (0 if typed else 1)


def test_without_standard_input_nothing_is_typed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match=r"^there is no text to read: "):
        command("-m", "dir")


@pytest.mark.parametrize("count", ["0", "x"])
def test_a_count_that_cannot_be(count: str, model: Model) -> None:
    with pytest.raises(UsageError, match="--top-k"):
        command("-m", "dir", "-k", count, "--text", "by")
    assert model.loaded == []


def test_a_model_must_be_named(model: Model) -> None:
    with pytest.raises(UsageError, match=r"^no model is named"):
        command("--text", "by")
