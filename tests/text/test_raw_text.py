"""Where tokens stand in a text."""

from __future__ import annotations

import pytest

from rnntext.text.raw_text import RawText, Token, place_tokens, place_words

DU = RawText("au chat  🙂", ((0, 2), (3, 7), (9, 10)), (2, 1, 1))


def tokens(*forms: str) -> list[Token]:
    return [Token(form, 1, True) for form in forms]


def test_tokens_are_found_in_their_order() -> None:
    found = place_tokens("đại học  là 10 000.", tokens("đại học", "là", "10 000", "."))
    assert found == RawText(
        "đại học  là 10 000.", ((0, 7), (9, 11), (12, 18), (18, 19)), (1, 1, 1, 1)
    )
    assert found.tokens() == ["đại học", "là", "10 000", "."]


@pytest.mark.parametrize(
    ("text", "forms"),
    [("a b", ["a"]), ("a b", ["b", "a"]), ("a", ["a", "b"]), ("ab", ["a", "b", ""]), ("", ["a"])],
)
def test_other_tokens_than_those_of_the_text_have_no_place(text: str, forms: list[str]) -> None:
    assert place_tokens(text, tokens(*forms)) is None


def test_words_that_were_found_in_a_text_have_anything_between_them() -> None:
    text = "\u200ea\u200bab\x1c \u00adb"
    spans = ((1, 2), (3, 5), (5, 6), (8, 9))
    assert place_words(text, ["a", "ab", "\x1c", "b"]) == RawText(text, spans, (1,) * 4)
    assert place_words("", []) == RawText("", (), ())
    with pytest.raises(ValueError, match="not found"):
        place_words("a b", ["b", "a"])


def test_a_text_is_put_together_where_some_token_has_no_space_after_it() -> None:
    given = [Token("Naïve", 1, True), Token("du", 2, False), Token(".", 1, True)]
    assert place_tokens(None, given) == RawText("Naïve du.", ((0, 5), (6, 8), (8, 9)), (1, 2, 1))
    assert place_tokens(None, tokens("a", "b")) is None


def test_ranges_are_numbered_by_words() -> None:
    assert DU.ranges() == [(0, 1, "au")]
    later = RawText("x du y du", ((0, 1), (2, 4), (5, 6), (7, 9)), (1, 2, 1, 3))
    assert later.ranges() == [(1, 2, "du"), (4, 6, "du")]


def test_what_is_serialized_is_parsed() -> None:
    assert RawText.parse(DU.serialize()) == DU
