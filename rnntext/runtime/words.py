"""What a word is where tokens are pieces of words.

Knows: which characters make a word, and what each token of a vocabulary does to the beginning of
one: goes on, ends, or leads nowhere. Does not know: probabilities or the search; for the rules
see `predict.py`.
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

from rnntext.text.tokenizer import Tokenizer

Array = npt.NDArray[Any]

# What a token does to the prefix of a word.
GOES_ON, ENDS, ENDS_INSIDE, LEADS_NOWHERE = range(4)


@dataclass(frozen=True, slots=True)
class Mode:
    """How far a prefix has come: all that decides what a token does to it."""

    letters: str = ""  # see _Letters: none yet, "w" in a word, "wc" after its apostrophe or hyphen
    held: bytes = b""  # the first bytes of a character


def mode_after(beginning: str) -> Mode:
    """The mode of a prefix of whole characters."""
    return Mode(_classify("", beginning.translate(LETTERS))[1])


@dataclass(frozen=True, slots=True)
class Effects:
    """What each token does to a prefix."""

    effect: Array  # (V)
    ids: list[Array]  # the tokens with each effect
    ending: Array  # (V): for a token inside which the word ends, which of `endings` it adds
    endings: list[str]

    def having(self, effect: int, ids: Array | None) -> Array:
        """The tokens, of `ids` or else of all, with this effect."""
        return self.ids[effect] if ids is None else np.asarray(ids[self.effect[ids] == effect])


class Pieces:
    """A vocabulary of pieces of words, and what each does to the prefix of a word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._pieces = tokenizer.pieces
        self._unk_id = tokenizer.unk_id
        order = sorted(range(len(self._pieces)), key=self._pieces.__getitem__)
        self._order = np.array(order, np.int64)
        self._sorted = [self._pieces[i] for i in order]
        self._chunks = _Chunks(self._pieces)
        # Those that begin with bytes from inside a character.
        inner = [i for i in order if self._pieces[i][:1] in _INNER_BYTES]
        self._inner = np.array(inner, np.int64)
        self._every = np.arange(len(order))
        self._effects: dict[Mode, Effects] = {}

    def agreeing(self, required: bytes) -> tuple[Array, Array]:
        """The tokens that begin with the required bytes, and those that are less than these but
        begin them."""
        size = len(required)
        first = bisect_left(self._sorted, required)
        last = bisect_right(self._sorted, required, key=lambda piece: piece[:size])
        inside = []
        for length in range(1, size):
            place = bisect_left(self._sorted, required[:length], hi=first)
            if place < first and self._sorted[place] == required[:length]:
                inside.append(int(self._order[place]))
        return self._order[first:last], np.array(inside, np.int64)

    def follow(self, mode: Mode, token: int) -> tuple[str, Mode]:
        """What a token that does not end a prefix adds to it, and how far it has come then."""
        chunk = _decode(mode.held + self._pieces[token])
        _, letters, _ = _classify(mode.letters, chunk.letters)
        return chunk.text, Mode(letters, chunk.held)

    def size(self, token: int) -> int:
        """The bytes of a token."""
        return len(self._pieces[token])

    def effects(self, mode: Mode) -> Effects:
        """What each token does to a prefix that has come so far."""
        found = self._effects.get(mode)
        if found is None:
            found = self._effects[mode] = self._find_effects(mode)
        return found

    def _find_effects(self, mode: Mode) -> Effects:
        ids, chunks, others = self._every, self._chunks, LEADS_NOWHERE
        if mode.held:
            # A token that does not go on the held character leaves bytes that are no text.
            ids = self._inner
            chunks = _Chunks([mode.held + self._pieces[i] for i in ids.tolist()])
            others, _, _ = _classify(mode.letters, "x")
        found = [_classify(mode.letters, letters) for letters in chunks.kinds]
        effect = np.full(len(self._pieces), others, np.int8)
        effect[ids] = np.array([each for each, _, _ in found], np.int8)[chunks.kind]
        ending = np.zeros(len(self._pieces), np.int64)
        endings: dict[str, int] = {}
        for i in np.flatnonzero(effect[ids] == ENDS_INSIDE).tolist():
            _, _, part = found[chunks.kind[i]]
            ending[ids[i]] = endings.setdefault(chunks.texts[i][part], len(endings))
        if self._unk_id is not None:
            # It may be a letter of the word as well as not.
            effect[self._unk_id] = LEADS_NOWHERE
        having = [np.flatnonzero(effect == each) for each in range(4)]
        return Effects(effect, having, ending, list(endings))


def word_at_end(chunk: str) -> str:
    """The word at the end that a letter more would go on, an apostrophe or hyphen after it
    included."""
    for match in _UNFINISHED_WORD.finditer(chunk.translate(LETTERS)):
        if match.end() == len(chunk):
            return chunk[match.start() :]
    return ""


class _Chunks:
    """Many chunks, the letters of which are mostly alike."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        chunks = [_decode(piece) for piece in pieces]
        kinds: dict[str, int] = {}
        kind = [kinds.setdefault(chunk.letters, len(kinds)) for chunk in chunks]
        self.texts = [chunk.text for chunk in chunks]
        self.kinds = list(kinds)  # the letters that there are
        self.kind = np.array(kind, np.int64)  # which of them each chunk has


class _Chunk(NamedTuple):
    """Bytes read as text."""

    text: str
    letters: str  # what its characters are, see _Letters; "t" at the end stands for `held`
    held: bytes  # the first bytes of a character at the end


def _decode(data: bytes) -> _Chunk:
    try:
        text = data.decode()
        return _Chunk(text, text.translate(LETTERS), b"")
    except UnicodeDecodeError:
        decoder = _UTF_8("surrogateescape")
        text = decoder.decode(data)
        held, _ = decoder.getstate()
        return _Chunk(text, text.translate(LETTERS) + ("t" if held else ""), held)


def _classify(before: str, letters: str) -> tuple[int, str, slice]:
    """What a chunk does to a prefix: the effect, the mode's letters after it, and which part of
    the chunk's text is of the word that ends in it."""
    whole = before + letters
    match = _FIRST_WORD.match(whole)
    if match is None:
        only_space = set(whole) <= {"s", "t"}
        return (GOES_ON if only_space else LEADS_NOWHERE), "", slice(0)
    rest = whole[match.end() :].removesuffix("t")
    if match[1][0] == "w" and rest in ("", "c"):
        return GOES_ON, "w" + rest, slice(0)
    start, end = match.span(1)
    if end <= len(before):
        return ENDS, "", slice(0)
    return ENDS_INSIDE, "", slice(max(start - len(before), 0), end - len(before))


class _Letters(dict[int, str]):
    """What a character is to words, in one letter: a letter or digit `w`, combining mark `m`,
    apostrophe or hyphen `c`, other sign `p`, white space `s`, line end `n`, none of these `x`."""

    def __missing__(self, code_point: int) -> str:
        self[code_point] = letter = self._letter(chr(code_point))
        return letter

    @staticmethod
    def _letter(character: str) -> str:
        if character.isspace():
            return "n" if character == "\n" else "s"
        if character in "'’-‐":
            return "c"
        if character == "_":
            return "w"
        of_category = {"L": "w", "N": "w", "M": "m", "P": "p", "S": "p"}
        return of_category.get(unicodedata.category(character)[0], "x")


LETTERS = _Letters()
_FIRST_WORD = re.compile(r"s*(w(?:[wm]|cw)*|[pc])")
_UNFINISHED_WORD = re.compile(r"w(?:[wm]|cw)*c?")
_UTF_8 = codecs.getincrementaldecoder("utf-8")
_INNER_BYTES = frozenset(bytes([byte]) for byte in range(0x80, 0xC0))
