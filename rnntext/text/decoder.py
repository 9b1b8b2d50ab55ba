"""Ids back to text, one at a time, as a model produces them.

Knows: how the tokens of a line join to text, and when text is sure enough to be given out. Does
not know: how text became ids, or models; vocabulary and rules are handed in.
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
    """Takes the ids of a text in order and gives out what each adds to it."""

    def push(self, token_id: int) -> str:
        """The text that this id adds."""

    def flush(self) -> str:
        """What is left once there are no more ids."""


class PieceDecoder:
    """Ids each of which stands for some bytes of UTF-8, `pieces`.

    Bytes that do not yet make a character are held back; `flush` gives them out as U+FFFD.
    `prefixed`: a space was put before each line, and is taken off again.
    """

    def __init__(self, pieces: Sequence[bytes], *, prefixed: bool) -> None:
        self._pieces = pieces
        self._prefixed = prefixed
        self._held = b""
        self._line_start = True

    def push(self, token_id: int) -> str:
        """The text that this id adds: the characters that it makes whole."""
        piece = self._pieces[token_id]
        if self._prefixed and self._line_start and piece[:1] == b" ":
            piece = piece[1:]
        self._line_start = piece == b"\n"
        data = self._held + piece
        whole = len(data) - _incomplete_tail(data)
        self._held = data[whole:]
        return data[:whole].decode("utf-8", "replace")

    def flush(self) -> str:
        """What is left: bytes that never became a character."""
        rest, self._held = self._held, b""
        return rest.decode("utf-8", "replace")


class WordDecoder:
    """Ids of whole words, as `spell` spells them; `line_end` is the id that ends a line.

    `presplit`: all words stand apart. Else marks and clitics hang on to the word that they
    hang on to in ordinary prose.
    """

    def __init__(self, spell: Callable[[int], str], line_end: int, *, presplit: bool) -> None:
        self._spell = spell
        self._line_end = line_end
        self._presplit = presplit
        self._joined = True  # the next word follows without a space
        self._open_quote = False

    def push(self, token_id: int) -> str:
        """The text that this id adds: a word, and the space before it if there is one."""
        if token_id == self._line_end:
            self._joined, self._open_quote = True, False
            return "\n"
        word = self._spell(token_id)
        opens, closes = (False, False) if self._presplit else self._hangs(word)
        space = "" if self._joined or closes else " "
        self._joined = opens
        return space + word

    def flush(self) -> str:
        """Nothing: a word is given out at once."""
        return ""

    def _hangs(self, word: str) -> tuple[bool, bool]:
        """Whether a word hangs on to the one after it, and to the one before it."""
        if word == '"':
            self._open_quote = not self._open_quote
            return self._open_quote, not self._open_quote
        return word in _OPENING, word in _CLOSING or _IS_CLITIC.match(word) is not None


def byte_characters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (Radford et al. 2019):
    printable Latin-1 characters for themselves, those from 256 up, in order, for the others."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = itertools.count(256)
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _incomplete_tail(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character that more bytes may complete."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needed = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4
        return back if byte >= 0xC0 and byte < 0xF8 and back < needed else 0
    return 0
