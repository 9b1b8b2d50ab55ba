"""A linear model of n-grams: words, pairs of neighbouring words, and the characters of words.

Knows: what a word is here, how n-grams are hashed into tables of weights, and how the scores of a
text follow from the tables. Does not know: how the weights are learned
(`training/linear/ngrams.py`), files, or the recurrent reader whose logits these are added to.

The spelling of a word, its n-grams of 1 to 5 characters with a space at either end, is scored once
for each word and not for each text, so a text costs one lookup for each word and one for each
pair. A text counts each of its words and pairs once, however often it has them.

Hashes are computed in uint32 from code points, so that they are the same on every machine and can
be computed in any language.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rnntext.tensor_shapes import read_entries
from rnntext.text.chunk_cache import ChunkCache

Array = npt.NDArray[Any]

LONGEST_GRAM = 5  # characters
# An order-blind sum says little more of a text after so many characters, and must not fill memory.
MAX_CHARACTERS = 1 << 20

# White space and symbols: ASCII and Latin-1 punctuation, that of other scripts, arrows, full-width
# forms and emoji. They are listed, rather than asked of a Unicode table, so that every version of
# every engine finds the same words, and marks stay with their letters.
_SPACES = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SYMBOLS = (
    r"!-/:-@\[-^`{-~\u0080-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    r"\u0589\u05be\u060c\u061b\u061f\u066a-\u066d\u06d4\u0964\u0965\u0e2f\u0e4f\u0e5a\u0e5b"
    r"\u104a\u104b\u1361-\u1368\u17d4-\u17da\u2010-\u205e\u20a0-\u20cf\u2190-\u2bff"
    r"\u3000-\u303f\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
    "\U0001f000-\U0001faff"
)
_LONGEST_WORD = 200  # characters; a longer run is read as several words
# JavaScript (flag u) reads it in the same way.
WORD_PATTERN = rf"[^{_SPACES}{_SYMBOLS}]{{1,{_LONGEST_WORD}}}|[^{_SPACES}]"
_WORD = re.compile(WORD_PATTERN)

# Odd constants that spread bits: 2**32 over the golden ratio, primes of FNV-1a and xxHash, and the
# finalizer "lowbias32" (Wellons 2018).
_GOLDEN, _FNV, _PRIME_2, _PRIME_3 = map(np.uint32, (0x9E3779B1, 0x01000193, 0x85EBCA77, 0xC2B2AE3D))
_FINAL_1, _FINAL_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)

# The words of a model whose scores are in memory: some 10 MB. Then they are computed anew.
_MAX_WORDS = 1 << 16


def find_words(text: str) -> list[str]:
    """Split a text into words in lower case; a symbol is a word of its own.

    >>> find_words("Don't stop!")
    ['don', "'", 't', 'stop', '!']
    """
    return _WORD.findall(text.lower())


def _spread(hashes: Array) -> Array:
    """Mix the bits of each uint32, so that its highest bits depend on all of them."""
    mixed = (hashes ^ (hashes >> np.uint32(16))) * _FINAL_1
    mixed = (mixed ^ (mixed >> np.uint32(15))) * _FINAL_2
    return np.asarray(mixed ^ (mixed >> np.uint32(16)))


def _powers(base: np.uint32, count: int) -> Array:
    factors = np.full(count, base, np.uint32)
    factors[0] = 1
    return np.multiply.accumulate(factors)


_POWERS = _powers(_GOLDEN, _LONGEST_WORD)


class _Spellings:
    """Code points of some words, concatenated with a space before and after each."""

    def __init__(self, words: Sequence[str]) -> None:
        joined = f" {' '.join(words)} ".encode("utf-32-le", "surrogatepass")
        self.points = np.frombuffer(joined, "<u4") + np.uint32(1)
        self.lengths = np.fromiter(map(len, words), np.int64, len(words))
        self.starts = 1 + np.cumsum(self.lengths + 1) - self.lengths - 1


def hash_words(words: Sequence[str]) -> Array:
    """Return the hash of each word: (N) uint32."""
    spelled = _Spellings(words)
    lengths = spelled.lengths
    place = _positions(lengths)
    longest = int(lengths.max(initial=0))
    powers = _POWERS if longest <= len(_POWERS) else _powers(_GOLDEN, longest)
    terms = spelled.points[np.repeat(spelled.starts, lengths) + place] * powers[place]
    sums = np.append(np.uint32(0), np.cumsum(terms, dtype=np.uint32))
    ends = np.cumsum(lengths)
    return _spread(sums[ends] - sums[ends - lengths] + lengths.astype(np.uint32) * _PRIME_3)


def hash_characters(words: Sequence[str]) -> tuple[Array, Array]:
    """Return the n-grams of characters of all words: the index of each one's word, and its hash,
    uint32. A space before and after a word belongs to it; a space alone is no n-gram."""
    spelled = _Spellings(words)
    widths = spelled.lengths + 2
    place = _positions(widths)
    owners = np.repeat(np.arange(len(words)), widths)
    points = spelled.points[np.repeat(spelled.starts - 1, widths) + place]
    room = np.repeat(widths, widths) - place  # characters to the end of the word
    space = np.uint32(ord(" ") + 1)
    hashes = np.zeros(len(points), np.uint32)
    found = []
    for size in range(1, LONGEST_GRAM + 1):
        following = np.zeros(len(points), np.uint32)
        tail = points[size - 1 :]
        following[: len(tail)] = tail
        hashes = hashes * _FNV + following
        whole = points != space if size == 1 else room >= size
        salt = np.uint32(size * int(_GOLDEN) & 0xFFFFFFFF)
        found.append((owners[whole], _spread(hashes[whole] + salt)))
    return np.concatenate([o for o, _ in found]), np.concatenate([h for _, h in found])


def hash_pairs(first: Array, second: Array) -> Array:
    """Return the hashes of pairs of words, given the hashes of the two words."""
    return _spread(first * _GOLDEN + second * _PRIME_2 + np.uint32(1))


def bucket(hashes: Array, size: int) -> Array:
    """Return the row of each hash in a table of `size` rows, a power of two: its highest bits."""
    return np.asarray(hashes.astype(np.int64) * size >> 32)


def _positions(lengths: Array) -> Array:
    """Return 0, 1, ... up to each length, one after the other.

    >>> _positions(np.array([2, 3]))
    array([0, 1, 0, 1, 2])
    """
    starts = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(lengths.sum()) - np.repeat(starts, lengths))


class Words:
    """Numbers the distinct words of texts in the order in which they are met, and hashes them."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._words: list[str] = []
        self._cache = ChunkCache(self._number, "")
        self.hashes: Array = np.zeros(0, np.uint32)

    def __len__(self) -> int:
        return len(self._words)

    def spelled(self, start: int) -> list[str]:
        """Return the words from number `start` on."""
        return self._words[start:]

    def read(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """Return the numbers of the words of all texts, one text after the other, and how many
        words each text has."""
        rows = self._cache.encode([text[:MAX_CHARACTERS] for text in texts])
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        numbers = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return numbers.astype(np.int64), lengths

    def _number(self, chunks: list[str]) -> list[list[int]]:
        rows = [find_words(chunk) for chunk in chunks]
        new = dict.fromkeys(word for row in rows for word in row if word not in self._index)
        if new:
            # In this order a word that has a number also has a hash, after Ctrl-C too.
            number = count(len(self._words))
            self.hashes = np.append(self.hashes[: len(self._words)], hash_words(list(new)))
            self._words += new
            self._index.update(zip(new, number, strict=False))
        return [[self._index[word] for word in row] for row in rows]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Which texts have which words and pairs of words, each once a text, ordered by text."""

    word_text: Array
    word: Array  # its number in the index
    pair_text: Array
    pair: Array  # its hash


def occurrences(words: Array, lengths: Array, hashes: Array) -> Occurrences:
    """Find the words and pairs of texts. `words`: the numbers of the words of all texts, one text
    after the other; `lengths`: how many each text has; `hashes`: that of each number."""
    owners = np.repeat(np.arange(len(lengths)), lengths)
    adjacent = owners[1:] == owners[:-1]
    hashed = hashes[words]
    pairs = hash_pairs(hashed[:-1][adjacent], hashed[1:][adjacent])
    return Occurrences(*_distinct(owners, words), *_distinct(owners[1:][adjacent], pairs))


def _distinct(owners: Array, values: Array) -> tuple[Array, Array]:
    keys = owners << 32 | values.astype(np.int64)
    keys.sort()
    keys = keys[_starts(keys)]
    return keys >> 32, keys & 0xFFFFFFFF


def _starts(values: Array) -> Array:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])


_TABLES = ("words", "pairs", "characters", "bias")
_DTYPES = {"F16": "<f2", "F32": "<f4", "U32": "<u4"}


@dataclass(frozen=True, slots=True)
class Tables:
    """The weights of an n-gram model. Each table has a row for each bucket, a power of two, and a
    column for each label; with two labels of which one is right it has a single column, for the
    second label against the first."""

    words: Array  # float16, as the two others
    pairs: Array
    characters: Array
    bias: Array  # (columns) float32
    scale: float = 1.0  # that the scores are multiplied by

    def serialize(self, notes: Mapping[str, int] | None = None) -> bytes:
        """Return the content of a safetensors file. `notes`: what `read_notes` gets back."""
        scale = np.array([self.scale], np.float32)
        tensors = {**{name: getattr(self, name) for name in _TABLES}, "scale": scale}
        return write_tensors(tensors, notes)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The inverse of `serialize`. Raises ValueError for tables that cannot be used."""
        tensors = read_tensors(content)
        if tensors.keys() != {*_TABLES, "scale"} or tensors["scale"].shape != (1,):
            raise ValueError("not the tables of an n-gram model")
        columns = tensors["bias"].shape
        for name in _TABLES[:-1]:
            table = tensors[name]
            size = table.shape[0] if table.ndim == 2 else 0
            if size & (size - 1) or not size or table.shape[1:] != columns:
                raise ValueError(f"{name} has the shape {table.shape}")
        words, pairs, characters, bias = (tensors[name] for name in _TABLES)
        return cls(words, pairs, characters, bias, float(tensors["scale"][0]))


def write_tensors(tensors: dict[str, Array], notes: Mapping[str, int] | None) -> bytes:
    """Return a safetensors file. `notes`: what `read_notes` gets back from it."""
    from safetensors.numpy import save

    # In one value: the library writes several in any order, and files must be the same each time.
    content: bytes = save(tensors, {"notes": json.dumps(notes)} if notes else None)
    return content


def read_notes(content: bytes) -> dict[str, int]:
    """Return the notes in a safetensors file that `write_tensors` made."""
    start = 8 + int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8:start]).get("__metadata__", {})
    return {name: int(value) for name, value in json.loads(metadata.get("notes", "{}")).items()}


def read_tensors(content: bytes) -> dict[str, Array]:
    """Read a safetensors file. The library takes longer to import than this to run."""
    try:
        return {
            name: np.frombuffer(
                content, _DTYPES[entry.element_type], entry.count, entry.start
            ).reshape(entry.shape)
            for name, entry in read_entries(content, len(content)).items()
        }
    except (ValueError, KeyError) as error:
        raise ValueError(f"no safetensors file: {error}") from None


class _ScoredWords:
    """Words with the scores of their own and of their spelling."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.words = Words()
        self._scores = np.zeros((0, len(tables.bias)), np.float32)
        self._lock = threading.Lock()

    def scores(self) -> Array:
        """Return the scores of all words that have a number: (words, columns)."""
        with self._lock:
            if len(self.words) > len(self._scores):
                new = self.words.spelled(len(self._scores))
                self._scores = np.concatenate([self._scores, self.score(new)])
            return self._scores

    def score(self, words: Sequence[str]) -> Array:
        """Return the scores of words: (words, columns) float32."""
        tables = self._tables
        owners, grams = hash_characters(words)
        order = np.argsort(owners, kind="stable")
        weights = tables.characters[bucket(grams[order], len(tables.characters))]
        own = tables.words[bucket(hash_words(words), len(tables.words))]
        return (own + _sums(owners[order], weights, len(words))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Shares:
    """Of what the logits of one text are the sum, by its W words, in float64. A word or a pair that
    the text has several times counts once, so that each of its places has an equal part."""

    starts: Array  # (W): the place of each word's first character in the text
    words: Array  # (W, labels): what a word adds with its spelling
    pairs: Array  # (W, labels): half of what each pair adds that the word is in
    bias: Array  # (labels)


class NgramModel:
    """Scores texts. It is safe to share between threads."""

    def __init__(self, tables: Tables, labels: int) -> None:
        """Raises ValueError if the tables are not for so many labels."""
        if len(tables.bias) not in {labels, *([1] if labels == 2 else [])}:
            raise ValueError(f"{len(tables.bias)} columns for {labels} labels")
        self.tables, self.labels = tables, labels
        self._words = _ScoredWords(tables)

    def logits(self, texts: Sequence[str]) -> Array:
        """Return the logits of texts: (N, labels) float64."""
        tables = self.tables
        scores = np.zeros((len(texts), len(tables.bias)))
        for part in _parts(texts):
            scores[part] = self._scores_of(texts[part])
        return self._as_logits(scores + tables.bias)

    def shares(self, text: str) -> Shares:
        """Return what each word of a text adds to its logits."""
        text = text[:MAX_CHARACTERS]
        words = find_words(text)
        hashes = hash_words(words)
        pairs = hash_pairs(hashes[:-1], hashes[1:])
        of_pairs = self.tables.pairs[bucket(pairs, len(self.tables.pairs))].astype(np.float64)
        halves = of_pairs / (2 * _counts(pairs)[:, None])
        around = np.zeros((len(words), halves.shape[1]))
        around[:-1] += halves
        around[1:] += halves
        own = self._words.score(words) / _counts(np.array(words, object))[:, None]
        return Shares(_word_starts(text), *map(self._as_logits, (own, around, self.tables.bias)))

    def _as_logits(self, scores: Array) -> Array:
        """Scores (..., columns) -> logits (..., labels)."""
        scores = scores * self.tables.scale
        if scores.shape[-1] == self.labels:
            return np.asarray(scores)
        return np.concatenate([-scores / 2, scores / 2], axis=-1)

    def _scores_of(self, texts: Sequence[str]) -> Array:
        known = self._words
        numbers, lengths = known.words.read(texts)
        found = occurrences(numbers, lengths, known.words.hashes)
        scores, pairs = known.scores(), self.tables.pairs
        if len(known.words) > _MAX_WORDS:
            self._words = _ScoredWords(self.tables)
        return _sums(found.word_text, scores[found.word], len(texts)) + _sums(
            found.pair_text, pairs[bucket(found.pair, len(pairs))], len(texts)
        )


def _word_starts(text: str) -> Array:
    """Return the place in the text of the first character of each of its words."""
    lower = text.lower()
    # Some letters become two in lower case.
    lengths = np.fromiter((len(character.lower()) for character in text), np.int64, len(text))
    places = np.repeat(np.arange(len(text)), lengths)
    return places[np.array([match.start() for match in _WORD.finditer(lower)], np.int64)]


def _counts(values: Array) -> Array:
    """Return how often each value occurs among all of them."""
    _, numbers, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[numbers])


def _parts(texts: Sequence[str]) -> Iterator[slice]:
    """Divide texts into consecutive parts of about MAX_CHARACTERS characters."""
    start = characters = 0
    for number, text in enumerate(texts):
        size = min(len(text), MAX_CHARACTERS)
        if number > start and characters + size > MAX_CHARACTERS:
            yield slice(start, number)
            start, characters = number, 0
        characters += size
    if len(texts) > start:
        yield slice(start, len(texts))


def _sums(owners: Array, rows: Array, count: int) -> Array:
    """Return the sum of each owner's rows, (count, columns) float64; `owners` is sorted."""
    totals = np.zeros((count, rows.shape[1]))
    if len(owners):
        starts = _starts(owners)
        totals[owners[starts]] = np.add.reduceat(rows, starts, axis=0, dtype=np.float64)
    return totals
