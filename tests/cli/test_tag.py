"""What `tag` prints of a tagger's answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import rnntext.runtime.tagger
from rnntext.cli.commands import click_command
from rnntext.cli.options import RecordSource
from rnntext.cli.tag import command, tag
from rnntext.runtime.tagger import TaggedSentence
from tests.cli.screens import pipe, screen, written


class Model:
    """Tags a word as O if it is in small letters, otherwise as X."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Path, int | None]] = []

    def load(self, directory: Path, threads: int | None) -> Model:
        self.loaded.append((directory, threads))
        return self

    def stream(self, texts: Sequence[str], *, pretokenized: bool) -> Iterator[TaggedSentence]:
        for text in texts:
            words = text.split(" ") if pretokenized else text.replace(".", " .").split()
            tags = ["O" if word.islower() else "X" for word in words]
            yield TaggedSentence(text, words, tags, [1 / (n + 3) for n in range(len(words))])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.tagger, "Tagger", fake)
    return fake


def answers(*texts: str, pretokenized: bool = False, json: bool = False) -> str:
    source = RecordSource(texts=list(texts))
    return "".join(tag(Path("m"), source, pretokenized, json, None))


def test_a_line_for_each_word_and_an_empty_one_after_each_record(model: Model) -> None:
    assert answers("the Heron.", "", "naïve") == "the\tO\nHeron\tX\n.\tX\n\n\nnaïve\tO\n\n"
    assert answers("the Heron.", pretokenized=True) == "the\tO\nHeron.\tX\n\n"


def test_a_word_or_tag_makes_no_column_and_no_line(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answers("a\tb c\rD\x1b[2J", pretokenized=True) == "a b\tO\nc D [2J\tX\n\n"
    screen(monkeypatch, columns=100)
    line = answers("a\nb \x9b2Jc", pretokenized=True)
    assert line.count("\n") == 1
    assert "\x9b" not in line


def test_json(model: Model) -> None:
    assert json.loads(answers("the Heron.", json=True)) == {
        "text": "the Heron.",
        "words": ["the", "Heron", "."],
        "tags": ["O", "X", "X"],
        "probabilities": [0.333333, 0.25, 0.2],
    }


def test_json_keeps_the_row(model: Model, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 7, "body": "x"}\n')
    source = RecordSource([str(tmp_path / "rows.jsonl")], text_column="body")
    (line,) = tag(Path("m"), source, False, True, None)
    assert list(json.loads(line)) == ["id", "body", "text", "words", "tags", "probabilities"]


def test_a_terminal_has_a_line_for_each_record(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch)
    assert answers("the [Heron] stood", "x") == (
        "the\x1b[2m/O\x1b[0m [Heron]\x1b[36m/X\x1b[0m stood\x1b[2m/O\x1b[0m \nx\x1b[2m/O\x1b[0m \n"
    )
    assert json.loads(answers("x", json=True))["tags"] == ["O"]


def test_the_command(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: str) -> str:
        reader = pipe(monkeypatch)
        arguments: list[Any] = [*words.split(), "--text", "a B."]
        click_command(command, "tag")(arguments, standalone_mode=False)
        return written(reader)

    assert run("-m dir --threads 3") == "a\tO\nB\tX\n.\tX\n\n"
    assert run("-m dir --pretokenized") == "a\tO\nB.\tX\n\n"
    assert json.loads(run("-m dir --json"))["words"] == ["a", "B", "."]
    assert model.loaded == [(Path("dir"), 3), (Path("dir"), None), (Path("dir"), None)]
