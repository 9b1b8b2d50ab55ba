"""Learns the weights of an n-gram model from labelled texts.

Knows: how many texts it reads, the sizes of the tables, and which strengths are tried. Does not
know: how a text becomes n-grams (`rnntext/ngrams.py`), or what the model is added to.

Words, pairs and spellings are weighted by naive Bayes and fitted together by one logistic
regression: on development data it was as accurate as the sum of two models fitted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext.ngrams import Tables, Words, bucket, hash_characters, occurrences
from rnntext.training.data.store import Array
from rnntext.training.linear.logistic import Incidence, fit, log_count_ratios

# The size of the texts that weights are learned from, so that memory stays bounded: 22,500 film
# reviews, of size 35 million, took 510 MB while their n-grams were counted.
MAX_SIZE = 40_000_000
# The size of a text is its number of characters and this: 6,920 sentences of 0.7 million characters
# took 3.3 s, and those film reviews, of 29 million, 43 s.
_TEXT_SIZE = 280
# Weights, in all tables together: 8 MB in float16.
_MAX_WEIGHTS = 1 << 22
# With more labels the tables would have too few rows to tell n-grams apart.
MAX_LABELS = 256
# Rows of a table for each n-gram: an n-gram that was never seen finds an empty row mostly.
_ROWS_PER_NGRAM = 4
_ITERATIONS = 60  # of the search for weights, at most
_PART = 1024  # texts that are read together
# The share of a time budget, and the size that is learned from in a second, all strengths tried.
_SHARE, SPEED = 0.25, 700_000


class Strength(NamedTuple):
    """The variance of the weights before data: of words and pairs, and of characters. The weights
    are those of ratios of naive Bayes; 0 leaves the characters out."""

    words: float
    characters: float


# The best of these on validation data is kept. On SST-2 the first is best (five folds 81.3 %, the
# others 80.9 and 78.6), on German tweets the second (80.1, 80.1, 75.6), on film reviews the last
# (91.1, 90.9, 91.7).
STRENGTHS = (Strength(0.1, 0.03), Strength(0.03, 0.03), Strength(0.1, 0.0))


class NgramLearner:
    """The n-grams of labelled texts, counted once, from which weights are fitted."""

    def __init__(self, parts: Iterable[Sequence[str]], columns: int) -> None:
        """`parts`: the texts, in lists that are in memory one at a time; `columns`: of the
        weights, see `Tables`."""
        self.columns = columns
        words = Words()
        found: list[tuple[Array, ...]] = []
        texts = 0
        for part in parts:
            numbers, lengths = words.read(part)
            there = occurrences(numbers, lengths, words.hashes)
            text_of_word, text_of_pair = there.word_text + texts, there.pair_text + texts
            found.append(
                (
                    text_of_word.astype(np.int32),
                    there.word.astype(np.int32),
                    text_of_pair.astype(np.int32),
                    there.pair.astype(np.uint32),
                )
            )
            texts += len(part)
        self.texts = texts
        text_of_word, word, text_of_pair, pair = map(np.concatenate, zip(*found, strict=True))
        found.clear()  # half of the memory
        spelled, characters = hash_characters(words.spelled(0))
        ngrams = [len(words), len(np.unique(pair)), len(np.unique(characters))]
        self._sizes = table_sizes(ngrams, columns)
        hashed = (words.hashes, pair, characters)
        # The rows of each table that are used, and the one of each n-gram among these.
        self._rows, (own, pair_row, character_row) = zip(
            *(
                np.unique(bucket(hashes, size), return_inverse=True)
                for hashes, size in zip(hashed, self._sizes, strict=True)
            ),
            strict=True,
        )
        used = [len(rows) for rows in self._rows]
        # A text has words, and a word has a row of its own and characters: its spelling is summed
        # once, and not in each text.
        self._words = Incidence(text_of_word, word, (texts, len(words)))
        self._own = Incidence(np.arange(len(words)), own, (len(words), used[0]))
        self._characters = Incidence(spelled, character_row, (len(words), used[2]))
        self._pairs = Incidence(text_of_pair, pair_row, (texts, used[1]))

    def fit(self, truth: Tensor, loss: Callable[[Tensor], Tensor], strength: Strength) -> Tables:
        """Learn the weights. `truth`: the classes of each text, 0 and 1 or the probabilities that a
        teacher gives, [texts, columns]; `loss`: the summed loss of logits [texts, columns]."""
        # One column is the difference of two, whose variances add.
        single = 2 if self.columns == 1 else 1
        variances = (strength.words, strength.words, strength.characters)
        scales = [
            ratio * (single * variance) ** 0.5
            for ratio, variance in zip(self._ratios(truth), variances, strict=True)
        ]

        def logits(weights: Sequence[Tensor]) -> Tensor:
            words, pairs, characters = (w * s for w, s in zip(weights, scales, strict=False))
            of_words = self._own.times(words)
            if strength.characters:
                of_words = of_words + self._characters.times(characters)
            return self._words.times(of_words) + self._pairs.times(pairs) + weights[3]

        shapes = [tuple(scale.shape) for scale in scales]
        *weights, bias = fit(
            [*shapes, (self.columns,)], lambda found: loss(logits(found)), self.texts, _ITERATIONS
        )
        tables = [
            self._table(rows, weight * scale, size)
            for rows, weight, scale, size in zip(
                self._rows, weights, scales, self._sizes, strict=True
            )
        ]
        words, pairs, characters = tables
        return Tables(words, pairs, characters, bias.numpy())

    def _ratios(self, truth: Tensor) -> list[Tensor]:
        """Return the ratios of naive Bayes of words, pairs and characters."""

        def counts(classes: Tensor) -> list[Tensor]:
            of_words = self._words.transposed_times(classes)
            return [
                self._own.transposed_times(of_words),
                self._pairs.transposed_times(classes),
                self._characters.transposed_times(of_words),
            ]

        totals = counts(torch.ones(self.texts, 1))
        return [*map(log_count_ratios, counts(truth), totals)]

    def _table(self, rows: Array, weights: Tensor, size: int) -> Array:
        table = np.zeros((size, self.columns), np.float16)
        table[rows] = weights.numpy()
        return table


def table_sizes(ngrams: Sequence[int], columns: int) -> list[int]:
    """Return the number of rows of each table, powers of two, for so many distinct n-grams."""
    sizes = [1 << max(4, (_ROWS_PER_NGRAM * count - 1).bit_length()) for count in ngrams]
    while sum(sizes) * columns > _MAX_WEIGHTS and max(sizes) > 16:
        sizes[sizes.index(max(sizes))] //= 2
    return sizes


def choose_texts(
    lengths: Array, size: int | None, most: int, seed: int, labelled: int | None = None
) -> Array:
    """Return the indices of the texts to learn from, in order: all of them, or a random part of
    about this size (None: of any) and at most so many texts. `lengths`: the characters of each
    text; `labelled`: how many of them, the first, are taken before any other (None: all)."""
    sizes = text_sizes(lengths)
    if (size is None or sizes.sum() <= size) and len(sizes) <= most:
        return np.arange(len(lengths))
    first = len(lengths) if labelled is None else labelled
    generator = np.random.default_rng(seed)
    order = np.append(
        generator.permutation(first), first + generator.permutation(len(lengths) - first)
    )
    if size is not None:
        most = min(most, int(np.searchsorted(np.cumsum(sizes[order]), size)) + 1)
    return np.sort(order[:most])


def text_sizes(lengths: Array) -> Array:
    """Return the sizes of texts of so many characters."""
    return np.asarray(lengths + _TEXT_SIZE)


def in_parts(indices: Array) -> Iterator[Array]:
    """Divide indices of texts into parts that are read together."""
    for start in range(0, len(indices), _PART):
        yield indices[start : start + _PART]


def largest_size(minutes: float | None) -> int:
    """Return the size of the texts that are learned from in a run of so many minutes (None: without
    a limit): what takes a quarter of them. The clock is not asked, so that a run can be
    repeated."""
    if minutes is None:
        return MAX_SIZE
    return min(MAX_SIZE, int(60 * minutes * _SHARE * SPEED))
