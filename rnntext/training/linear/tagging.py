"""Learns the weights of a linear model of words from tagged sentences.

Knows: which features it keeps, how many sentences it reads, and how strongly weights are held near
0. Does not know: how a word becomes features (`rnntext/word_features.py`), or what the model is
added to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnntext.training.data.store import Array
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.linear.logistic import Incidence, fit
from rnntext.training.linear.words import Words
from rnntext.word_features import (
    OFFSETS,
    PAIR_AFTER,
    PAIR_BEFORE,
    Forms,
    Weights,
    WordIndex,
    pair_features,
    places_of_words,
)

# With more columns of weights, for tags or their parts, the features would be too few.
MAX_COLUMNS = 256
# A feature that one word of the training data has says nothing of others: without these, a third
# of all, taggers of two treebanks were as accurate.
_MIN_COUNT = 2
# Weights in all: 8 MB in float16.
_MAX_WEIGHTS = 1 << 22
# Of the search for weights, at most. With 60 those of Turkish and Chinese were 0.2 points less
# accurate.
_ITERATIONS = 100
# Scores of words that are computed together, 67 MB in float32.
MAX_SCORES = 1 << 24
# The share of a time budget, and the scores of words that are learned from in a second, with
# transitions and without.
_SHARE, _SPEED, _SPEED_WITHOUT_PATHS = 0.25, 70_000, 700_000


class TagSet(NamedTuple):
    """How the tags of a model are scored."""

    size: int
    # What is added to the scores of paths, a large negative number where a path is invalid; None:
    # each tag is chosen by itself.
    forbidden: PathScores | None
    parts: Array | None = None  # which parts each tag has, (P, size), where these are scored

    @property
    def columns(self) -> int:
        """The number of scores of a word that are learned."""
        return self.size if self.parts is None else len(self.parts)

    @property
    def speed(self) -> int:
        """The scores of words that are learned from in a second."""
        return _SPEED if self.forbidden is not None else _SPEED_WITHOUT_PATHS


class TagLearner:
    """The features of tagged sentences, counted once, from which weights are fitted."""

    def __init__(self, sentences: Sequence[Sequence[str]], tags: Array, tag_set: TagSet) -> None:
        """`tags`: those of all words, one sentence after the other."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        self._tag_set = tag_set
        has_paths = tag_set.forbidden is not None
        self._chains = Chains(lengths, tags, tag_set.size) if has_paths else None
        self._words = Words(tags, tag_set.parts)
        self._most = max(1, _MAX_WEIGHTS // tag_set.columns)
        index = WordIndex()
        row = index.read(sentences)
        places = places_of_words(lengths)
        forms = Forms(index.words())
        self._count, words = len(places), len(index)
        # Of each group of features: the hashes, how words have them, and where the words stand.
        found: list[tuple[Array, Array, Array]] = []  # owner, hash, occurrences of the owner
        standing: list[Incidence | None] = []
        for offset in OFFSETS:
            numbers = row[places + offset]
            owners, hashes = forms.features(offset)
            occurrences = np.bincount(numbers, minlength=words)
            found.append((owners, hashes, occurrences[owners]))
            standing.append(Incidence(np.arange(self._count), numbers, (self._count, words)))
        lower = forms.lower[row]
        for shift, place in ((-1, PAIR_BEFORE), (0, PAIR_AFTER)):
            pairs = pair_features(lower[places + shift], lower[places + shift + 1], place)
            found.append((np.arange(self._count), pairs, np.ones(self._count, np.int64)))
            standing.append(None)
        self._standing = standing
        self._features, self._groups = [], []
        for (owners, hashes, _), kept, through in zip(
            found, self._choose(found), standing, strict=True
        ):
            column = np.minimum(np.searchsorted(kept, hashes), max(len(kept) - 1, 0))
            there = kept[column] == hashes if len(kept) else np.zeros(len(hashes), np.bool_)
            rows = self._count if through is None else words
            self._features.append(kept)
            self._groups.append(Incidence(owners[there], column[there], (rows, len(kept))))

    def _choose(self, found: Sequence[tuple[Array, Array, Array]]) -> list[Array]:
        """Return the features of each group that have weights: those that are frequent enough."""
        distinct = []
        for _, hashes, occurrences in found:
            unique, group = np.unique(hashes, return_inverse=True)
            distinct.append((unique, np.bincount(group, occurrences, len(unique))))
        counts = np.concatenate([count for _, count in distinct])
        least = _MIN_COUNT
        while (counts >= least).sum() > self._most:
            least += 1
        return [unique[count >= least] for unique, count in distinct]

    def fit(self, initial: Weights | None = None) -> Weights:
        """Learn the weights. `initial`: those that were learned from less data, from which the
        search begins."""
        count, columns = len(self._features), self._tag_set.columns
        forbidden = self._tag_set.forbidden or ()

        def loss(weights: Sequence[Tensor]) -> Tensor:
            groups, bias, own_paths = weights[:count], weights[count], weights[count + 1 :]
            begin = torch.zeros(columns) if self._chains is None else bias
            sums = begin.expand(self._count, columns)
            for incidence, through, weight in zip(
                self._groups, self._standing, groups, strict=True
            ):
                scores = incidence.times(weight)
                sums = sums + (scores if through is None else through.times(scores))
            if self._chains is None:
                return self._words.loss(sums, bias)
            paths = (score + fixed for score, fixed in zip(own_paths, forbidden, strict=True))
            return self._chains.loss(sums, PathScores(*paths))

        found = [
            weight.numpy()
            for weight in fit(
                [
                    *((len(kept), columns) for kept in self._features),
                    (self._tag_set.size,),
                    *(tuple(fixed.shape) for fixed in forbidden),
                ],
                loss,
                self._count,
                _ITERATIONS,
                None if initial is None else self._begin_with(initial),
            )
        ]
        # Two features of one hash share a row, as their scores are added anyway.
        hashes, row = np.unique(np.concatenate(self._features), return_inverse=True)
        table = np.zeros((len(hashes), columns), np.float32)
        np.add.at(table, row, np.concatenate(found[:count]))
        return Weights(hashes, table.astype(np.float16), found[count], tuple(found[count + 1 :]))

    def _begin_with(self, initial: Weights) -> list[Tensor]:
        rows = np.concatenate([initial.weights, np.zeros_like(initial.weights[:1])])
        rows = rows if len(initial.features) else np.zeros((1, self._tag_set.columns))
        found = []
        for kept in self._features:
            column = np.searchsorted(initial.features, kept)
            known = np.append(initial.features, 0)[column] == kept
            found.append(rows[np.where(known, column, -1)])
        single = (initial.bias, *initial.paths)
        return [torch.from_numpy(np.array(each, np.float32)) for each in (*found, *single)]


def most_words(minutes: float | None, tags: TagSet) -> int:
    """Return the number of words that are learned from in a run of so many minutes (None: without a
    limit). The clock is not asked, so that a run can be repeated."""
    most = MAX_SCORES // tags.columns
    if minutes is None:
        return most
    return max(1, min(most, int(60 * minutes * _SHARE * tags.speed) // tags.size))
