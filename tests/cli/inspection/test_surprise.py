"""`rnntext inspect surprise`, as a shell runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Shell

TEXT = "naïve café\t你好 🙂 boats."


def test_words_bits_and_expectations(run: Shell, lm: Path) -> None:
    command = ("inspect", "surprise", "-m", lm)
    objects = run(*command, "--json", stdin=f"{TEXT}\n\n".encode()).done().objects
    # Of a script without spaces each token is a word.
    *words, end = (each["word"] for each in objects)
    assert [*words[:2], *words[-2:], end] == ["naïve", "café", "🙂", "boats.", "<eos>"]
    assert "".join(words[2:-2]) == "你好"
    scored = run("score", "-m", lm, "--words", "--text", TEXT).done().pairs
    assert {each["word"]: each["bits"] for each in objects} == pytest.approx(
        {word: float(bits) for word, bits in scored.items()}, abs=1e-4
    )
    rows = [line.split("\t") for line in run(*command, "--text", TEXT).done().lines]
    for row, each in zip(rows, objects, strict=True):
        assert row[:3] == ["1", str(each["position"]), each["word"]]
        assert [float(row[3]), float(row[5])] == pytest.approx(
            [each["bits"], each["expected"][0]["probability"]], abs=2e-6
        )
        assert len(each["expected"]) == 3
    (first, *_) = run(*command, "-k", 1, "--text", "a").done().lines
    assert len(first.split("\t")) == 6


def test_what_cannot_be(run: Shell, lm: Path, classifier: Path, tagger: Path) -> None:
    run("inspect", "surprise", "-m", classifier, "--text", "x").failed(
        1, "is a classifier, and this needs a language model", "rnntext classify"
    )
    run("inspect", "surprise", "-m", tagger, "--text", "x").failed(1, "rnntext tag")
    run("inspect", "surprise", "-m", lm, stdin=b"\n\n").failed(1, "no text")
    run("inspect", "surprise", "-m", lm, "--text", "x", "-k", 0).failed(2, "--top-k")
    run("inspect", "surprise", "--text", "x").failed(2, "-m DIR")
    run("inspect", "surprise", "-m", lm, "--text", "a " * 1000).failed(2, "at most 1,000")
