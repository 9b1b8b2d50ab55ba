"""Encoded examples of the supervised tasks, in memory and on disk.

Knows: how documents with labels and sentences with tags are stored in ragged arrays. Does not know:
text, names of labels, or training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnntext.text.tokenizer import EncodedWords
from rnntext.training.data.store import Array, RaggedArray


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """Encoded documents, and their labels as 0 and 1: (N, labels)."""

    ids: list[Array]
    labels: Array


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Documents that are read on demand: one row of ids and one of label indices per document."""

    ids: RaggedArray
    labels: RaggedArray
    width: int  # number of labels

    @classmethod
    def of(cls, documents: LabelledIds) -> LabelledRows:
        """Store the documents in memory."""
        labels = RaggedArray.from_arrays(np.flatnonzero(row) for row in documents.labels)
        return cls(RaggedArray.from_arrays(documents.ids), labels, documents.labels.shape[1])

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: Sequence[int] | Array) -> LabelledIds:
        """Return the documents with these indices."""
        labels = np.zeros((len(index), self.width), np.float32)
        for row, number in enumerate(index):
            labels[row, self.labels[number]] = 1
        return LabelledIds([self.ids[number] for number in index], labels)


@dataclass(frozen=True, slots=True)
class TaggedIds:
    """An encoded sentence: its tokens, and the first token, last token and tag of each word."""

    ids: Array
    first: Array
    last: Array
    tags: Array

    def pieces(self, size: int) -> Iterator[TaggedIds]:
        """Split the sentence like `EncodedWords.pieces`, as for a trained tagger."""
        start = 0
        for words in EncodedWords(self.ids, self.first, self.last).pieces(size):
            stop = start + len(words.first)
            yield TaggedIds(words.ids, words.first, words.last, self.tags[start:stop])
            start = stop


@dataclass(frozen=True, slots=True)
class TaggedRows:
    """Sentences that are read on demand: a row of ids, and one of first, last and tags (3, words)
    flattened, per sentence."""

    ids: RaggedArray
    words: RaggedArray

    @classmethod
    def of(cls, sentences: Sequence[TaggedIds]) -> TaggedRows:
        """Store the sentences in memory."""
        return cls(
            RaggedArray.from_arrays(sentence.ids for sentence in sentences),
            RaggedArray.from_arrays(map(words_of, sentences)),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: Sequence[int] | Array) -> list[TaggedIds]:
        """Return the sentences with these indices."""
        return [TaggedIds(self.ids[number], *self.words[number].reshape(3, -1)) for number in index]


def words_of(sentence: TaggedIds) -> Array:
    """Return the row of a sentence in `TaggedRows.words`."""
    return np.concatenate([sentence.first, sentence.last, sentence.tags])
