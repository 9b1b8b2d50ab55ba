"""`rnntext inspect neighbours`, as a shell runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import CORPORA, Shell

TEXT = "naïve café\t你好 🙂"


@pytest.mark.parametrize("task", ["lm", "classifier", "tagger"])
def test_words_and_lines(
    task: str, run: Shell, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(f"{TEXT}!\n\nThe heron counted the boats.\nAnother\tline.\n", "utf-8")
    model = request.getfixturevalue(task)
    command = ("inspect", "neighbours", "-m", model, "--word", "the", "--corpus", corpus, "-n", 2)
    objects = run(*command, "--json", stdin=f"{TEXT}\n\n".encode()).done().objects
    assert [each.get("word", each.get("text")) for each in objects] == ["the", TEXT]
    assert {near["line"] for near in objects[1]["neighbours"]} <= {1, 3, 4}
    assert [len(each["neighbours"]) for each in objects] == [2, 2]
    rows = [line.split("\t") for line in run(*command, "--text", TEXT).done().lines]
    assert [row[:2] for row in rows] == [
        [name, rank] for name in ("the", TEXT.replace("\t", " ")) for rank in ("1", "2")
    ]
    found = [near for each in objects for near in each["neighbours"]]
    for row, near in zip(rows, found, strict=True):
        assert row[2] == near.get("token", near.get("text", "")).replace("\t", " ")
        assert float(row[3]) == pytest.approx(near["cosine"], abs=2e-6)


def test_a_word_needs_no_text(run: Shell, lm: Path) -> None:
    found = run("inspect", "neighbours", "-m", lm, "--word", "the").done()
    assert len(found.lines) == 10


def test_what_cannot_be(run: Shell, lm: Path, tmp_path: Path) -> None:
    command, stories = ("inspect", "neighbours", "-m", lm), CORPORA / "stories.txt"
    run(*command).failed(2, "--word", "--corpus FILE")
    run(*command, "--text", "x").failed(2, "--corpus FILE")
    run(*command, "--word", "x", "--text", "x").failed(2, "--corpus FILE")
    run(*command, "--corpus", "-", "--text", "x").failed(2, "--corpus is a file")
    run(*command, "--corpus", tmp_path / "none", "--text", "x").failed(1, "none")
    run(*command, "--corpus", stories, stdin=b"\n").failed(1, "no text")
    run(*command, "--word", "").failed(2, "not in the vocabulary")
    run(*command, "--word", "x", "-n", 0).failed(2, "--count")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n", "utf-8")
    run(*command, "--corpus", empty, "--text", "x").failed(1, "no line to compare with")
