"""Words spelled in tokens that are smaller than words.

Knows: which characters make up a word, and the effect of each token of a vocabulary on the
beginning of a word: it continues the word, ends it, or makes it invalid. Does not know:
probabilities or the search, nor which scripts are written without spaces (`text/scripts.py`). The
rules are in `predict.py`.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnntext.text.scripts import is_unspaced
from rnntext.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]

# Effects of a token on the prefix of a word. ENDS: the word ends before the token; ENDS_INSIDE: the
# word ends inside the token.
CONTINUES, ENDS, ENDS_INSIDE, INVALID = range(4)


@dataclass(frozen=True, slots=True)
class PrefixState:
    """The state of the word scanner after a prefix. It decides the effect of every token."""

    # In the classes of _CharacterClasses: "w" inside the word, "wc" after an apostrophe or hyphen
    # inside it. Before the word: "", or directly after the letters of another one, AFTER_UNIT where
    # they have no spaces between words and AFTER_WORD where they do.
    classes: str = ""
    partial: bytes = b""  # the first bytes of an incomplete UTF-8 character


AFTER_UNIT, AFTER_WORD = "U", "W"


def state_after(beginning: str) -> PrefixState:
    """The state after a prefix of complete characters."""
    return PrefixState(_scan("", beginning.translate(CHARACTER_CLASSES))[1])


@dataclass(frozen=True, slots=True)
class TokenEffects:
    """The effect of each token on a prefix in one state."""

    effect: Array  # (V)
    ids: list[Array]  # ids of the tokens, by effect
    ending: Array  # (V): index into `endings`, for tokens with the effect ENDS_INSIDE
    endings: list[str]  # what such a token adds to the word

    def with_effect(self, effect: int, ids: Array | None) -> Array:
        """The tokens with this effect, among `ids` (None: all)."""
        return self.ids[effect] if ids is None else np.asarray(ids[self.effect[ids] == effect])


class SubwordVocabulary:
    """A vocabulary of pieces of words, and the effect of each piece on the prefix of a word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._unk_id = tokenizer.unk_id
        order = sorted(range(len(self._pieces)), key=self._pieces.__getitem__)
        self._order = np.array(order, np.int64)
        self._sorted = [self._pieces[i] for i in order]
        self._decoded = _DecodedPieces(self._pieces)
        # Pieces that begin with a continuation byte of UTF-8.
        continuing = [i for i in order if self._pieces[i][:1] in _CONTINUATION_BYTES]
        self._continuing = np.array(continuing, np.int64)
        self._all_ids = np.arange(len(order))
        self._effects: dict[PrefixState, TokenEffects] = {}

    def matching(self, required: bytes) -> tuple[Array, Array]:
        """Tokens that begin with the required bytes, and tokens that are a proper prefix of
        them."""
        size = len(required)
        first = bisect_left(self._sorted, required)
        last = bisect_right(self._sorted, required, key=lambda piece: piece[:size])
        partly = []
        for length in range(1, size):
            place = bisect_left(self._sorted, required[:length], hi=first)
            if place < first and self._sorted[place] == required[:length]:
                partly.append(int(self._order[place]))
        return self._order[first:last], np.array(partly, np.int64)

    def advance(self, state: PrefixState, token: int) -> tuple[str, PrefixState]:
        """The text that a token adds to a prefix that it continues, and the state after it."""
        decoded = _decode(state.partial + self._pieces[token])
        _, classes, _ = _scan(state.classes, decoded.classes)
        return decoded.text, PrefixState(classes, decoded.partial)

    def size(self, token: int) -> int:
        """The number of bytes of a token."""
        return len(self._pieces[token])

    def effects(self, state: PrefixState) -> TokenEffects:
        """The effect of each token on a prefix in this state (cached)."""
        effects = self._effects.get(state)
        if effects is None:
            effects = self._effects[state] = self._compute_effects(state)
        return effects

    def _compute_effects(self, state: PrefixState) -> TokenEffects:
        ids, decoded, default = self._all_ids, self._decoded, INVALID
        if state.partial:
            # Any other token leaves the character incomplete: bytes that are not text, class `x`.
            ids = self._continuing
            decoded = _DecodedPieces([state.partial + self._pieces[i] for i in ids.tolist()])
            default, _, _ = _scan(state.classes, "x")
        scans = [_scan(state.classes, classes) for classes in decoded.distinct_classes]
        effect = np.full(len(self._pieces), default, np.int8)
        effect[ids] = np.array([scan[0] for scan in scans], np.int8)[decoded.class_index]
        ending = np.zeros(len(self._pieces), np.int64)
        endings: dict[str, int] = {}
        for i in np.flatnonzero(effect[ids] == ENDS_INSIDE).tolist():
            _, _, part = scans[decoded.class_index[i]]
            ending[ids[i]] = endings.setdefault(decoded.texts[i][part], len(endings))
        if self._unk_id is not None:
            # An unknown token may or may not be a letter of the word.
            effect[self._unk_id] = INVALID
        by_effect = [np.flatnonzero(effect == each) for each in range(4)]
        return TokenEffects(effect, by_effect, ending, list(endings))


def unfinished_word(chunk: str) -> str:
    """The word at the end of a chunk, if one more letter would continue it; with an apostrophe or
    hyphen after it. Empty if there is none."""
    for match in _UNFINISHED_WORD.finditer(chunk.translate(CHARACTER_CLASSES)):
        if match.end() == len(chunk):
            return chunk[match.start() :]
    return ""


def place_after(chunk: str) -> str:
    """What a word directly after a chunk comes after, see `PrefixState`: AFTER_UNIT where the chunk
    ends in a letter of a script without spaces between words, AFTER_WORD where it ends in another
    word and has such letters before that, else ""."""
    found = _UNSPACED_END.search(chunk.translate(CHARACTER_CLASSES))
    return "" if found is None else AFTER_WORD if found[1] else AFTER_UNIT


class _DecodedPieces:
    """Many decoded pieces. They share few distinct strings of character classes, so that each of
    these is scanned once."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        decoded = [_decode(piece) for piece in pieces]
        distinct: dict[str, int] = {}
        index = [distinct.setdefault(piece.classes, len(distinct)) for piece in decoded]
        self.texts = [piece.text for piece in decoded]
        self.distinct_classes = list(distinct)
        self.class_index = np.array(index, np.int64)  # of each piece, into `distinct_classes`


class _DecodedPiece(NamedTuple):
    """Bytes decoded as UTF-8."""

    text: str
    classes: str  # of its characters, see _CharacterClasses; a "t" at the end stands for `partial`
    partial: bytes  # the first bytes of an incomplete character at the end


def _decode(data: bytes) -> _DecodedPiece:
    try:
        text = data.decode()
        return _DecodedPiece(text, text.translate(CHARACTER_CLASSES), b"")
    except UnicodeDecodeError:
        decoder = _UTF_8("surrogateescape")
        text = decoder.decode(data)
        partial, _ = decoder.getstate()
        classes = text.translate(CHARACTER_CLASSES) + ("t" if partial else "")
        return _DecodedPiece(text, classes, partial)


def _scan(before: str, classes: str) -> tuple[int, str, slice]:
    """Continue a prefix whose classes end in `before` with a piece of these `classes`.

    Returns the effect, the classes of the state after the piece, and the part of the piece's text
    that belongs to a word that ends inside it.
    """
    joined = before + classes
    match = _FIRST_WORD.match(joined)
    if match is None:
        only_space = set(classes) <= {"s", "t"}
        place = "" if "s" in classes else before
        return (CONTINUES if only_space else INVALID), place, slice(0)
    rest = joined[match.end() :].removesuffix("t")
    if match[1][0] == "w" and rest in ("", "c"):
        return CONTINUES, "w" + rest, slice(0)
    start, end = match.span(1)
    if end <= len(before):
        return ENDS, "", slice(0)
    return ENDS_INSIDE, "", slice(max(start - len(before), 0), end - len(before))


class _CharacterClasses(dict[int, str]):
    """The class of each character, for `str.translate`: `u` a letter of a script without spaces
    between words, `w` another letter, a digit or an underscore, `m` a combining mark, `c` an
    apostrophe or hyphen, `p` another sign, `s` white space, `n` the end of a line, `x` anything
    else."""

    def __missing__(self, code_point: int) -> str:
        self[code_point] = found = self._class_of(chr(code_point))
        return found

    @staticmethod
    def _class_of(character: str) -> str:
        if character.isspace():
            return "n" if character == "\n" else "s"
        if character in "'’-‐":
            return "c"
        if character == "_":
            return "w"
        if is_unspaced(character):
            return "u"
        classes = {"L": "w", "N": "w", "M": "m", "P": "p", "S": "p"}
        return classes.get(unicodedata.category(character)[0], "x")


CHARACTER_CLASSES = _CharacterClasses()
# A mark is a unit after a letter that it belongs to, and no other word continues where one ended.
_FIRST_WORD = re.compile(
    rf"(?:{AFTER_UNIT}|{AFTER_WORD}(?![wm]))?s*"
    rf"(u[um]*|(?<={AFTER_UNIT})m[um]*|w(?:[wm]|cw)*|[pc])"
)
_UNFINISHED_WORD = re.compile(r"w(?:[wm]|cw)*c?")
_UNSPACED_END = re.compile(r"um*([^u]*[wm])?$")
_UTF_8 = codecs.getincrementaldecoder("utf-8")
_CONTINUATION_BYTES = frozenset(bytes([byte]) for byte in range(0x80, 0xC0))
