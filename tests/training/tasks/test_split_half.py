"""Which sentences a splitter is learned from, and what a user is told of raw text."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rnntext.checkpoint import SPLITTER
from rnntext.ngrams import read_notes
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.text.raw_text import RawText, Token, place_tokens
from rnntext.training.data.examples import TextRows, join_words
from rnntext.training.tasks.split_half import SplitHalf, unlike_raw_text

TEXTS = ["a, b", "c d", "e, f, g", "h"]


def rows(texts: Sequence[str], known: int | None = None) -> tuple[TextRows, TextRows]:
    """The raw texts, of which the first `known` say how they are written, and their words."""
    raw, words = [], []
    for number, text in enumerate(texts):
        own = text.replace(",", " ,").split()
        found = place_tokens(text, [Token(word, 1, True) for word in own])
        assert isinstance(found, RawText)
        raw.append(found.serialize() if known is None or number < known else "")
        words.append(join_words(own))
    return TextRows.of(raw), TextRows.of(words)


def half(train: Sequence[str] = TEXTS, known: int | None = None) -> SplitHalf:
    return SplitHalf(*rows(train, known), *rows(["i, j", "k l"]))


def notes(files: dict[str, bytes]) -> dict[str, int]:
    return read_notes(files[SPLITTER])


def test_it_learns_from_the_sentences_that_say_how_they_are_written() -> None:
    some = half(TEXTS * 8, 12)
    assert some.is_possible
    words_f1 = some.learn(None, 1)
    assert 0 <= words_f1 <= 1
    assert (some.sentences, some.learns_from_all) == (12, True)
    assert notes(some.files()) == {"sentences": 12, "all": 1}
    assert not half(TEXTS, 0).is_possible
    assert half(TEXTS, 0).files() == {}


def test_a_short_run_learns_from_a_part_which_the_seed_draws() -> None:
    def content(minutes: float | None, seed: int, sentences: int | None = None) -> bytes:
        learned = half([f"{n}, x{n}" for n in range(400)])
        learned.learn(minutes, seed, sentences)
        return learned.files()[SPLITTER]

    short = content(0.02, 1)
    count = read_notes(short)["sentences"]
    assert 1 < count < 400
    assert read_notes(short)["all"] == 0
    # So is a run repeated, without its time budget.
    assert content(None, 1, count) == short
    assert content(0.02, 2) != short


def test_what_was_saved_is_gone_on_with() -> None:
    first = half(TEXTS * 8)
    first.learn(None, 1)
    second = half(TEXTS * 8)
    second.restore(first.files()[SPLITTER])
    assert second.files() == first.files()
    assert (second.sentences, second.learns_from_all) == (32, True)


def test_it_learns_from_the_validation_sentences_too() -> None:
    learned = half(TEXTS * 8)
    learned.learn(None, 1)
    both = learned.learn_from_validation_too()
    assert notes(both) == {"sentences": 34, "all": 1}
    assert learned.sentences == 32  # that the metrics are about
    found = Splitter(SplitterWeights.parse(both[SPLITTER])).divide(["a, b"])
    assert "".join(found[0].words) == "a,b"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["naïve", "café", "🙂", "3.5"], None),
        (["你好", "世界", "x"], "their script has no spaces between words"),
        (["ไทย", "ลาว"], "their script has no spaces between words"),
        (["đại học", "là", "x"], "33% of their words have spaces inside"),
        (["l'", "école", "d'", "été"], "it divides 50% of their words"),
        (["don't", "x"], "it divides 50% of their words"),
    ],
)
def test_a_user_is_told_where_the_rule_will_not_find_the_words(
    words: list[str], reason: str | None
) -> None:
    said = unlike_raw_text(TextRows.of([join_words(words)] * 3))
    if reason is None:
        assert said is None
    else:
        assert said is not None
        assert f"({reason})" in said


def test_the_share_of_words_is_what_counts() -> None:
    few = ["word"] * 39 + ["a b"]
    assert unlike_raw_text(TextRows.of([join_words(few)])) is None
    assert unlike_raw_text(TextRows.of([join_words([*few, "a b"])])) is None
    assert unlike_raw_text(TextRows.of([join_words([*few, "a b", "c d"])])) is not None
