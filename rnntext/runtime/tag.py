"""Sentences of words to tags with their probabilities.

Knows: how a tagger's graph is fed and its emissions decoded. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.crf import marginals, viterbi
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.batches import pad
from rnntext.text.tokenizer import EncodedWords, split_words

Array = npt.NDArray[Any]
Answer = tuple[Array, Array]  # the tags' numbers and their probabilities, (words) each

# Pairs of labels that are looked at at once, of all sentences together: 8 MB of them.
_PAIRS = 1 << 20


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words, the tag of each, and how probable that tag is given the whole sentence."""

    text: str
    words: list[str]
    tags: list[str]
    probabilities: list[float]


class Tagger:
    """A trained tagger; safe to share between threads."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self.labels = model.config.labels
        self._parts: tuple[str, ...] = ()
        if not model.config.encoder.bidirectional:
            self._parts = model.config.encoder.state_names
        # The CRF's parameters, which are the same whatever is read.
        token = EncodedWords(*(np.zeros(1, np.int32) for _ in range(3)))
        names = ["start", "transitions", "end"]
        self._crf = model.session.run(names, {**_feeds([token]), **self._start(1)})

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Tagger:
        """Raises CheckpointError where the directory holds no sound tagger."""
        return cls(open_model(directory, "tag", threads))

    def tag(self, texts: Sequence[str], *, pretokenized: bool = False) -> list[TaggedSentence]:
        """Tag each text as one sentence, split into words by the tokenizer's WORD_PATTERN, or
        with `pretokenized` at spaces alone."""
        return list(self.answers(texts, pretokenized=pretokenized))

    def answers(
        self, texts: Sequence[str], *, pretokenized: bool = False
    ) -> Iterator[TaggedSentence]:
        """What `tag` gives. Reading begins at once (see `Session.map`)."""
        words = [[w for w in t.split(" ") if w] if pretokenized else split_words(t) for t in texts]
        return self._tagged(words, texts, self._begin(self._model.tokenizer.encode_words(words)))

    def tag_words(self, sentences: Sequence[Sequence[str]]) -> list[TaggedSentence]:
        """Tag sentences that are words already."""
        texts = [" ".join(words) for words in sentences]
        found = self._begin(self._model.tokenizer.encode_words(sentences))
        return list(self._tagged(sentences, texts, found))

    def _tagged(
        self,
        sentences: Sequence[Sequence[str]],
        texts: Sequence[str],
        found: Callable[[], Sequence[Answer]],
    ) -> Iterator[TaggedSentence]:
        for text, words, (tags, likely) in zip(texts, sentences, found(), strict=True):
            labels = [self.labels[tag] for tag in tags.tolist()]
            yield TaggedSentence(text, list(words), labels, likely.tolist())

    def tag_ids(self, sentences: Sequence[EncodedWords]) -> list[Answer]:
        """Of each sentence the tags' numbers in `labels` and their probabilities, (words) each.

        A sentence of more tokens than the model's `max_length` is read and decoded in pieces cut
        between words; an encoder of one direction carries its state from one to the next.
        """
        return self._begin(sentences)()

    def _begin(self, sentences: Sequence[EncodedWords]) -> Callable[[], list[Answer]]:
        """What waits for the answers to sentences that are being read."""
        pieces = [list(words.pieces(self._model.config.max_length)) for words in sentences]
        rows = pieces
        if not self._parts:
            # Nothing goes from piece to piece, so they may be read side by side.
            rows = [[piece] for sentence in pieces for piece in sentence]
        lengths = np.array([sum(len(piece.ids) for piece in row) for row in rows], np.int64)
        order = self._model.batches(lengths)
        read = self._model.session.map(lambda index: self._read([rows[i] for i in index]), order)

        def joined() -> list[Answer]:
            found: list[list[Answer]] = [[] for _ in rows]
            for index, answers in zip(order, read, strict=True):
                for i, answer in zip(index, answers, strict=True):
                    found[i] = answer
            in_order = iter([answer for row in found for answer in row])
            return [_joined([next(in_order) for _ in sentence]) for sentence in pieces]

        return joined

    def _read(self, rows: Sequence[Sequence[EncodedWords]]) -> list[list[Answer]]:
        """The tags of every piece of some rows and their probabilities."""
        found: list[list[Answer]] = [[] for _ in rows]
        state = self._start(len(rows))
        going = list(range(len(rows)))
        for step in range(max(map(len, rows), default=0)):
            left = [place for place, row in enumerate(going) if len(rows[row]) > step]
            state = {name: part[:, left] for name, part in state.items()}
            going = [going[place] for place in left]
            batch = [rows[row][step] for row in going]
            outputs = ["emissions", *(f"next_{name}" for name in state)]
            emissions, *after = self._model.session.run(outputs, {**_feeds(batch), **state})
            state = dict(zip(state, after, strict=True))
            for row, answer in zip(going, self._decode(batch, emissions), strict=True):
                found[row].append(answer)
        return found

    def _start(self, rows: int) -> dict[str, Array]:
        encoder = self._model.config.encoder
        shape = (encoder.num_layers, rows, encoder.hidden_size)
        return {part: np.zeros(shape, np.float32) for part in self._parts}

    def _decode(self, batch: Sequence[EncodedWords], found: Array) -> Iterator[Answer]:
        """found (N, labels): the emissions of all words, one sentence after the other. What the
        search takes for a sentence grows with the square of the number of labels."""
        rows = max(1, _PAIRS // len(self.labels) ** 2)
        ends = np.cumsum([0, *(len(sentence.first) for sentence in batch)])
        for start in range(0, len(batch), rows):
            some = batch[start : start + rows]
            yield from self._decode_some(some, found[ends[start] : ends[start + len(some)]])

    def _decode_some(self, batch: Sequence[EncodedWords], found: Array) -> Iterator[Answer]:
        words = np.array([len(sentence.first) for sentence in batch])
        emissions = np.zeros((len(batch), int(words.max()), len(self.labels)), np.float32)
        emissions[np.arange(emissions.shape[1]) < words[:, None]] = found  # (B, W, labels)
        paths = viterbi(emissions, words, *self._crf)
        likely = marginals(emissions, words, *self._crf)
        for number, path in enumerate(paths):
            yield path, likely[number, np.arange(len(path)), path]


def _feeds(batch: Sequence[EncodedWords]) -> dict[str, Array]:
    ids, lengths = pad([sentence.ids for sentence in batch])
    row = np.repeat(np.arange(len(batch)), [len(sentence.first) for sentence in batch])
    first = np.concatenate([sentence.first for sentence in batch]).astype(np.int64)
    last = np.concatenate([sentence.last for sentence in batch]).astype(np.int64)
    return {
        "ids": ids,
        "lengths": lengths,
        "first": first * len(batch) + row,
        "last": last * len(batch) + row,
    }


def _joined(pieces: Sequence[Answer]) -> Answer:
    if len(pieces) == 1:
        return pieces[0]
    empty = np.empty(0, np.int64), np.empty(0, np.float32)
    tags, likely = zip(empty, *pieces, strict=True)
    return np.concatenate(tags), np.concatenate(likely)
