"""Ids back to text: nothing broken, nothing late, and words spaced as in prose."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from rnntext.text.decoder import Decoder, PieceDecoder, WordDecoder, byte_characters

SAMPLE = "naïve café 你好 🙂"
BYTES = [bytes([byte]) for byte in range(256)]
TEXT = st.text(
    st.sampled_from("\n \t\rabcé'你🙂\u0301\ufffd") | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)
# Bytes that make characters, break off or are none at all.
BROKEN = st.binary(max_size=12) | st.lists(
    st.sampled_from([b"\xe4", b"\xbd", b"\xa0", b"\xf0", b"\x9f", b"a", b"\n", b"\xc3", b"\xf5"]),
    max_size=12,
).map(b"".join)
QUICK = settings(max_examples=100, deadline=None)


def pushed(decoder: Decoder, ids: Iterable[int]) -> list[str]:
    return [decoder.push(token_id) for token_id in ids]


@st.composite
def in_pieces(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes cut anywhere."""
    data = draw(content)
    cuts = sorted(draw(st.sets(st.integers(0, len(data)))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# Pieces


@QUICK
@given(pieces=in_pieces(TEXT.map(str.encode)))
def test_every_character_is_given_whole_and_as_soon_as_it_is(pieces: list[bytes]) -> None:
    decoder = PieceDecoder(pieces, prefixed=False)
    given_out = ""
    for index in range(len(pieces)):
        given_out += decoder.push(index)
        assert given_out == b"".join(pieces[: index + 1]).decode("utf-8", "ignore")
    assert decoder.flush() == ""


@QUICK
@given(pieces=in_pieces(BROKEN))
def test_any_bytes_decode_as_they_do_at_once(pieces: list[bytes]) -> None:
    decoder = PieceDecoder(pieces, prefixed=False)
    found = "".join(pushed(decoder, range(len(pieces)))) + decoder.flush()
    assert found == b"".join(pieces).decode("utf-8", "replace")


def test_what_is_held_back() -> None:
    decoder = PieceDecoder(BYTES, prefixed=False)
    assert pushed(decoder, "aé🙂b".encode()) == ["a", "", "é", "", "", "", "🙂", "b"]
    assert decoder.push("你".encode()[0]) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""


@pytest.mark.parametrize("byte", [0x80, 0xF8, 0xFF])
def test_a_byte_that_begins_no_character_is_not_held_back(byte: int) -> None:
    decoder = PieceDecoder(BYTES, prefixed=False)
    assert decoder.push(byte) == "\ufffd"
    assert decoder.flush() == ""


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (f" {SAMPLE}", SAMPLE),
        ("  two", " two"),
        (" ", ""),
        ("none", "none"),
        (" a b\n c d\n\n e\n\n  f", "a b\nc d\n\ne\n\n f"),
    ],
)
def test_the_space_before_each_line(text: str, without: str) -> None:
    for prefixed, expected in ((True, without), (False, text)):
        decoder = PieceDecoder(BYTES, prefixed=prefixed)
        assert "".join(pushed(decoder, text.encode())) == expected
    # Other pieces, the same line.
    decoder = PieceDecoder([b" wo", b"rd", b"\n", b"x y"], prefixed=True)
    assert pushed(decoder, [0, 0, 1, 2, 0, 1, 2, 3, 0]) == [
        *("wo", " wo", "rd"),
        *("\n", "wo", "rd"),
        *("\n", "x y", " wo"),
    ]


def test_the_characters_that_stand_for_bytes() -> None:
    characters = byte_characters()
    assert len(characters) == 256
    assert set(characters) == set(pre_tokenizers.ByteLevel.alphabet())
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for text in map(chr, [*range(0x800), *range(0x800, 0xD800, 31), *range(0xE000, 0x10FFFF, 997)]):
        ((spelled, _),) = splitter.pre_tokenize_str(text)
        assert spelled == "".join(characters[byte] for byte in text.encode())


# Words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("She did n't count , and", "She didn't count, and"),
        ("Mara ’s lamps , they 'LL DO N'T", "Mara’s lamps, they'LL DON'T"),
        ("“ well done ! ” ( and more ) .", "“well done!” (and more)."),
        ("pay $ 5 or 50 % ; [ a : b ] …", "pay $5 or 50%; [a: b]…"),
        ("wait ... no ?", "wait... no?"),
        ("# tag @ you { x } « y »", "#tag @you {x} «y»"),
        ('he said " well " and " no " , twice', 'he said "well" and "no", twice'),
        ('a " b | " c " d | e " f', 'a "b\n"c" d\ne "f'),
        (", starts | 's too | . | | a", ", starts\n's too\n.\n\na"),
        (f"{SAMPLE} <unk> , nothing n't's 'sx", f"{SAMPLE} <unk>, nothing n't's 'sx"),
    ],
)
def test_words_are_spaced_as_in_prose_or_stand_apart(words: str, text: str) -> None:
    ids = words.split()
    spelling = [*sorted(set(ids) - {"|"}), "|"]
    line_end = len(spelling) - 1
    for presplit, expected in ((False, text), (True, words.replace(" |", "|").replace("| ", "|"))):
        decoder = WordDecoder(spelling.__getitem__, line_end, presplit=presplit)
        pieces = pushed(decoder, map(spelling.index, ids))
        assert "".join(pieces) == expected.replace("|", "\n")
        # Each word is given at once, with the space that it brings.
        assert [piece.removeprefix(" ").replace("\n", "|") for piece in pieces] == ids
        assert decoder.flush() == ""
