"""Texts with their tokens and words, for tests."""

from __future__ import annotations

from rnntext.text.raw_text import RawText, Token, place_tokens


def division(text: str, *given: str | tuple[str, list[str]]) -> tuple[RawText, list[str]]:
    """A text whose tokens are `given`, one by one; a pair is a token with the words it is written
    for."""
    tokens, words = [], []
    for each in given:
        form, own = (each, [each]) if isinstance(each, str) else each
        tokens.append(Token(form, len(own), True))
        words += own
    raw = place_tokens(text, tokens)
    assert raw is not None
    return raw, words
