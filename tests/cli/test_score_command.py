"""What `score` prints of a language model's scores, and when its state is reset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import rnntext.cli.score
import rnntext.runtime.score
from rnntext.cli.commands import click_command
from rnntext.cli.options import RecordSource
from rnntext.errors import UsageError
from rnntext.runtime.score import LineScore, WordScore
from rnntext.text.records import Record
from tests.cli.screens import pipe, screen, written

COLUMNS = "4\t1.5\t3\n"  # of every line
BITS = {"a": 9.0, "ten": 10.0, "rare": 10.5, "fifteen": 15.0, "odd": 15.5}


class Model:
    """Gives every line 6 bits in 3 tokens and 4 bytes, and notes what it was asked."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Path, int | None, bool]] = []
        self.asked: list[tuple[list[str], bool] | str] = []

    def load(self, directory: Path, threads: int | None, *, carry: bool) -> Model:
        self.loaded.append((directory, threads, carry))
        return self

    def restart(self) -> None:
        self.asked.append("restart")

    def score(self, texts: Sequence[str], *, words: bool) -> list[LineScore]:
        self.asked.append((list(texts), words))
        return [
            LineScore(text, 6.0, 3, 4.0, 1, 4, _words(text) if words else None) for text in texts
        ]


def _words(text: str) -> list[WordScore]:
    words = [WordScore(word, BITS.get(word, 1 / 3)) for word in text.split(" ") if word]
    return [*words, WordScore("<eos>", 2.0)]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.score, "Scorer", fake)
    monkeypatch.setenv("RAYON_NUM_THREADS", "1")  # the command sets it
    monkeypatch.delenv("RNNTEXT_MODEL", raising=False)
    return fake


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run the command and return what it wrote into a pipe."""
    reader = pipe(monkeypatch)
    built = click_command(rnntext.cli.score.command, "score")
    built(list(words), prog_name="score", standalone_mode=False)
    return written(reader)


def test_a_line_for_each_record(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    out = command(monkeypatch, "-m", "dir", "--text", "a b", "--text", "")
    assert out == COLUMNS * 2
    assert model.loaded == [(Path("dir"), None, False)]
    assert model.asked == [(["a b", ""], False)]


def test_a_number_that_is_not_known_is_an_empty_field() -> None:
    line = LineScore("x", 6.0, 3, 4.0, 1, None)
    assert rnntext.cli.score._columns(Record("x"), line, False) == "4\t\t3\n"


def test_words_with_an_empty_line_between_records(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = command(monkeypatch, "-m", "dir", "--words", "--text", "a b", "--text", "", "--text", "a")
    end = "<eos>\t2\n"
    assert out == f"a\t9\nb\t0.333333\n{end}\n{end}\na\t9\n{end}"
    assert model.asked == [(["a b", "", "a"], True)]


def test_json(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "text": "a b",
        "perplexity": 4.0,
        "bits_per_byte": 1.5,
        "tokens": 3,
        "bits": 6.0,
        "unknown": 1,
        "perplexity_known": 4.0,
    }
    out = command(monkeypatch, "-m", "dir", "--json", "--text", "a b", "--text", "a b")
    one, two = (json.loads(line) for line in out.splitlines())
    assert one == two == wanted
    assert list(one) == list(wanted)
    out = command(monkeypatch, "-m", "dir", "--json", "--words", "--text", "a b", "--text", "")
    one, two = (json.loads(line) for line in out.splitlines())
    end = {"word": "<eos>", "bits": 2.0}
    assert one == {
        **wanted,
        "words": [{"word": "a", "bits": 9.0}, {"word": "b", "bits": 0.333333}, end],
    }
    assert two["words"] == [end]


def test_json_keeps_the_row(model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,said\n7,a b\n8,c\n", "utf-8")
    words = ("--json", "--text-column", "said", str(tmp_path / "a.csv"))
    found = [json.loads(li) for li in command(monkeypatch, "-m", "dir", *words).splitlines()]
    assert [(row["id"], row["said"], row["text"]) for row in found] == [
        ("7", "a b", "a b"),
        ("8", "c", "c"),
    ]
    assert list(found[0])[:3] == ["id", "said", "text"]


def test_a_state_that_is_carried_begins_anew_with_each_file(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(f"{name}\nb\n")
    paths = [str(tmp_path / name) for name in ("one", "two", "three")]
    out = command(monkeypatch, "-m", "dir", "--state", "carry", "--threads", "1", *paths)
    assert out == COLUMNS * 6
    assert model.loaded == [(Path("dir"), 1, True)]
    assert model.asked == [
        (["one", "b"], False),
        "restart",
        (["two", "b"], False),
        "restart",
        (["three", "b"], False),
    ]
    end = "<eos>\t2\n"
    out = command(monkeypatch, "-m", "dir", "--words", *paths[:2])
    third = "0.333333\n"
    assert out == f"one\t{third}{end}\nb\t{third}{end}\ntwo\t{third}{end}\nb\t{third}{end}"


def test_batches_of_one_file_are_one_text(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a\n" * 1025)
    source = RecordSource([str(tmp_path / "a")])
    first, last = rnntext.cli.score.score(Path("m"), source, True, "carry", False, None)
    assert model.asked == [(["a"] * 1024, True), (["a"], True)]
    record = "a\t9\n<eos>\t2\n"
    assert first + last == "\n".join([record] * 1025)


def test_states_that_cannot_be(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as error:
        list(rnntext.cli.score.score(Path("m"), RecordSource(), False, "keep", False, None))
    assert str(error.value) == "--state is one of reset, carry, not 'keep'"
    assert command(monkeypatch, "-m", "dir", "--state", "reset", "--text", "a") == COLUMNS
    assert model.loaded == [(Path("dir"), None, False)]


@pytest.mark.parametrize("words", [False, True])
def test_a_terminal_colours_each_word_by_its_surprisal(
    words: bool, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(monkeypatch, columns=20)
    source = RecordSource(texts=["[a] ten rare fifteen odd", "b"])
    (found,) = rnntext.cli.score.score(Path("m"), source, words, "reset", False, None)
    number = "\x1b[1m       4.0 \x1b[0m "
    assert found == (
        "\x1b[3mperplexity  text\x1b[0m\n"
        f"{number}[a] ten \x1b[33mrare\x1b[0m \x1b[33mfifteen\x1b[0m \x1b[31modd\x1b[0m\n"
        f"{number}b\n"
    )
    assert model.asked == [(["[a] ten rare fifteen odd", "b"], True)]
    (found,) = rnntext.cli.score.score(Path("m"), source, words, "reset", True, None)
    one, two = (json.loads(line) for line in found.splitlines())
    assert ("words" in one, one["bits"]) == (words, 6.0)
    assert two["text"] == "b"
    assert model.asked[1] == (["[a] ten rare fifteen odd", "b"], words)
