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
from rnntext.cli.tag import Words, command, tag
from rnntext.errors import DataError, UsageError
from rnntext.runtime.tagger import TaggedSentence
from rnntext.text.raw_text import RawText
from tests.cli.screens import pipe, screen, written


class Model:
    """Tags a word as O if it is in small letters, otherwise as X."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Path, int | None]] = []
        self.splitter: object = None
        self.tag_column: object = None

    def load(self, directory: Path, threads: int | None) -> Model:
        self.loaded.append((directory, threads))
        return self

    def stream(
        self, texts: Sequence[str | Sequence[str]], *, pretokenized: bool, by_rule: bool
    ) -> Iterator[TaggedSentence]:
        self.by_rule = by_rule
        for text in texts:
            if not isinstance(text, str):
                yield TaggedSentence(" ".join(text), list(text), ["X"] * len(text), [])
                continue
            words = text.split(" ") if pretokenized else text.replace(".", " .").split()
            tags = ["O" if word.islower() else "X" for word in words]
            yield TaggedSentence(text, words, tags, [1 / (n + 3) for n in range(len(words))])

    def stream_words(
        self,
        sentences: Sequence[Sequence[str]],
        texts: Sequence[str],
        raw: Sequence[RawText | None],
    ) -> Iterator[TaggedSentence]:
        for text, words, own in zip(texts, sentences, raw, strict=True):
            yield TaggedSentence(text, list(words), ["X"] * len(words), [], own)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    fake = Model()
    monkeypatch.setattr(rnntext.runtime.tagger, "Tagger", fake)
    return fake


def answers(*texts: str, pretokenized: bool = False, json: bool = False) -> str:
    source = RecordSource(texts=list(texts))
    return "".join(tag(Path("m"), source, Words(pretokenized=pretokenized), json, None))


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
    (line,) = tag(Path("m"), source, Words(), True, None)
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


CONLLU = "# text = au roi\n1-2\tau\t_\t_\t_\t_\t_\t_\t_\t_\n1\tà\t_\t_\t_\t_\t_\t_\t_\t_\n"
CONLLU += "2\tle\t_\t_\t_\t_\t_\t_\t_\t_\n3\troi\t_\t_\t_\t_\t_\t_\t_\t_\n"


def given(path: Path, input_format: str, **options: Any) -> str:
    source = RecordSource([str(path)])
    words = Words(input_format=input_format)
    return "".join(tag(Path("m"), source, words, False, None, **options))


def test_words_are_given_as_conllu(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{CONLLU}\n# a remark alone\n\n1\tb c\t_\t_\t_\t_\t_\t_\t_\t_\n", "utf-8")
    assert given(path, "conllu") == "à\tX\nle\tX\nroi\tX\n\nb c\tX\n\n"
    lines = given(path, "conllu", format_name="conllu").split("\n")
    assert lines[:2] == ["# text = au roi", "1-2\tau\t_\t_\t_\t_\t_\t_\t_\t_"]
    source = RecordSource([str(path)])
    out = "".join(tag(Path("m"), source, Words(input_format="conllu"), True, None)).splitlines()
    assert json.loads(out[0])["ranges"] == [[0, 1, "au"]]
    assert "ranges" not in json.loads(out[1])


def test_words_are_given_as_json_lines(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text('{"words": ["a b", "c"], "id": 7}\n{"words": []}\n')
    assert given(path, "jsonl") == "a b\tX\nc\tX\n\n\n"
    path.write_text('{"words": ["a"]}\n{"words": [7]}\n')
    with pytest.raises(DataError, match="line 2: 'words' has a word that is empty or no string"):
        given(path, "jsonl")


def test_a_sentence_that_cannot_be_read_is_an_error_or_an_empty_answer(
    model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(f"1\tx\n\n{CONLLU}", "utf-8")
    with pytest.raises(DataError, match=r"a.conllu, line 1 has 2 columns"):
        given(path, "conllu")
    source = RecordSource([str(path)], on_error="null")
    found = tag(Path("m"), source, Words(input_format="conllu"), False, None)
    assert next(found) == "\nà\tX\nle\tX\nroi\tX\n\n"
    with pytest.raises(DataError, match="1 record could not be read"):
        next(found)


def test_how_raw_text_is_split(model: Model) -> None:
    source = RecordSource(texts=["a"])
    for split, by_rule in ((None, False), ("rule", True)):
        list(tag(Path("m"), source, Words(split=split), False, None))
        assert model.by_rule is by_rule
    with pytest.raises(UsageError, match="m has not learned to split raw text"):
        list(tag(Path("m"), source, Words(split="learned"), False, None))
    model.splitter = object()
    list(tag(Path("m"), source, Words(split="learned"), False, None))
    assert model.by_rule is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "other"}, "--split is one of learned, rule, not 'other'"),
        ({"input_format": "xml"}, "--input-format is one of text, jsonl, conllu, not 'xml'"),
        ({"split": "rule", "pretokenized": True}, "--split and --pretokenized cannot go together"),
        (
            {"pretokenized": True, "input_format": "conllu"},
            "--pretokenized and --input-format conllu cannot go together",
        ),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Words(**options)


def test_formats_that_exclude_each_other(model: Model) -> None:
    def run(words: str) -> None:
        arguments = [*words.split(), "-m", "m", "--text", "a"]
        click_command(command, "tag")(arguments, standalone_mode=False)

    with pytest.raises(UsageError, match="--json and --format conllu cannot go together"):
        run("--json --format conllu")
    with pytest.raises(UsageError, match="--format is one of tsv, conllu, not 'xml'"):
        run("--format xml")
