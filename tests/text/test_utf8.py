"""Which tokens of bytes can follow in UTF-8, against the definition and Python's own decoder."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.text.utf8 import Utf8Vocabulary

BYTES = [bytes([value]) for value in range(256)]
# The first and the last characters of each length, those beside the surrogates, and some others.
CHARACTERS = "\x00a\x7f\x80é\u07ff\u0800你\ud7ff\ue000\uffff\U00010000🙂\U000e0001\U0010ffff"


def is_beginning(data: bytes) -> bool:
    """Return whether some text in UTF-8 begins with these bytes: the definition (RFC 3629)."""
    ends = [b"", b"\x80", b"\xbf", b"\x90", b"\xa0", b"\x8f", b"\x9f"]
    ends += [end + more for end in ends[1:] for more in (b"\x80", b"\x80\x80")]
    for end in ends:
        try:
            (data + end).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


@pytest.mark.parametrize("character", CHARACTERS)
def test_bytes_that_can_follow_the_beginning_of_a_character(character: str) -> None:
    vocabulary = Utf8Vocabulary(BYTES)
    encoded = character.encode()
    for size in range(len(encoded)):
        held = encoded[:size]
        wanted = [is_beginning(held + byte) for byte in BYTES]
        assert vocabulary.allowed(held).tolist() == wanted
        assert [vocabulary.after(held, byte) is not None for byte in range(256)] == wanted
        assert vocabulary.after(held, encoded[size]) == (
            b"" if size + 1 == len(encoded) else encoded[: size + 1]
        )


def test_tokens_of_several_bytes() -> None:
    pieces = [
        b"\xa9",
        b"\xa9!",
        b"\xa9\xe4\xbd",
        b"a",
        b"a\xa9",
        b"\xe4\xbd\xa0",
        b"\xe4\xbd",
        b"\n",
    ]
    vocabulary = Utf8Vocabulary(pieces)
    found = [vocabulary.after(b"\xc3", token) for token in range(len(pieces))]
    assert found == [b"", b"", b"\xe4\xbd", None, None, None, None, None]
    found = [vocabulary.after(b"", token) for token in range(len(pieces))]
    assert found == [None, None, None, b"", None, b"", b"\xe4\xbd", b""]
    assert vocabulary.allowed(b"\xc3").tolist() == [True] * 3 + [False] * 5
    assert np.flatnonzero(vocabulary.allowed(b"")).tolist() == [3, 5, 6, 7]
