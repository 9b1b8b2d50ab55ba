"""Which tokens can come next in text that is UTF-8.

Knows: where in a character a text ends, and which tokens, each of some bytes, can follow there.
Does not know: how tokens are decoded to text (`decoder.py`), or how one is chosen.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Beginnings of characters that stand for all others after which as many bytes of any value are
# missing. The first byte of a character limits its second one only after these four.
_LIMITED = (b"\xe0", b"\xed", b"\xf0", b"\xf4")
_SURROGATE = b"\xed\xa0"  # so begins the first of them
_MISSING = {1: b"\xc2", 2: b"\xe1", 3: b"\xf1"}


class Utf8Vocabulary:
    """A vocabulary of bytes, and what each token does to a text that may end inside a character.

    `held` is the beginning of that character, b"" between characters.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._allowed: dict[bytes, npt.NDArray[np.bool_]] = {}

    def after(self, held: bytes, token: int) -> bytes | None:
        """Return what is held after a token; None if the text is no longer UTF-8."""
        data = held + self._pieces[token]
        try:
            _, complete = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError:
            return None
        rest = data[complete:]
        # Python waits for the third byte of a surrogate before it refuses it.
        return None if rest >= _SURROGATE and rest[:1] == _SURROGATE[:1] else rest

    def allowed(self, held: bytes) -> npt.NDArray[np.bool_]:
        """Return whether each token (V) leaves the text UTF-8 (cached: there are few cases)."""
        if held and held not in _LIMITED:
            held = _MISSING[_length(held[0]) - len(held)]
        if held not in self._allowed:
            after = (self.after(held, token) for token in range(len(self._pieces)))
            self._allowed[held] = np.array([found is not None for found in after])
        return self._allowed[held]


def _length(first: int) -> int:
    """Return the bytes of a character of several bytes that begins with this one."""
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4
