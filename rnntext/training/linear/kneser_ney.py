"""An n-gram language model: interpolated Kneser-Ney smoothing.

Knows: counts of n-grams of ids, and the probability of each id after those before it. Does not
know: text, tokenizers, or what the model is compared with.

Kneser and Ney (1995), interpolated as in Chen and Goodman (1999), with one discount an order,
n1 / (n1 + 2 n2) by the n-grams that were seen once and twice. The shorter n-grams are counted by
the number of different ids that they follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnntext.training.data.store import Array

# So that no id is impossible, where no n-gram was seen only once.
_LEAST_DISCOUNT = 0.1
# Bytes of an n-gram on disk: its last id, and a probability and a weight in float32, as the ARPA
# format has them.
_NGRAM_BYTES = 12


@dataclass(frozen=True, slots=True)
class _Order:
    """The n-grams of one length. An n-gram is known by its number, its place in `keys`."""

    # (N) rising: the number of the n-gram without its last id, times the vocabulary, plus that id.
    keys: Array
    counts: Array  # (N): how often each was seen, or, of all but the longest, after how many ids
    discount: float
    # Of each n-gram of the order below, as a context: the sum of the counts of the ids that follow
    # it, and their number.
    totals: Array
    followers: Array

    def find(self, context: Array, ids: Array, vocabulary: int) -> Array:
        """Return the numbers of the n-grams that are the contexts, by their numbers, with an id
        each; -1 for those that were not seen."""
        wanted = context * vocabulary + ids
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where((context >= 0) & (self.keys[place] == wanted), place, -1)


class KneserNey:
    """A model of n-grams of up to `length` ids below `vocabulary`."""

    def __init__(self, ids: Array, vocabulary: int, length: int) -> None:
        """Count the n-grams of `ids` (T), one sequence."""
        self.vocabulary = vocabulary
        stream = ids.astype(np.int64)
        keys: list[Array] = []
        counts: list[Array] = []
        # Of each n-gram of `order` ids in the sequence, by its first id: the empty ones at first.
        number = np.zeros(len(stream) + 1, np.int64)
        for order in range(min(length, len(stream))):
            longer = number[: len(stream) - order] * vocabulary + stream[order:]
            found, first, inverse, seen = np.unique(
                longer, return_index=True, return_inverse=True, return_counts=True
            )
            if order:
                # Each n-gram adds an id before the n-gram without its first. That with which the
                # sequence begins follows none.
                counts[-1] = np.bincount(number[first + 1], minlength=len(keys[-1])).clip(1)
            keys.append(found)
            counts.append(seen)
            number = inverse
        contexts = [1, *map(len, keys)]
        self._orders = [
            _order(each, count, size, vocabulary)
            for each, count, size in zip(keys, counts, contexts, strict=False)
        ]

    @property
    def ngrams(self) -> int:
        """The number of n-grams, of all lengths."""
        return sum(len(order.keys) for order in self._orders)

    @property
    def size(self) -> int:
        """Bytes that the n-grams would take on disk."""
        return _NGRAM_BYTES * self.ngrams

    def log_probabilities(self, ids: Array) -> Array:
        """Return the logarithm of the probability of each id after those before it, without the
        first: (T) -> (T - 1), in nats."""
        stream = ids.astype(np.int64)
        targets = stream[1:]
        probability = np.full(len(targets), 1 / self.vocabulary)
        # The number of the n-gram before each target; -1: it was not seen.
        context = np.zeros(len(targets), np.int64)
        for number, order in enumerate(self._orders):
            if number:
                # Before the first targets there are fewer ids.
                context = np.full(len(targets), -1, np.int64)
                context[number - 1 :] = self._numbers(stream[:-1], number)
            ngram = order.find(context, targets, self.vocabulary)
            # Nothing follows the last n-gram of the text, if it stands nowhere else.
            known = (context >= 0) & (order.totals[context] > 0)
            total = np.maximum(order.totals[context], 1)
            seen = np.where(ngram >= 0, order.counts[ngram] - order.discount, 0.0)
            left = order.discount * order.followers[context] / total
            probability = np.where(known, seen / total + left * probability, probability)
        return np.asarray(np.log(probability))

    def _numbers(self, stream: Array, length: int) -> Array:
        """Return the numbers of all n-grams of so many ids in a sequence."""
        count = len(stream) - length + 1
        number = np.zeros(max(0, count), np.int64)
        for place, order in enumerate(self._orders[:length]):
            number = order.find(number, stream[place : place + count], self.vocabulary)
        return number


def _order(keys: Array, counts: Array, contexts: int, vocabulary: int) -> _Order:
    context = keys // vocabulary
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return _Order(
        keys,
        counts,
        max(_LEAST_DISCOUNT, once / max(1, once + 2 * twice)),
        np.bincount(context, counts, minlength=contexts),
        np.bincount(context, minlength=contexts),
    )
