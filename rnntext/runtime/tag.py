"""Sentences of words to tags with their probabilities.

Knows: how a tagger's graph is fed and its emissions decoded. Does not know: input, output or
consoles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext import checkpoint
from rnntext.runtime.crf import marginals, viterbi
from rnntext.runtime.model import TrainedModel, open_model
from rnntext.text.batches import buckets, pad
from rnntext.text.tokenizer import EncodedWords, split_words

Array = npt.NDArray[Any]

_MAX_ROWS = 64
_MAX_TOKENS = 1 << 14


@dataclass(frozen=True, slots=True)
class TaggedSentence:
    """Words, the tag of each, and how probable that tag is given the whole sentence."""

    text: str
    words: list[str]
    tags: list[str]
    probabilities: list[float]


class Tagger:
    """A trained tagger."""

    def __init__(self, model: TrainedModel) -> None:
        self._model = model
        self.labels = model.config.labels
        names = ("head.crf.start", "head.crf.transitions", "head.crf.end")
        tensors = checkpoint.load_tensors(model.checkpoint, names)
        self._start, self._transitions, self._end = (tensors[name] for name in names)

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Tagger:
        """Raises CheckpointError where the directory holds no sound tagger."""
        return cls(open_model(directory, "tag", threads))

    def tag(self, texts: Sequence[str], *, pretokenized: bool = False) -> list[TaggedSentence]:
        """Tag each text as one sentence, split into words by the tokenizer's WORD_PATTERN, or
        with `pretokenized` at spaces alone."""
        words = [[w for w in t.split(" ") if w] if pretokenized else split_words(t) for t in texts]
        return self.tag_words(words, texts)

    def tag_words(
        self, sentences: Sequence[Sequence[str]], texts: Sequence[str] | None = None
    ) -> list[TaggedSentence]:
        """Tag sentences that are words already."""
        if texts is None:
            texts = [" ".join(words) for words in sentences]
        encoded = self._model.tokenizer.encode_words(sentences)
        pieces = [
            (number, piece)
            for number, sentence in enumerate(encoded)
            for piece in _pieces(sentence, self._model.config.max_length)
        ]
        tags: list[list[str]] = [[] for _ in sentences]
        probabilities: list[list[float]] = [[] for _ in sentences]
        answers: list[tuple[Array, Array]] = [(np.empty(0), np.empty(0))] * len(pieces)
        lengths = np.array([len(piece.ids) for _, piece in pieces], np.int64)
        for index in buckets(lengths, max_rows=_MAX_ROWS, max_tokens=_MAX_TOKENS):
            batch = [pieces[i][1] for i in index]
            for i, answer in zip(index, self._decode(batch), strict=True):
                answers[i] = answer
        # Pieces of a long sentence come in its own order.
        for (number, _), (path, chosen) in zip(pieces, answers, strict=True):
            tags[number] += [self.labels[tag] for tag in path]
            probabilities[number] += map(float, chosen)
        return [
            TaggedSentence(text, list(words), found, likely)
            for text, words, found, likely in zip(
                texts, sentences, tags, probabilities, strict=True
            )
        ]

    def _decode(self, batch: Sequence[EncodedWords]) -> Iterator[tuple[Array, Array]]:
        """The tags of each sentence and their probabilities, (words) each."""
        ids, lengths = pad([sentence.ids for sentence in batch])
        words = np.array([len(sentence.first) for sentence in batch])
        row = np.repeat(np.arange(len(batch)), words)
        first = np.concatenate([sentence.first for sentence in batch]).astype(np.int64)
        last = np.concatenate([sentence.last for sentence in batch]).astype(np.int64)
        feeds = {
            "ids": ids,
            "lengths": lengths,
            "first": first * len(batch) + row,
            "last": last * len(batch) + row,
        }
        (found,) = self._model.session.run(["emissions"], feeds)  # (N, labels)
        emissions = np.zeros((len(batch), int(words.max()), len(self.labels)), np.float32)
        emissions[np.arange(emissions.shape[1]) < words[:, None]] = found  # (B, W, labels)
        scores = (emissions, words, self._start, self._transitions, self._end)
        paths = viterbi(*scores)
        likely = marginals(*scores)
        for number, path in enumerate(paths):
            yield path, likely[number, np.arange(len(path)), path]


def _pieces(sentence: EncodedWords, size: int) -> Iterator[EncodedWords]:
    """A sentence cut between words into pieces of at most `size` tokens, so that a line without
    end costs no more memory than a piece. A sentence without words has none."""
    start = 0
    while start < len(sentence.first):
        offset = sentence.first[start]
        # The words whose last token still fits, and at least one.
        stop = max(int(np.searchsorted(sentence.last, offset + size)), start + 1)
        end = int(sentence.last[stop - 1]) + 1
        yield EncodedWords(
            sentence.ids[offset:end],
            sentence.first[start:stop] - offset,
            sentence.last[start:stop] - offset,
        )
        start = stop
