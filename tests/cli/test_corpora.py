"""The sample text in the package: where it is found, and its size and form."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from rnntext.cli import demo
from rnntext.errors import UsageError
from rnntext.text.formats import DataOptions
from rnntext.text.tagged import read_tagged
from tests.conftest import CORPORA

# https://universaldependencies.org/u/pos/
TAGS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"


def test_the_sample_text_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {"stories.txt", "reviews.csv", "tagged.conllu"} <= {p.name for p in CORPORA.iterdir()}
    # It is inside an installed package, and in a clone beside the package.
    package = tmp_path / "lib" / "rnntext"
    (package / "cli").mkdir(parents=True)
    monkeypatch.setattr(demo, "__file__", str(package / "cli" / "demo.py"))
    with pytest.raises(UsageError, match="install rnntext again"):
        demo.find_corpora()
    for place in (package.parent / "corpora", package / "corpora"):
        place.mkdir()
        (place / "stories.txt").touch()
        assert demo.find_corpora() == place.resolve()


def test_stories() -> None:
    data = (CORPORA / "stories.txt").read_bytes()
    assert len(data) >= 60 * 1024
    assert "\r" not in data.decode()
    assert data.endswith(b"\n")


def test_reviews() -> None:
    with (CORPORA / "reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    counts = Counter(row["label"] for row in rows)
    assert set(counts) == {"neg", "pos"}
    assert len(rows) >= 3000
    assert counts["neg"] == counts["pos"]
    assert all(row["text"].strip() for row in rows)
    assert len({row["text"] for row in rows}) == len(rows)


def test_tagged_sentences() -> None:
    sentences = list(read_tagged([str(CORPORA / "tagged.conllu")], DataOptions()))
    assert len(sentences) >= 250
    assert {tag for sentence in sentences for tag in sentence.tags} <= {*TAGS.split()}
    assert len({sentence.words for sentence in sentences}) == len(sentences)
