"""How each task reads a text, and how its tokens are shown."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.errors import UsageError
from rnntext.inspection.reading import END_OF_LINE, MOST_STEPS
from tests.inspection.models import fixed_model

TEXT = "The heron  waited, and\nMara rowed."


def test_a_language_model_reads_the_end_of_the_line_before() -> None:
    model = fixed_model("lm")
    reading = model.read("The heron waited")
    ids = model.tokenizer.encode(["The heron waited"])[0]
    np.testing.assert_array_equal(reading.ids, [model.tokenizer.eos_id, *ids])
    assert reading.steps[0] == END_OF_LINE
    assert reading.owner[0] == len(reading.words) == 3
    first = reading.last_steps()[0]
    assert "".join(reading.steps[1 : first + 1]).replace("·", "") == "The"


@pytest.mark.parametrize("kind", ["bpe", "word", "char", "byte"])
def test_a_classifier_reads_what_its_tokenizer_gives(kind: str) -> None:
    model = fixed_model("classify", kind=kind)
    reading = model.read(TEXT)
    np.testing.assert_array_equal(reading.ids, model.tokenizer.encode([TEXT])[0])
    assert len(reading.steps) == len(reading.ids) == len(reading.owner)
    assert reading.steps.count(END_OF_LINE) == 1
    last = reading.last_steps()
    assert len(last) == len(reading.words)
    assert sorted(last) == last
    assert reading.owner[reading.steps.index(END_OF_LINE)] == len(reading.words)
    # What is shown is the text, apart from signs for white space and for the inside of a word.
    if kind in ("char", "byte"):
        shown = "".join(reading.steps).replace(END_OF_LINE, "\n").replace("␣", " ")
        assert shown == TEXT
    if kind == "bpe":
        words = " ".join(reading.steps).replace(" ·", "").split()
        assert [word for word in words if word not in (END_OF_LINE, "␣")] == TEXT.split()


def test_a_tagger_reads_its_words() -> None:
    model = fixed_model("tag")
    reading = model.read("Mara can't row.")
    (found,) = model.tokenizer.encode_words([reading.words])
    np.testing.assert_array_equal(reading.ids, found.ids)
    assert reading.last_steps() == found.last.tolist()
    assert reading.words == ["Mara", "ca", "n't", "row", "."]


def test_text_without_tokens() -> None:
    assert fixed_model("classify", kind="char").read("").steps == [END_OF_LINE]
    assert fixed_model("lm").read("").steps[0] == END_OF_LINE
    with pytest.raises(UsageError, match="has no word"):
        fixed_model("tag").read("  ")


def test_a_text_is_not_cut_silently() -> None:
    with pytest.raises(UsageError, match=r"has 301 tokens, .* at most 300"):
        fixed_model("classify", kind="char").read("a" * 301)
    with pytest.raises(UsageError, match=f"at most {MOST_STEPS:,}"):
        fixed_model("lm", kind="char").read("a" * MOST_STEPS)
    assert len(fixed_model("lm", kind="char").read("a" * (MOST_STEPS - 1)).ids) == MOST_STEPS


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_the_start_of_a_long_text(task: str) -> None:
    model = fixed_model(task)
    text = "The heron waited. " * 2000
    reading = model.read(text, cut=True)
    most = MOST_STEPS if task == "lm" else 300
    assert len(reading.ids) == len(reading.steps) == len(reading.owner) == most
    whole = model.read("The heron waited. " * 20)
    np.testing.assert_array_equal(reading.ids[:30], whole.ids[:30])
    assert len(reading.last_steps()) == len(reading.words) == int(reading.owner[-1]) + 1
    assert (reading.owner[0] == len(reading.words)) == (task == "lm")
    short = model.read("The heron", cut=True)
    assert short.ids.tolist() == model.read("The heron").ids.tolist()
    assert model.read("The heron").start(1).words == ([] if task == "lm" else ["The"])
