"""What each token of a vocabulary does to the beginning of a word, on tokens chosen by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rnntext.runtime.words import (
    AFTER_UNIT,
    AFTER_WORD,
    CONTINUES,
    ENDS,
    ENDS_INSIDE,
    INVALID,
    PrefixState,
    SubwordVocabulary,
    place_after,
    state_after,
    unfinished_word,
)

# In no order, with the first and the last bytes of characters; no token is empty.
PIECES = [
    b"the", b"\n", b" the", b"th", b"t", b" ", b"  ", b"e", b"'", b"'s", b"''", b"s!", b"!", b"!!",
    b" the ", b"the ", b"x.y", b"the'", b"the''", b"e'\xc3", b"th\xc3", b"!\xc3", b" \xc3",
    b"\xc3", b"\xa9", b"\xa9!", b"\xa9\xa9", b"\x80", b"\xbf", b"\xe4", b"\xe4\xbd", b"\xbd",
    b"\xbd\xa0", b"\xa0", b"_", b"7", b"$", b"\t", b"\xcc\x81", b"-", b"\x00", b"<unk>",
]  # fmt: skip
UNKNOWN = PIECES.index(b"<unk>")
ID = {piece: number for number, piece in enumerate(PIECES)}


def vocabulary(unk_id: int | None = UNKNOWN) -> SubwordVocabulary:
    tokenizer: Any = SimpleNamespace(pieces=PIECES, unk_id=unk_id)
    return SubwordVocabulary(tokenizer)


# The effect of tokens on a prefix, and what is added to a word that ends inside one.
BEFORE = {
    b"the": CONTINUES, b"\n": INVALID, b" the": CONTINUES, b" ": CONTINUES, b"  ": CONTINUES,
    b"e": CONTINUES, b"'": "'", b"'s": "'", b"''": "'", b"s!": "s", b"!": "!", b"!!": "!",
    b" the ": "the", b"the ": "the", b"x.y": "x", b"the'": CONTINUES, b"the''": "the",
    b"e'\xc3": CONTINUES, b"th\xc3": CONTINUES, b"!\xc3": "!", b" \xc3": CONTINUES,
    b"\xc3": CONTINUES, b"\xa9": INVALID, b"\xa9!": INVALID, b"_": CONTINUES, b"7": CONTINUES,
    b"$": "$", b"\t": CONTINUES, b"\xcc\x81": INVALID, b"-": "-", b"\x00": INVALID,
    b"<unk>": INVALID,
}  # fmt: skip
INSIDE = {
    b"the": CONTINUES, b"\n": ENDS, b" the": ENDS, b" ": ENDS, b"e": CONTINUES, b"'": CONTINUES,
    b"'s": CONTINUES, b"''": ENDS, b"s!": "s", b"!": ENDS, b"the ": "the", b"x.y": "x",
    b"the'": CONTINUES, b"the''": "the", b"e'\xc3": CONTINUES, b"th\xc3": CONTINUES,
    b" \xc3": ENDS, b"\xc3": CONTINUES, b"\xa9": ENDS, b"_": CONTINUES, b"7": CONTINUES, b"$": ENDS,
    b"\t": ENDS, b"\xcc\x81": CONTINUES, b"-": CONTINUES, b"\x00": ENDS, b"<unk>": INVALID,
}  # fmt: skip
AFTER_APOSTROPHE = {
    b"the": CONTINUES, b" the": ENDS, b"e": CONTINUES, b"'": ENDS, b"'s": ENDS, b"s!": "s",
    b"the ": "the", b"\xc3": CONTINUES, b"\xcc\x81": ENDS, b"!": ENDS, b"-": ENDS, b"\n": ENDS,
}  # fmt: skip
# After the first byte of é, À or ÿ.
IN_A_LETTER = {
    b"\xa9": CONTINUES, b"\x80": CONTINUES, b"\xbf": CONTINUES, b"\xa9!": "é", b"\xa9\xa9": "é",
    b"e": ENDS, b" ": ENDS, b"\xc3": ENDS, b"!": ENDS,
}  # fmt: skip
IN_THE_FIRST_LETTER = {
    b"\xa9": CONTINUES, b"\xa9!": "é", b"e": INVALID, b" ": INVALID, b"\xc3": INVALID,
}  # fmt: skip
# After the first byte of 你.
IN_A_CHARACTER = {
    b"\xbd": CONTINUES, b"\xbd\xa0": ENDS, b"\xa0": CONTINUES, b"\xe4\xbd": ENDS,
}  # fmt: skip
IN_THE_FIRST_CHARACTER = {
    b"\xbd": CONTINUES, b"\xbd\xa0": "你", b"\xa0": CONTINUES, b"\xe4\xbd": INVALID,
}  # fmt: skip
# Directly after 你, and directly after a word of letters that stands after 你.
AFTER_A_UNIT = {
    b"the": CONTINUES, b" the": CONTINUES, b" ": CONTINUES, b"!": "!", b"'": "'", b"7": CONTINUES,
    b"\xcc\x81": "\u0301", b"\n": INVALID, b"\xe4": CONTINUES, b"\xa9": INVALID, b"x.y": "x",
}  # fmt: skip
AFTER_A_WORD = {
    b"the": INVALID, b" the": CONTINUES, b" ": CONTINUES, b"!": "!", b"7": INVALID, b"s!": INVALID,
    b"\xcc\x81": INVALID, b"\n": INVALID, b"\xe4": CONTINUES, b" the ": "the",
}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (PrefixState(), BEFORE),
        (PrefixState("w"), INSIDE),
        (PrefixState("wc"), AFTER_APOSTROPHE),
        (PrefixState("w", b"\xc3"), IN_A_LETTER),
        (PrefixState("", b"\xc3"), IN_THE_FIRST_LETTER),
        (PrefixState("w", b"\xe4"), IN_A_CHARACTER),
        (PrefixState("", b"\xe4"), IN_THE_FIRST_CHARACTER),
        (PrefixState(AFTER_UNIT), AFTER_A_UNIT),
        (PrefixState(AFTER_UNIT, b"\xe4"), IN_THE_FIRST_CHARACTER),
        (PrefixState(AFTER_WORD), AFTER_A_WORD),
        (PrefixState(AFTER_WORD, b"\xe4"), IN_THE_FIRST_CHARACTER),
    ],
)
def test_the_effect_of_each_token(state: PrefixState, wanted: dict[bytes, int | str]) -> None:
    words = vocabulary()
    effects = words.effects(state)
    for piece, effect in wanted.items():
        token = ID[piece]
        if isinstance(effect, str):
            assert effects.effect[token] == ENDS_INSIDE, piece
            assert effects.endings[effects.ending[token]] == effect, piece
        else:
            assert effects.effect[token] == effect, piece
    assert len(effects.endings) == len(set(effects.endings))
    assert words.effects(state) is effects
    # The same, by effect.
    assert len(effects.ids) == 4
    for effect, ids in enumerate(effects.ids):
        assert ids.tolist() == np.flatnonzero(effects.effect == effect).tolist()
        assert effects.with_effect(effect, None) is ids
        some = np.array([ID[b"!"], ID[b"\n"], ID[b"e"], ID[b"s!"]])
        found = effects.with_effect(effect, some)
        assert found.tolist() == [token for token in some.tolist() if token in ids.tolist()]


def test_without_an_unknown_token_its_spelling_is_text() -> None:
    token = ID[b"<unk>"]
    effects = vocabulary(None).effects(PrefixState())
    assert effects.effect[token] == ENDS_INSIDE
    assert effects.endings[effects.ending[token]] == "<"


def test_a_prefix_advances() -> None:
    words = vocabulary()
    for state, piece, text, after in (
        (PrefixState(), b" the", " the", PrefixState("w")),
        (PrefixState(), b"  ", "  ", PrefixState()),
        (PrefixState(), b"the'", "the'", PrefixState("wc")),
        (PrefixState("w"), b"'", "'", PrefixState("wc")),
        (PrefixState("wc"), b"e", "e", PrefixState("w")),
        (PrefixState("w"), b"th\xc3", "th", PrefixState("w", b"\xc3")),
        (PrefixState("w"), b"e'\xc3", "e'", PrefixState("wc", b"\xc3")),
        (PrefixState(), b" \xc3", " ", PrefixState("", b"\xc3")),
        (PrefixState("", b"\xc3"), b"\xa9", "é", PrefixState("w")),
        (PrefixState("w", b"\xe4"), b"\xbd", "", PrefixState("w", b"\xe4\xbd")),
        (PrefixState(AFTER_UNIT), b"\xe4\xbd", "", PrefixState(AFTER_UNIT, b"\xe4\xbd")),
        (PrefixState(AFTER_WORD), b"  ", "  ", PrefixState()),
        (PrefixState(AFTER_UNIT), b"the", "the", PrefixState("w")),
    ):
        assert words.advance(state, ID[piece]) == (text, after), (state, piece)
    assert [words.size(ID[piece]) for piece in (b"the", b"\n", b"\xe4\xbd")] == [3, 1, 2]


@pytest.mark.parametrize(
    "required",
    [b"t", b"th", b"the", b"the ", b"there", b" the house", b"\xe4\xbd\xa0", b"\xff\xff", b"\x00",
     b"''", b"'''", b"z", b"\t\t", b"!!?", b"\xc3\xa9"],
)  # fmt: skip
def test_tokens_that_match_required_bytes(required: bytes) -> None:
    """Those that begin with the bytes, and those that the bytes begin with."""
    whole, partly = vocabulary().matching(required)
    assert sorted(whole.tolist()) == [
        number for number, piece in enumerate(PIECES) if piece.startswith(required)
    ]
    assert sorted(partly.tolist()) == [
        number
        for number, piece in enumerate(PIECES)
        if required.startswith(piece) and piece != required
    ]


def test_the_state_after_a_beginning() -> None:
    for beginning, classes in (
        ("", ""), (" ", ""), ("th", "w"), (" th", "w"), ("don'", "wc"), ("don’t", "w"),
        ("well-", "wc"), ("é", "w"), ("e\u0301", "w"), ("_", "w"), ("7", "w"),
    ):  # fmt: skip
        assert state_after(beginning) == PrefixState(classes), beginning


# Each with what it ends after the prefix 我, and in the middle of `the`.
UNITS = {
    "は": ("は", ENDS), "主人": ("主人", ENDS), " 主": ("主", ENDS), "主、": ("主", ENDS),
    "人the": ("人", ENDS), "กิน": ("กิน", ENDS), "ิน": ("ิน", "ิ"), "々": ("々", ENDS),
    "ー": ("ー", ENDS), "。": ("。", ENDS), "e人": ("e", "e"), "三": ("三", ENDS),
    "한국": (CONTINUES, CONTINUES), "é": (CONTINUES, CONTINUES),
}  # fmt: skip


def test_the_letters_that_a_token_spells_are_a_unit_where_no_spaces_are() -> None:
    pieces = [piece.encode() for piece in UNITS]
    tokenizer: Any = SimpleNamespace(pieces=pieces, unk_id=None)
    words = SubwordVocabulary(tokenizer)
    for column, state in enumerate((PrefixState(AFTER_UNIT), PrefixState("w"))):
        effects = words.effects(state)
        for token, (piece, wanted) in enumerate(UNITS.items()):
            effect = wanted[column]
            if isinstance(effect, str):
                assert effects.effect[token] == ENDS_INSIDE, piece
                assert effects.endings[effects.ending[token]] == effect, piece
            else:
                assert effects.effect[token] == effect, piece
    # A unit and the first bytes of the next one.
    tokenizer.pieces = ["主".encode() + b"\xe4", "主".encode() + b"\xff"]
    effects = SubwordVocabulary(tokenizer).effects(PrefixState())
    assert effects.ids[ENDS_INSIDE].tolist() == [0, 1]
    assert effects.endings == ["主"]


def test_what_a_word_directly_after_a_chunk_comes_after() -> None:
    for chunk, place in (
        ("", ""), ("the", ""), ("你", AFTER_UNIT), ("the你", AFTER_UNIT), ("กิ", AFTER_UNIT),
        ("你the", AFTER_WORD), ("你(e\u0301", AFTER_WORD), ("你7", AFTER_WORD),
        ("你the好", AFTER_UNIT), ("カー", AFTER_UNIT),
        ("你、", ""), ("你the,", ""), ("你-", ""), ("한국", ""),
    ):  # fmt: skip
        assert place_after(chunk) == place, chunk


def test_the_unfinished_word_at_the_end_of_a_chunk() -> None:
    for chunk, word in (
        ("", ""), ("the", "the"), ("the ", ""), ("a the", "the"), ("don't", "don't"),
        ("(don'", "don'"), ("don''", ""), ("x.", ""), ("x.y", "y"), ("e\u0301", "e\u0301"),
        ("snake_case", "snake_case"), ("well-known‐", "well-known‐"), ("the\n", ""), ("'", ""),
        ("'s", "s"), ("a\u00a0b", "b"), ("3$", ""),
    ):  # fmt: skip
        assert unfinished_word(chunk) == word, chunk
