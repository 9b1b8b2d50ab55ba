"""What `classify` prints of a classifier's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnntext.cli.classify
import rnntext.runtime.classifier
from rnntext.cli.classify import classify, command
from rnntext.cli.commands import click_command
from rnntext.cli.options import RecordSource
from rnntext.errors import DataError, UsageError
from rnntext.inspection.explanation import Explanation
from rnntext.runtime.classifier import Classification
from tests.cli.screens import pipe, screen, written
from tests.cli.test_explanations import explanation

ANSWER = {"b": 0.75, "a": 0.5, "c": 0.25}  # of every text, in descending order


@dataclass
class Model:
    """Gives every text the same answer."""

    multi_label: bool = False
    labels: Sequence[str] = ("a", "b", "c")
    loaded: list[tuple[Path, int | None]] = field(default_factory=list)

    def load(self, directory: Path, threads: int | None) -> Model:
        self.loaded.append((directory, threads))
        return self

    def stream(self, texts: Sequence[str], top_k: int | None = None) -> Iterator[Classification]:
        for text in texts:
            yield Classification(text, dict(islice(ANSWER.items(), top_k)))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.classifier, "Classifier", fake)
    return fake


def answers(*texts: str, **options: Any) -> list[str]:
    return "".join(classify(Path("m"), RecordSource(texts=list(texts)), **options)).splitlines()


@pytest.mark.parametrize(
    ("multi_label", "options", "line"),
    [
        (False, {}, "b\t0.7500"),
        (False, {"top_k": 2}, "b\t0.7500\ta\t0.5000"),
        (False, {"threshold": 0.75}, "b\t0.7500"),
        (False, {"threshold": 0.76}, "\t"),
        (False, {"top_k": 3, "threshold": 0.5}, "b\t0.7500\ta\t0.5000\t\t"),
        (False, {"top_k": 3, "threshold": 0.51}, "b\t0.7500\t\t\t\t"),
        (False, {"top_k": 9, "threshold": 0.51}, "b\t0.7500\t\t\t\t"),  # there are three labels
        (False, {"threshold": 0.76, "with_text": True}, "\t\tx y"),
        (False, {"top_k": 2, "threshold": 0.6, "with_text": True}, "b\t0.7500\t\t\tx y"),
        (False, {"with_text": True}, "b\t0.7500\tx y"),
        (True, {}, "b\t0.7500\ta\t0.5000\t\t"),  # those of at least 0.5
        (True, {"top_k": 1}, "b\t0.7500"),
        (True, {"top_k": 3}, "b\t0.7500\ta\t0.5000\t\t"),
        (True, {"threshold": 0.8, "with_text": True}, "\t\t\t\t\t\tx y"),
        (True, {"threshold": 0.0}, "b\t0.7500\ta\t0.5000\tc\t0.2500"),
        (True, {"threshold": 0.25, "with_text": True}, "b\t0.7500\ta\t0.5000\tc\t0.2500\tx y"),
    ],
)
def test_which_labels_a_line_has(
    multi_label: bool, options: dict[str, Any], line: str, model: Model
) -> None:
    model.multi_label = multi_label
    assert answers("x\ty", "x\ty", **options) == [line, line]


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({}, {"b": 0.75, "a": 0.5, "c": 0.25}),
        ({"top_k": 1}, {"b": 0.75}),
        ({"threshold": 0.5}, {"b": 0.75, "a": 0.5}),
        ({"threshold": 0.51}, {"b": 0.75}),
        ({"threshold": 0.9}, {}),
        ({"top_k": 1, "threshold": 0.25}, {"b": 0.75}),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_which_labels_json_has(
    multi_label: bool, options: dict[str, Any], labels: dict[str, float], model: Model
) -> None:
    model.multi_label = multi_label
    (line,) = answers("naïve\ttext", json=True, **options)
    assert json.loads(line) == {
        "text": "naïve\ttext",
        "label": "b" if labels else None,
        "probability": 0.75,
        "labels": labels,
    }


def test_json_keeps_the_row(model: Model, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 7, "body": "x", "label": "old"}\n')
    source = RecordSource([str(tmp_path / "rows.jsonl")], text_column="body")
    (line,) = classify(Path("m"), source, json=True)
    answer = {"text": "x", "label": "b", "probability": 0.75, "labels": ANSWER}
    assert json.loads(line) == {"id": 7, "body": "x", **answer, "input": {"label": "old"}}


@pytest.mark.parametrize(("columns", "room"), [(60, 44), (27, 11), (26, 10), (12, 10)])
def test_a_terminal_shows_as_much_of_the_text_as_fits(
    columns: int, room: int, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch, "stdout", columns)
    (line,) = answers(f"some [red]\n  text {'x' * 100}", top_k=2)
    labels = "\x1b[1;36mb \x1b[0m\x1b[32m0.75  \x1b[0m\x1b[1;36ma \x1b[0m\x1b[32m0.50  \x1b[0m"
    excerpt = f"some [red] text {'x' * 100}"[: room - 1] + "…"
    assert line == labels + excerpt


@pytest.fixture
def explained(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Answers are explained, but for the text "long"; returns which, with the label."""
    asked = []

    def explain(answer: Classification) -> Explanation | None:
        asked.append((answer.text, answer.label))
        words = answer.text.split()
        shares = np.arange(len(words)) - 0.5
        found = explanation(answer.text, words, shares.tolist())
        return None if answer.text == "long" else found

    monkeypatch.setattr(
        rnntext.cli.classify,
        "_explaining",
        lambda directory, threads: (model.load(directory, threads), explain),
    )
    return asked


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, ["b\t0.7500\tx:-0.50 y:+0.50", "b\t0.7500\t"]),
        ({"with_text": True}, ["b\t0.7500\tx:-0.50 y:+0.50\tx y", "b\t0.7500\t\tlong"]),
        (
            {"top_k": 2},
            ["b\t0.7500\ta\t0.5000\tx:-0.50 y:+0.50", "b\t0.7500\ta\t0.5000\t"],
        ),
    ],
)
def test_the_words_that_decided_follow_the_labels(
    options: dict[str, Any], lines: list[str], explained: list[tuple[str, str]]
) -> None:
    assert answers("x y", "long", explain=True, **options) == lines
    assert explained == [("x y", "b"), ("long", "b")]


@pytest.mark.parametrize(("with_text", "columns"), [(False, 5), (True, 6)])
def test_a_record_that_cannot_be_read_has_the_column_of_an_explanation_too(
    with_text: bool, columns: int, explained: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"text": "x y"}\n{"text": 1\n')
    source = RecordSource([str(path)], text_column="text", on_error="null")
    lines = classify(Path("m"), source, 2, None, with_text, explain=True)
    read, failed = next(lines).splitlines()
    with pytest.raises(DataError, match="1 record could not be read"):
        next(lines)
    assert read.count("\t") == failed.count("\t") == columns - 1
    assert not failed.strip("\t")
    assert explained == [("x y", "b")]


def test_json_has_every_word_with_its_shares(explained: list[tuple[str, str]]) -> None:
    first, second = map(json.loads, answers("x y", "long", explain=True, json=True))
    assert list(first) == ["text", "label", "probability", "labels", "explanation"]
    assert first["explanation"] == [
        {"word": "x", "network": -0.5, "linear": None, "total": -0.5},
        {"word": "y", "network": 0.5, "linear": None, "total": 0.5},
    ]
    assert second["explanation"] is None


def test_a_terminal_shows_the_whole_text_in_colours(
    explained: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch, "stdout", 12)
    monkeypatch.setenv("NO_COLOR", "1")
    assert answers("xxx  yyyyy zzzzzzzz", "long", explain=True) == [
        "b 0.75  xxx yyyyy zzzzzzzz(+1.50)",
        "b 0.75  long",
    ]


def test_the_option_explain(
    explained: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = pipe(monkeypatch)
    words = "-m dir --text x --explain --threads 2"
    click_command(command, "classify")(words.split(), standalone_mode=False)
    assert written(reader) == "b\t0.7500\tx:-0.50\n"


def test_json_on_a_terminal_is_json(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    screen(monkeypatch)
    (line,) = answers("x", json=True)
    assert json.loads(line)["label"] == "b"


def test_the_command(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: str) -> str:
        reader = pipe(monkeypatch)
        click_command(command, "classify")(words.split(), standalone_mode=False)
        return written(reader)

    words = "-m dir -k 2 --threshold 0.1 --with-text --threads 3 --text x --text y"
    assert run(words) == "b\t0.7500\ta\t0.5000\tx\nb\t0.7500\ta\t0.5000\ty\n"
    assert json.loads(run("-m dir --text x --json"))["text"] == "x"
    assert run("-m dir --text x") == "b\t0.7500\n"
    assert model.loaded == [(Path("dir"), 3), (Path("dir"), None), (Path("dir"), None)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-m dir --text x -k 0", "--top-k must be a whole number from 1 to"),
        ("-m dir --text x --threshold 1.01", "--threshold must be from 0 to 1, not 1.01"),
        ("--text x", "no model is named: use -m DIR, or set RNNTEXT_MODEL"),
    ],
)
def test_what_the_command_refuses(
    words: str, message: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)
    with pytest.raises(UsageError, match=message):
        click_command(command, "classify")(words.split(), standalone_mode=False)
    assert model.loaded == []
