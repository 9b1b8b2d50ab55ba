"""Which texts are near duplicates of each other."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnntext.training.data.near_duplicates import fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A fine film.", "a FINE film!"),
        ("naïve, café", "NAÏVE café"),
        ("«Straße»  und\tmehr\n", "STRASSE und mehr"),
        ("don't", "dont"),
        ("“quoted” — said", 'quoted "said"'),
        ("你好。", "你好"),
        ("snake_case", "snakecase"),
        ("", " \n"),
        ("?!", " ?!\n"),
    ],
)
def test_near_duplicates(one: str, other: str) -> None:
    assert fingerprint((one,)) == fingerprint((other,))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a b", "ab"),
        ("a b", "b a"),
        ("café", "cafe"),
        ("5 stars", "4 stars"),
        ("good 🙂", "good"),
        ("a+b", "ab"),
        (":)", ":("),
        ("...", ""),
    ],
)
def test_no_near_duplicates(one: str, other: str) -> None:
    assert fingerprint((one,)) != fingerprint((other,))


def test_words_are_joined_by_spaces() -> None:
    assert fingerprint(("The", "end", ".")) == fingerprint(("the end",))
    assert fingerprint(("The", "end")) != fingerprint(("Theend",))


@given(st.text())
def test_a_fingerprint_is_of_what_is_left(text: str) -> None:
    """The definition, character by character."""
    folded = text.casefold()
    kept = "".join(c for c in folded if not unicodedata.category(c).startswith("P"))
    wanted = tuple(kept.split()) or tuple(folded.split())
    assert fingerprint((text,)) == fingerprint(wanted)
    assert -(2**63) <= fingerprint((text,)) < 2**63
    assert sys.hash_info.width == 64
