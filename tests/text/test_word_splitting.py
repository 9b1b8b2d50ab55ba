"""How raw text is split into words."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from rnntext.text.word_splitting import split_words, word_splitter

# What the pattern tells apart, and every kind of white space.
PARTS = [
    "a",
    "b",
    "É",
    "你",
    "1",
    "'",
    "’",
    "n't",
    "'s",
    ".",
    ",",
    "-",
    "@",
    "#",
    "/",
    ":",
    "_",
    "?",
]
PARTS += ["!", "🙂", "\u200d", "\U0001f3fb", "\u0301", "http://", "www.", "Mr.", "U.S.", "İ", " "]
PARTS += [chr(c) for c in range(sys.maxunicode + 1) if chr(c).isspace()]


@given(st.lists(st.sampled_from(PARTS), max_size=15).map("".join))
def test_splitting_at_white_space_first_changes_nothing(text: str) -> None:
    whole = [word for word, _ in word_splitter().pre_tokenize_str(text)]
    assert split_words(text) == whole


def test_the_same_text_again() -> None:
    text = "Mara's dog didn't bark, naïve café 你好 🙂!!"
    words = ["Mara", "'s", "dog", "did", "n't", "bark", ",", "naïve", "café", "你好", "🙂", "!!"]
    assert split_words(text) == words
    assert split_words(text) == words
