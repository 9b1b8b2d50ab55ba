"""Encoded examples of the tasks that learn from labels, in memory and on disk.

Knows: how documents with their labels and sentences with their tags lie in rows of numbers. Does
not know: text, labels by name, or who learns from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnntext.text.tokenizer import EncodedWords
from rnntext.training.data.store import Array, Rows


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """Encoded documents and, for each, which labels it has: (N, labels) of 0 and 1."""

    ids: list[Array]
    labels: Array


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """The same, read as they are needed: ids and labels' numbers, a row a document."""

    ids: Rows
    labels: Rows
    width: int  # labels in all

    @classmethod
    def of(cls, given: LabelledIds) -> LabelledRows:
        """The same documents, in memory."""
        labels = Rows.of(np.flatnonzero(row) for row in given.labels)
        return cls(Rows.of(given.ids), labels, given.labels.shape[1])

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: Sequence[int] | Array) -> LabelledIds:
        """The documents of these numbers."""
        matrix = np.zeros((len(index), self.width), np.float32)
        for row, number in enumerate(index):
            matrix[row, self.labels[number]] = 1
        return LabelledIds([self.ids[number] for number in index], matrix)


@dataclass(frozen=True, slots=True)
class TaggedIds:
    """A sentence: its tokens, the first and last token of each word, each word's tag."""

    ids: Array
    first: Array
    last: Array
    tags: Array

    def pieces(self, size: int) -> Iterator[TaggedIds]:
        """As a trained tagger reads the sentence: cut as `EncodedWords.pieces` says."""
        start = 0
        for words in EncodedWords(self.ids, self.first, self.last).pieces(size):
            stop = start + len(words.first)
            yield TaggedIds(words.ids, words.first, words.last, self.tags[start:stop])
            start = stop


@dataclass(frozen=True, slots=True)
class TaggedRows:
    """Sentences that are read as they are needed: ids, and in a second row (3, words) first,
    last and tags."""

    ids: Rows
    words: Rows

    @classmethod
    def of(cls, sentences: Sequence[TaggedIds]) -> TaggedRows:
        """The same sentences, in memory."""
        return cls(Rows.of(s.ids for s in sentences), Rows.of(words_of(s) for s in sentences))

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: Sequence[int] | Array) -> list[TaggedIds]:
        """The sentences of these numbers."""
        return [TaggedIds(self.ids[number], *self.words[number].reshape(3, -1)) for number in index]


def words_of(sentence: TaggedIds) -> Array:
    """What is said of a sentence's words, as `TaggedRows.words` has it."""
    return np.concatenate([sentence.first, sentence.last, sentence.tags])
