"""How the words of a sentence stand in its text.

Knows: which characters of a text are a token, how many words a token is written for (`du` stands
for `de` and `le`), and how a text is put together from tokens and the spaces between them. Does not
know: file formats, or how tokens are found in a text that nobody has divided.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self


@dataclass(frozen=True, slots=True)
class RawText:
    """A sentence as it is written. Tokens follow each other, with white space between or without,
    and may have spaces inside."""

    text: str
    spans: tuple[
        tuple[int, int], ...
    ]  # of each token: its first character, and that after its last
    counts: tuple[int, ...]  # the words that each token is written for

    def tokens(self) -> list[str]:
        """Return the tokens as they are written."""
        return [self.text[start:stop] for start, stop in self.spans]

    def ranges(self) -> list[tuple[int, int, str]]:
        """Return the words that are written as one token: the index of the first and of the last,
        and the token."""
        found, first = [], 0
        for (start, stop), count in zip(self.spans, self.counts, strict=True):
            if count > 1:
                found.append((first, first + count - 1, self.text[start:stop]))
            first += count
        return found

    def serialize(self) -> str:
        """Return JSON, of which `parse` makes the same."""
        return json.dumps([self.text, self.spans, self.counts])

    @classmethod
    def parse(cls, content: str) -> Self:
        """The inverse of `serialize`."""
        text, spans, counts = json.loads(content)
        return cls(text, tuple((start, stop) for start, stop in spans), tuple(counts))


class Token(NamedTuple):
    """A token of a treebank."""

    form: str
    words: int  # that it is written for
    space_after: bool


def place_tokens(text: str | None, tokens: Sequence[Token]) -> RawText | None:
    """Find the tokens in a text.

    Without a text it is put together from the tokens, if some of them say that no space follows:
    where none does, the file may not tell. Returns None where that is so, and for tokens that are
    not, in order and with nothing but white space between, the text.
    """
    if text is None:
        if all(token.space_after for token in tokens):
            return None
        parts = [token.form + " " * token.space_after for token in tokens]
        text = "".join(parts).rstrip(" ")
    spans, place = [], 0
    for token in tokens:
        start = _after_space(text, place)
        place = start + len(token.form)
        if not token.form or text[start:place] != token.form:
            return None
        spans.append((start, place))
    if text[place:].strip():
        return None
    return RawText(text, tuple(spans), tuple(token.words for token in tokens))


def place_words(text: str, words: Sequence[str]) -> RawText:
    """Return where words that were found in a text stand in it, with anything between them. Raises
    ValueError if they do not stand there in this order."""
    spans, place = [], 0
    for word in words:
        start = text.index(word, place)
        place = start + len(word)
        spans.append((start, place))
    return RawText(text, tuple(spans), (1,) * len(spans))


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place
