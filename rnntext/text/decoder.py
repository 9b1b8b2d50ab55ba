"""Streaming decoders: ids to text, one id at a time, as a model generates them.

Knows: how the tokens of a line join to text, and when a piece of text is final. Does not know: how
text is encoded, or models; the caller passes the vocabulary.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Protocol

_CLOSING = frozenset([*",.;:!?)]}%”»…", "..."])
_OPENING = frozenset("([{$£€“«#@")
_IS_CLITIC = re.compile(r"(?:['’](?:s|re|ve|ll|d|m)|n['’]t)$", re.IGNORECASE)


class Decoder(Protocol):
    """Takes the ids of a text in order and returns the text that each adds."""

    def push(self, token_id: int) -> str:
        """Return the text that this id adds."""

    def flush(self) -> str:
        """Return the remaining text after the last id."""


class PieceDecoder:
    """Decodes ids that each stand for some bytes of UTF-8, `pieces`.

    Bytes of an incomplete character are held back; `flush` returns them as U+FFFD. `prefixed`:
    the encoder put a space before each line, and this decoder removes it.
    """

    def __init__(self, pieces: Sequence[bytes], *, prefixed: bool) -> None:
        self._pieces = pieces
        self._prefixed = prefixed
        self._held = b""
        self._line_start = True

    def push(self, token_id: int) -> str:
        """Return the characters that this id completes."""
        piece = self._pieces[token_id]
        if self._prefixed and self._line_start and piece[:1] == b" ":
            piece = piece[1:]
        self._line_start = piece == b"\n"
        data = self._held + piece
        complete = len(data) - _incomplete_tail(data)
        self._held = data[complete:]
        return data[:complete].decode("utf-8", "replace")

    def flush(self) -> str:
        """Return U+FFFD for the bytes of an incomplete character, if there are any."""
        held, self._held = self._held, b""
        return held.decode("utf-8", "replace")


class WordDecoder:
    """Decodes ids of whole words. `spell` maps an id to its word; `line_end` is the id that ends a
    line.

    With `presplit` every word is separated by a space. Otherwise punctuation and clitics are
    attached to their neighbour as in ordinary prose.
    """

    def __init__(self, spell: Callable[[int], str], line_end: int, *, presplit: bool) -> None:
        self._spell = spell
        self._line_end = line_end
        self._presplit = presplit
        self._no_space = True  # the next word follows without a space
        self._open_quote = False

    def push(self, token_id: int) -> str:
        """Return the word of this id, with the space before it if there is one."""
        if token_id == self._line_end:
            self._no_space, self._open_quote = True, False
            return "\n"
        word = self._spell(token_id)
        opens, closes = (False, False) if self._presplit else self._attachment(word)
        space = "" if self._no_space or closes else " "
        self._no_space = opens
        return space + word

    def flush(self) -> str:
        """Return nothing: `push` returns each word immediately."""
        return ""

    def _attachment(self, word: str) -> tuple[bool, bool]:
        """Return whether a word is attached to the next word, and to the word before."""
        if word == '"':
            self._open_quote = not self._open_quote
            return self._open_quote, not self._open_quote
        return word in _OPENING, word in _CLOSING or _IS_CLITIC.match(word) is not None


def byte_characters() -> list[str]:
    """Return the character that represents each byte in a byte-level vocabulary (Radford et al.
    2019): printable Latin-1 bytes map to themselves, the others to U+0100 and up, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(256)
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _incomplete_tail(data: bytes) -> int:
    """Return the number of bytes at the end that start an incomplete UTF-8 character."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
        return back if byte >= 0xC0 and byte < 0xF8 and back < needed else 0
    return 0
