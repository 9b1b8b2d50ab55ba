"""The features by which a linear model tells whether a character continues a token.

Knows: the characters, runs of letters and known tokens around a place in a text, and how each such
feature is hashed to a slot of a table of weights. Does not know: how weights are learned
(`training/linear/splitting.py`), or how a text is split with them (`characters.py`).

The features are those of Chinese word segmentation as a labelling of characters (Xue 2003; Low, Ng
and Guo 2005): characters, n-grams of them, classes of characters, and the longest known token that
begins, ends or continues at a place. For languages with spaces there are runs of letters as well:
whether a space is inside a Vietnamese word depends on the syllables around it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, cycle
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SLOT_BITS = 20
SLOTS = 1 << _SLOT_BITS  # of a table of weights
LONGEST_KNOWN = 12  # characters of a token that is looked up

_REACH = 4  # characters before a text and after it that are read as nothing
# Places around a character, whose code points or classes make one feature together.
_GRAMS = (
    *((place,) for place in range(-2, 3)),
    (-2, -1), (-1, 0), (0, 1), (1, 2), (-1, 1),
    (-2, -1, 0), (-1, 0, 1), (0, 1, 2),
    (-2, -1, 0, 1), (-1, 0, 1, 2),
)  # fmt: skip
_CLASS_GRAMS = (
    (0,), (-1, 0), (0, 1), (-2, -1, 0), (-1, 0, 1), (0, 1, 2), (-2, -1, 0, 1), (-2, -1, 0, 1, 2),
)  # fmt: skip
# Runs around that of a character, that of the character being 0.
_RUN_GRAMS = ((0,), (-1,), (1,), (-1, 1), (-1, 0), (0, 1), (-2, 0), (0, 2), (-3, -1))
_REACH_RUNS = 3

# Odd constants that spread bits, see `ngrams.py`.
_FACTORS = tuple(map(np.uint32, (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x7FEB352D)))

_NOTHING, _SPACE, _HIRAGANA, _KATAKANA, _IDEOGRAPH = range(5)
_LETTER, _CAPITAL, _SMALL, _DIGIT, _MARK = _LETTERS = range(5, 10)
# The categories of Unicode that are classes of their own, from 10 on; 9 classes are above.
_CATEGORIES = {
    **dict.fromkeys(("Lo", "Lm"), _LETTER),
    **dict.fromkeys(("Lu", "Lt"), _CAPITAL),
    "Ll": _SMALL,
    **dict.fromkeys(("Nd", "Nl", "No"), _DIGIT),
    **dict.fromkeys(("Mn", "Mc", "Me"), _MARK),
    **{name: 10 + n for n, name in enumerate(("Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Pc", "Cf"))},
}  # fmt: skip
_OTHER = 31
_CLASSES = 32
CLASS_PAIRS = _CLASSES**2

FEATURES = len(_GRAMS) + len(_CLASS_GRAMS) + len(_RUN_GRAMS) + 6  # 6: of known tokens
# A feature is hashed with its number: a character before a place is not the same after it.
_SALTS = (np.arange(1, FEATURES + 1) * 0x165667B1 & 0xFFFFFFFF).astype(np.uint32)


@cache
def _class_and_lower(point: int) -> tuple[int, int]:
    """Return the class of a character, and the code point of its small letter."""
    character = chr(point)
    lower = ord(character.lower()[0])
    if character.isspace():
        return _SPACE, lower
    if "\u3041" <= character <= "\u309f":
        return _HIRAGANA, lower
    if "\u30a0" <= character <= "\u30ff":
        return _KATAKANA, lower
    category = unicodedata.category(character)
    if category == "Lo" and unicodedata.name(character, "").startswith("CJK"):
        return _IDEOGRAPH, lower
    return _CATEGORIES.get(category, _OTHER), lower


def _spread(hashes: Array) -> Array:
    return np.asarray((hashes ^ (hashes >> np.uint32(15))) * _FACTORS[-1])


def _slots(hashes: Array) -> Array:
    """Return the slot of each hash: (N) int32. The highest bits depend on all others."""
    return (_spread(hashes) >> np.uint32(32 - _SLOT_BITS)).astype(np.int32)


def _combined(values: Sequence[Array]) -> Array:
    """Return hashes of what some arrays hold at the same place. (N) uint32."""
    hashes: Array = values[0] * _FACTORS[0]
    for value, factor in zip(values[1:], cycle(_FACTORS[1:]), strict=False):
        hashes = hashes + value * factor
    return hashes


class Characters:
    """The characters of texts, one text after the other: N in all."""

    def __init__(self, texts: Sequence[str]) -> None:
        joined = ("\0" * _REACH).join(["", *texts, ""])
        points: Array = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        gaps = _REACH * np.arange(1, len(texts) + 1)
        self._places: Array = np.arange(self.lengths.sum()) + np.repeat(gaps, self.lengths)
        distinct, of_point = np.unique(points, return_inverse=True)
        found = [_class_and_lower(point) for point in distinct.tolist()]
        table = np.array(found, np.uint32).reshape(-1, 2)
        table[distinct == 0] = _NOTHING
        self._classes, self._points = table[of_point, 0], table[of_point, 1]

    def is_space(self) -> Array:
        """Return which characters are white space: (N) bool."""
        return np.asarray(self._classes[self._places] == _SPACE)

    def pairs(self) -> Array:
        """Return the classes of the character before each and of itself, as one number below
        CLASS_PAIRS: (N)."""
        classes = self._classes
        return np.asarray(classes[self._places - 1] * _CLASSES + classes[self._places])

    def features(self, nodes: Array, known: Array) -> Array:
        """Return the slots of the features of the characters with these numbers: (features, nodes)
        int32. `known`: which tokens are known, as `known_tokens` returns it."""
        places = self._places[nodes]
        families = (self._grams(places), self._run_grams(places), self._matches(places, known))
        found = np.empty((FEATURES, len(nodes)), np.int32)
        for number, hashes in enumerate(chain.from_iterable(families)):
            found[number] = _slots(hashes + _SALTS[number])
        return found

    def _grams(self, places: Array) -> Iterator[Array]:
        for values, grams in ((self._points, _GRAMS), (self._classes, _CLASS_GRAMS)):
            around = {place: values[places + place] for place in range(-2, 3)}
            for gram in grams:
                yield _combined([around[place] for place in gram])

    def _run_grams(self, places: Array) -> Iterator[Array]:
        """A run is all letters, digits and marks in a row, or one other character."""
        inside = (self._classes >= _LETTERS[0]) & (self._classes <= _LETTERS[-1])
        begins = np.ones(len(inside), np.bool_)
        begins[1:] = ~(inside[1:] & inside[:-1])
        starts = np.flatnonzero(begins)
        run = np.cumsum(begins) - 1
        offset = np.arange(len(run)) - starts[run]
        powers = np.full(offset.max(initial=0) + 1, _FACTORS[0], np.uint32)
        powers[0] = 1
        terms = self._points * np.multiply.accumulate(powers)[offset]
        hashes = _spread(np.add.reduceat(terms, starts, dtype=np.uint32))
        hashes = np.concatenate([hashes, np.zeros(_REACH_RUNS, np.uint32)])
        run, offset = run[places], offset[places].astype(np.uint32)
        around = {place: hashes[run + place] for place in range(-_REACH_RUNS, _REACH_RUNS)}
        for gram in _RUN_GRAMS:
            yield _combined([offset, *(around[place] for place in gram)])

    def _matches(self, places: Array, known: Array) -> Iterator[Array]:
        """The lengths of the longest known tokens that begin at a character, that end before it,
        and that have it inside."""
        points = self._points
        begin, end, inside = np.zeros((3, len(points) + LONGEST_KNOWN), np.uint32)
        # A window that leaves its text is no token, whatever slot it has.
        room = np.zeros(len(points), np.int64)
        room[self._places] = np.repeat(np.cumsum(self.lengths), self.lengths)
        room[self._places] -= np.arange(len(self._places))
        hashes = points
        for length in range(2, LONGEST_KNOWN + 1):
            hashes = hashes[:-1] * _FACTORS[0] + points[length - 1 :]
            fits = known[_slots(hashes + np.uint32(length))] & (room[: len(hashes)] >= length)
            found = np.flatnonzero(fits)
            begin[found] = length
            end[found + length] = length
            for place in range(1, length):
                inside[found + place] = length
        begin, end, inside = begin[places], end[places], inside[places]
        yield from (begin, end, inside)
        yield _combined([begin, end])
        yield _combined([begin, end, inside])
        yield _combined([begin, end, inside, self._classes[places]])


def known_slots(tokens: Iterable[str]) -> Array:
    """Return the slots of tokens, in order, each once: (K) uint32. Those of one character, and of
    more than can be looked up, have none."""
    by_length: dict[int, list[str]] = {}
    for token in tokens:
        if 2 <= len(token) <= LONGEST_KNOWN:
            by_length.setdefault(len(token), []).append(token)
    found = [np.zeros(0, np.int32)]
    for length, group in by_length.items():
        spelled = "".join(group).encode("utf-32-le", "surrogatepass")
        distinct, of_point = np.unique(np.frombuffer(spelled, "<u4"), return_inverse=True)
        lower = np.array([_class_and_lower(point)[1] for point in distinct.tolist()], np.uint32)
        first, *others = lower[of_point].reshape(-1, length).T
        hashes = first
        for column in others:
            hashes = hashes * _FACTORS[0] + column
        found.append(_slots(hashes + np.uint32(length)))
    return np.unique(np.concatenate(found)).astype(np.uint32)


def known_tokens(slots: Array) -> Array:
    """Return a table that tells of each slot whether a token has it: (SLOTS) bool."""
    table = np.zeros(SLOTS, np.bool_)
    table[slots] = True
    return table
