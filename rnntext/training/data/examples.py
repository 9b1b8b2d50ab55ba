"""Encoded examples of the supervised tasks, in memory and on disk.

Knows: how documents with labels and sentences with tags are stored in ragged arrays. Does not know:
names of labels, or training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rnntext.text.tokenizer import EncodedWords
from rnntext.training.data.store import Array, RaggedArray


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """Encoded documents, and the indices of each one's labels."""

    ids: list[Array]
    labels: list[Array]


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Documents that are read on demand: one row of ids and one of label indices per document."""

    ids: RaggedArray
    labels: RaggedArray

    @classmethod
    def of(cls, documents: LabelledIds) -> LabelledRows:
        """Store the documents in memory."""
        ids, labels = map(RaggedArray.from_arrays, (documents.ids, documents.labels))
        return cls(ids, labels)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: Sequence[int] | Array) -> LabelledIds:
        """Return the documents with these indices."""
        return LabelledIds(
            [self.ids[number] for number in index], [self.labels[number] for number in index]
        )


@dataclass(frozen=True, slots=True)
class TextRows:
    """Texts that are read on demand: a row of UTF-8 for each."""

    rows: RaggedArray

    @classmethod
    def of(cls, texts: Sequence[str]) -> TextRows:
        """Store the texts in memory."""
        return cls(RaggedArray.from_arrays(map(encode_text, texts)))

    def read(self, index: Sequence[int] | Array) -> list[str]:
        """Return the texts with these indices."""
        return [
            self.rows[number].astype(np.uint8).tobytes().decode("utf-8", "surrogatepass")
            for number in index
        ]


# Between the words of a sentence in `TextRows`. A reader of tagged files splits at it, so that no
# word has one; in a word of a data set it becomes a space.
_WORD_SEPARATOR = "\n"


def join_words(words: Sequence[str]) -> str:
    """Return words as one text, from which `split_joined_words` gets them back."""
    return _WORD_SEPARATOR.join(word.replace(_WORD_SEPARATOR, " ") for word in words)


def split_joined_words(text: str) -> list[str]:
    """The inverse of `join_words`, for one word or more."""
    return text.split(_WORD_SEPARATOR)


def encode_text(text: str) -> Array:
    """Return the row of a text in `TextRows`. A JSON string may hold half of a surrogate pair."""
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)


def one_hot(labels: Sequence[Array], width: int) -> Array:
    """Indices of each row's labels -> 0 and 1, (N, width) in float32."""
    rows = np.zeros((len(labels), width), np.float32)
    for row, indices in zip(rows, labels, strict=True):
        row[indices] = 1
    return rows


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


def words_of_pieces(words: Sequence[str], pieces: Sequence[TaggedIds]) -> Iterator[Sequence[str]]:
    """Divide the words of a sentence as it is divided into pieces."""
    start = 0
    for piece in pieces:
        stop = start + len(piece.tags)
        yield words[start:stop]
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
