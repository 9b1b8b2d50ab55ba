"""A linear model of words in a sentence: their forms, their spelling, and their neighbours.

Knows: the features of a word, how they are hashed, and how a sentence's scores follow from a list
of weights. Does not know: how the weights are learned (`training/linear/tagging.py`), files, or the
recurrent network whose scores these are added to.

The features are those of classic taggers (Ratnaparkhi 1996; Toutanova et al. 2003): the word, its
lower case, its shape, prefixes and suffixes of 1 to 5 characters, some of these of the two words
before and after, and the pairs with the next word on either side. All but the pairs are scored once
for each distinct word, so a word in a sentence costs a few additions.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rnntext.ngrams import hash_pairs, hash_words, read_tensors, write_tensors
from rnntext.private import products_on_one_thread
from rnntext.text.chunk_cache import append

Array = npt.NDArray[Any]

_LONGEST_AFFIX = 5  # characters
# A longer word is read as its beginning and its end, of half as many characters each.
_LONGEST_WORD = 200
_FORMS = (
    "word",
    "lower",
    "shape",
    *(f"prefix {size}" for size in range(1, _LONGEST_AFFIX + 1)),
    *(f"suffix {size}" for size in range(1, _LONGEST_AFFIX + 1)),
)
_NEAR = ("lower", "shape", "prefix 3", "suffix 2", "suffix 3")
# How far a word that is looked at stands from the one that is tagged, and its forms that count.
OFFSETS: dict[int, tuple[str, ...]] = {
    -2: ("lower",),
    -1: _NEAR,
    0: _FORMS,
    1: _NEAR,
    2: ("lower",),
}
REACH = max(OFFSETS)  # words on either side; beyond the ends of a sentence stand empty words
# A feature is hashed with its number, so that "the" before a word is not "the" after it. The two
# last ones are the pairs with the word before and with the word after.
_FEATURES = {feature: number for number, feature in enumerate(
    [(offset, form) for offset, forms in OFFSETS.items() for form in forms]
)}  # fmt: skip
PAIR_BEFORE, PAIR_AFTER = len(_FEATURES), len(_FEATURES) + 1

# The scores of distinct words that are in memory: 16 MB. Then they are computed anew.
_MAX_SCORES = 1 << 22
_PART = 1 << 14  # words whose scores are added up together
_TOGETHER = 1 << 17  # scores of tags that are made of those of parts together


class _CharacterClasses(dict[int, str]):
    """The class of each character in a word's shape, by code point."""

    def __missing__(self, point: int) -> str:
        found = self[point] = _character_class(chr(point))
        return found


def _character_class(character: str) -> str:
    if "\u3041" <= character <= "\u309f":
        return "h"  # hiragana
    if "\u30a0" <= character <= "\u30ff":
        return "k"  # katakana
    category = unicodedata.category(character)
    classes = {"Lu": "X", "Lt": "X", "Ll": "x", "Nd": "d"}
    # A vowel sign or an accent is no more than the letter that it belongs to.
    return classes.get(category, "a" if category[0] in "LM" else character)


_CLASSES = _CharacterClasses()
_LONG_RUN = re.compile(r"(.)\1{2,}", re.DOTALL)


def word_shape(word: str) -> str:
    """Return the class of each character, of a run of one class at most two.

    >>> word_shape("McDonald's-1995")
    "XxXxx'x-dd"
    """
    return _LONG_RUN.sub(r"\1\1", word.translate(_CLASSES))


def _with_number(hashes: Array, number: int) -> Array:
    """Return the hashes of the feature with this number."""
    return hash_pairs(hashes, np.array(number, np.uint32))


class Forms:
    """The forms of distinct words as hashes: each form's (words) uint32, and which words have it
    (a word of two characters has no prefix of three)."""

    def __init__(self, words: Iterable[str]) -> None:
        words = [
            word if len(word) <= _LONGEST_WORD
            else word[: _LONGEST_WORD // 2] + word[-_LONGEST_WORD // 2 :]
            for word in words
        ]  # fmt: skip
        # Some letters become two in lower case.
        lower = [word.lower()[:_LONGEST_WORD] for word in words]
        lengths = np.fromiter(map(len, lower), np.int64, len(lower))
        everywhere = np.ones(len(words), np.bool_)
        self._hashes = {
            "word": hash_words(words),
            "lower": hash_words(lower),
            "shape": hash_words([word_shape(word) for word in words]),
        }
        self._present = dict.fromkeys(self._hashes, everywhere)
        for size in range(1, _LONGEST_AFFIX + 1):
            self._hashes[f"prefix {size}"] = hash_words([word[:size] for word in lower])
            self._hashes[f"suffix {size}"] = hash_words([word[-size:] for word in lower])
            self._present[f"prefix {size}"] = self._present[f"suffix {size}"] = lengths >= size

    @property
    def lower(self) -> Array:
        """The hash of each word's lower case, of which pairs are made."""
        return self._hashes["lower"]

    def features(self, offset: int) -> tuple[Array, Array]:
        """Return the features that the words give to the one at `offset` before them: the index of
        each feature's word, in order, and its hash."""
        forms = OFFSETS[offset]
        hashes = [_with_number(self._hashes[form], _FEATURES[offset, form]) for form in forms]
        present = np.stack([self._present[form] for form in forms], axis=1)  # (words, forms)
        return np.nonzero(present)[0], np.stack(hashes, axis=1)[present]


def pair_features(first: Array, second: Array, place: int) -> Array:
    """Return the hashes of pairs of neighbours, given the hashes of the lower case of both words.
    `place`: PAIR_BEFORE or PAIR_AFTER, where the word that is tagged is the second or the first."""
    return _with_number(hash_pairs(first, second), place)


class WordIndex:
    """Numbers distinct words in the order in which they are met; 0 is the empty word."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def __len__(self) -> int:
        return len(self._numbers)

    def words(self, start: int = 0) -> list[str]:
        """Return the words from number `start` on."""
        newest_first = islice(reversed(self._numbers), len(self) - start)
        return list(newest_first)[::-1]

    def read(self, sentences: Iterable[Sequence[str]]) -> Array:
        """Return the numbers of the words of sentences one after the other, with REACH empty words
        before each sentence and after the last."""
        gap = ("",) * REACH
        numbers = self._numbers
        row = chain(chain.from_iterable(chain(gap, sentence) for sentence in sentences), gap)
        return np.fromiter((numbers.setdefault(w, len(numbers)) for w in row), np.int64)


def places_of_words(lengths: Array) -> Array:
    """Return the place of each word in what `WordIndex.read` returns for sentences of these
    lengths: (words)."""
    gaps = REACH * np.arange(1, len(lengths) + 1)
    return np.asarray(np.arange(lengths.sum()) + np.repeat(gaps, lengths))


_PATHS = ("start", "transitions", "end")


class Weights(NamedTuple):
    """The weights of a model with L tags, or with P parts of which L tags are bundles."""

    features: Array  # (F) uint32, hashes in rising order
    weights: Array  # (F, L) or (F, P) float16
    bias: Array  # (L) float32
    # (L), (L, L), (L) float32: scores of the first tag, of transitions (from, to) and of the last
    # tag; nothing where each tag is chosen by itself.
    paths: tuple[Array, ...]
    scale: float = 1.0  # that all scores are multiplied by

    def serialize(self, notes: Mapping[str, int] | None = None) -> bytes:
        """Return the content of a safetensors file. `notes`: see `ngrams.read_notes`."""
        scale = np.array([self.scale], np.float32)
        named = {"features": self.features, "weights": self.weights, "bias": self.bias}
        paths = dict(zip(_PATHS, self.paths, strict=False))
        return write_tensors({**named, **paths, "scale": scale}, notes)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The inverse of `serialize`. Raises ValueError for weights that cannot be used."""
        tensors = read_tensors(content)
        names = {"features", "weights", "bias", "scale"}
        if tensors.keys() not in (names, names.union(_PATHS)):
            raise ValueError("not the weights of a model of words")
        tags, count = tensors["bias"].shape, tensors["features"].shape
        # Without transitions the columns may be parts: how many, the model knows.
        columns = tags if "transitions" in tensors else tensors["weights"].shape[1:]
        shapes = {
            "features": count,
            "weights": count + columns,
            "transitions": tags + tags,
            "scale": (1,),
        }
        for name, tensor in tensors.items():
            dimensions = 2 if name in ("weights", "transitions") else 1
            if tensor.shape != shapes.get(name, tags) or tensor.ndim != dimensions:
                raise ValueError(f"{name} has the shape {tensor.shape}")
        if (tensors["features"][1:] <= tensors["features"][:-1]).any():
            raise ValueError("the features are not in order")
        scale = float(tensors.pop("scale")[0])
        paths = tuple(tensors.pop(name) for name in _PATHS if name in tensors)
        return cls(**tensors, paths=paths, scale=scale)


class _ScoredWords:
    """Distinct words with the scores that each gives to the words around it."""

    def __init__(self, model: WordModel) -> None:
        self._model = model
        self.index = WordIndex()
        self._count = 0  # words that are scored; the arrays have spare room
        self.lower: Array = np.zeros(0, np.uint32)
        # (words, offsets, columns)
        self.scores: Array = np.zeros((0, len(OFFSETS), model.columns), np.float32)

    def read(self, sentences: Iterable[Sequence[str]]) -> Array:
        numbers = self.index.read(sentences)
        if len(self.index) > self._count:
            forms = Forms(self.index.words(self._count))
            count = len(forms.lower)
            new = np.stack(
                [self._model.sums(*forms.features(offset), count) for offset in OFFSETS], axis=1
            )
            self.scores = append(self.scores, self._count, new)
            self.lower = append(self.lower, self._count, forms.lower)
            self._count += count
        return numbers

    @property
    def is_full(self) -> bool:
        return self._count * len(OFFSETS) * self._model.columns > _MAX_SCORES


class WordModel:
    """Scores the words of sentences. It is safe to share between threads."""

    def __init__(self, weights: Weights, tags: int, parts: Array | None = None) -> None:
        """`parts`: which parts each tag has, (P, L), where a weight is a part's. Raises ValueError
        if the weights are not for so many tags or parts."""
        self.columns = tags if parts is None else len(parts)
        if len(weights.bias) != tags or weights.weights.shape[1] != self.columns:
            raise ValueError(f"{weights.weights.shape[1]} columns for {tags} tags")
        self.weights, self.tags, self._parts = weights, tags, parts
        # The last row is that of every feature without weights.
        self._rows = np.concatenate([weights.weights, np.zeros((1, self.columns), np.float16)])
        self._words = _ScoredWords(self)
        self._lock = threading.Lock()

    def path_scores(self) -> tuple[Array, ...]:
        """Return the scores of the first tag (L), of transitions (L, L) and of the last tag (L);
        nothing where each tag is chosen by itself."""
        return tuple(self.weights.scale * scores for scores in self.weights.paths)

    def emissions(self, sentences: Sequence[Sequence[str]]) -> Array:
        """Return the scores of the words of sentences, one sentence after the other: (N, L)
        float32."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        numbers, scores, lower = self._read(sentences)
        places = places_of_words(lengths)
        return self._in_parts(places, lambda part: self._add_up(numbers, part, scores, lower))

    def shares(self, sentence: Sequence[str], word: int) -> tuple[Array, Array]:
        """Return of what the scores of one word of a sentence are the sum: what each word of the
        sentence adds, (W, L) float64, and what is added without a word, by the bias and by the ends
        of the sentence, (L). A pair of words is divided between the two."""
        numbers, scores, lower = self._read([sentence])
        place = REACH + word
        inside = slice(REACH, REACH + len(sentence))
        found = np.zeros((len(numbers), self.columns))
        for column, offset in enumerate(OFFSETS):
            found[place + offset] += scores[numbers[place + offset], column]
        before, here, after = (lower[numbers[place + offset]][None] for offset in (-1, 0, 1))
        for first, second, kind, other in (
            (before, here, PAIR_BEFORE, place - 1),
            (here, after, PAIR_AFTER, place + 1),
        ):
            row = self._row_of(pair_features(first, second, kind))[0]
            pair = self._rows[row].astype(np.float64) / 2
            found[place] += pair
            # At an end of the sentence the pair is the word's own.
            found[other if inside.start <= other < inside.stop else place] += pair
        if self._parts is not None:
            found = found @ self._parts
        scale = self.weights.scale
        without = found.sum(0) - found[inside].sum(0) + self.weights.bias
        return found[inside] * scale, without * scale

    def _read(self, sentences: Sequence[Sequence[str]]) -> tuple[Array, Array, Array]:
        """Return the numbers of the words of sentences, as `WordIndex.read` gives them, and by
        number the scores and the hashes of words."""
        with self._lock:
            try:
                numbers = self._words.read(sentences)
            except BaseException:  # after Ctrl-C some words have a number but no scores
                self._words = _ScoredWords(self)
                raise
            # What is added later does not change the rows of these words.
            scores, lower = self._words.scores, self._words.lower
            if self._words.is_full:
                self._words = _ScoredWords(self)
        return numbers, scores, lower

    def _in_parts(self, places: Array, score: Callable[[Array], Array]) -> Array:
        found = np.empty((len(places), self.tags), np.float32)
        for start in range(0, len(places), _PART):
            part = slice(start, start + _PART)
            if self._parts is None:
                found[part] = score(places[part])
            else:
                self._compose(score(places[part]), self._parts, found[part])
        if self._parts is None:
            found += self.weights.bias
            found *= np.float32(self.weights.scale)
        return found

    def _compose(self, scores: Array, parts: Array, found: Array) -> None:
        """Put the scores of tags (N, L) into `found`, given those of their parts (N, P)."""
        scale = np.float32(self.weights.scale)
        scaled, bias = parts * scale, self.weights.bias * scale
        # What a core keeps near: twice as fast as all rows at once.
        size = max(1, _TOGETHER // self.tags)
        with products_on_one_thread(np):
            for start in range(0, len(scores), size):
                some = found[start : start + size]
                np.matmul(scores[start : start + size], scaled, out=some)
                some += bias

    def _add_up(self, numbers: Array, places: Array, scores: Array, lower: Array) -> Array:
        total = np.zeros((len(places), self.columns), np.float32)
        for column, offset in enumerate(OFFSETS):
            total += scores[numbers[places + offset], column]
        before, here, after = (lower[numbers[places + offset]] for offset in (-1, 0, 1))
        for first, second, place in ((before, here, PAIR_BEFORE), (here, after, PAIR_AFTER)):
            total += self._rows[self._row_of(pair_features(first, second, place))]
        return total

    def sums(self, owners: Array, hashes: Array, count: int) -> Array:
        """Return the sum of the weights of each owner's features: (count, L) float32. Each owner
        has some, and they are in order."""
        rows = self._rows[self._row_of(hashes)]
        starts = np.searchsorted(owners, np.arange(count))
        return np.add.reduceat(rows, starts, axis=0, dtype=np.float32)

    def _row_of(self, hashes: Array) -> Array:
        """Return the row of each feature's weights."""
        known = self.weights.features
        if not len(known):
            return np.zeros(len(hashes), np.int64)
        places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return np.where(known[places] == hashes, places, len(known))
