"""`inspect explain` and `classify --explain` as whole commands, on tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from rnntext.inspection.explain import explain
from rnntext.inspection.reading import InspectedModel
from tests.conftest import Shell

TEXTS = ["A warm and funny naïve book.", "Dull,  dull café!"]
INPUT = "".join(f"{text}\n" for text in TEXTS).encode()
NO_TORCH = "import sys; sys.modules['torch'] = None"


def test_shares_in_a_pipe_and_as_json(run: Shell, classifier: Path) -> None:
    view = explain(InspectedModel.load(classifier), TEXTS)
    lines = run("inspect", "explain", "-m", classifier, stdin=INPUT).done().lines
    for line, row in zip(lines, view.rows, strict=True):
        text, label, word, *shares = line.split("\t")
        assert (int(text), label, word) == tuple(row[:3])
        assert list(map(float, shares)) == pytest.approx(list(row[3:]), abs=1e-5)
    found = run("inspect", "explain", "-m", classifier, "--json", stdin=INPUT).done().objects
    answers = run("classify", "-m", classifier, "--json", stdin=INPUT).done().objects
    for each, answer in zip(found, answers, strict=True):
        assert (each["label"], each["probability"]) == (answer["label"], answer["probability"])
        total = sum(word["total"] for word in each["explanation"])
        total += sum(each["without_words"].values())
        assert total == pytest.approx(each["log_odds"] + each["difference"], abs=1e-4)


def test_classify_gives_the_same_shares(run: Shell, classifier: Path) -> None:
    words = ("classify", "-m", classifier, "--explain")
    found = run(*words, "--json", stdin=INPUT).done().objects
    inspected = run("inspect", "explain", "-m", classifier, "--json", stdin=INPUT).objects
    assert [each["explanation"] for each in found] == [each["explanation"] for each in inspected]
    plain = run("classify", "-m", classifier, stdin=INPUT).done().lines
    for line, answer in zip(run(*words, stdin=INPUT).done().lines, plain, strict=True):
        given, _, strongest = line.rpartition("\t")
        assert given == answer
        assert len(strongest.split(" ")) >= 3


def test_a_tag(run: Shell, tagger: Path) -> None:
    words = ("inspect", "explain", "-m", tagger, "--text", "The heron can't row.")
    every = run(*words, "--json").done().objects
    tags = run("tag", "-m", tagger, "--text", "The heron can't row.", "--json").objects[0]
    assert [each["word"] for each in every] == tags["words"]
    assert [each["label"] for each in every] == tags["tags"]
    assert [each["probability"] for each in every] == pytest.approx(tags["probabilities"], abs=1e-5)
    lines = run(*words, "--word", "row").done().lines
    assert [line.split("\t")[:3] for line in lines] == [["1", "5", "row"]] * 6
    another = run(*words, "--word", "2", "--label", tags["tags"][0], "--json").done().objects
    assert [(each["word"], each["label"]) for each in another] == [("heron", tags["tags"][0])]


def test_what_is_refused(run: Shell, lm: Path, classifier: Path) -> None:
    words = ("inspect", "explain", "--text", "x", "-m")
    run(*words, lm).failed(2, "is a language model", "rnntext score --words")
    run(*words, classifier, "--label", "?").failed(2, "does not know the label '?'")
    run("classify", "-m", lm, "--text", "x", "--explain").failed(1, "is a language model")


def test_without_pytorch_one_line_says_what_to_install(run: Shell, classifier: Path) -> None:
    for words in (("inspect", "explain"), ("classify", "--explain")):
        found = run(*words, "-m", classifier, "--text", "x", before=NO_TORCH)
        found.failed(2, "needs PyTorch", "pip install 'rnntext[train]'")
    run("classify", "-m", classifier, "--text", "x", before=NO_TORCH).done()
