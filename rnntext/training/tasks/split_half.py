"""The splitter of a tagger, which divides raw text into the words that the tagger knows.

Knows: which sentences it is learned from, and what of the data tells that raw text will not meet
their words. Does not know: either model of a splitter, or the tagger.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from rnntext.checkpoint import SPLITTER
from rnntext.ngrams import read_notes
from rnntext.raw_text_metrics import RawTextCounts, placed_words
from rnntext.splitting.splitter import Splitter, SplitterWeights
from rnntext.text.raw_text import RawText
from rnntext.text.word_splitting import split_words
from rnntext.training.data.examples import TextRows, split_joined_words
from rnntext.training.linear.ranges import learn_ranges
from rnntext.training.linear.splitting import learn_characters
from rnntext.training.tasks.ngram_half import one_thread

# Bytes of rows that are learned from, at most: some 700,000 tokens.
_MOST_BYTES = 1 << 24
# The share of a time budget, and the bytes of rows that are learned from in a second. In a language
# with spaces it is several times as many.
_SHARE, _SPEED = 0.1, 80_000
# What is noted in the file of a model: the number of sentences, and whether they were all.
_SENTENCES, _ALL = "sentences", "all"
# A warning is due if the rule does not find so many of the words of a sample of sentences.
_MOST_MISSED, _SAMPLE = 0.05, 2000


class _Sentences(NamedTuple):
    raw: list[RawText]
    words: list[list[str]]


class SplitHalf:
    """The splitter of one run."""

    def __init__(
        self, train: TextRows, train_words: TextRows, valid: TextRows, valid_words: TextRows
    ) -> None:
        """`train`, `valid`: the raw texts of sentences as `RawText.serialize` returns them, empty
        where the data do not say; `train_words`, `valid_words`: their words, joined."""
        self._train, self._train_words = train, train_words
        self._valid, self._valid_words = valid, valid_words
        self._lengths = train.rows.lengths()
        self.sentences = 0
        self.seconds = 0.0  # that this took
        self.learns_from_all = False
        self._content = b""

    @property
    def is_possible(self) -> bool:
        """True if the data say how some of their words are written."""
        return bool(self._lengths.any())

    def learn(self, minutes: float | None, seed: int, sentences: int | None = None) -> float:
        """Learn from so many training sentences (None: from all, or a random part of them where
        they are many for `minutes`). Return the F1 of the words of the validation sentences."""
        started = time.perf_counter()
        chosen = np.random.default_rng(seed).permutation(np.flatnonzero(self._lengths))
        if sentences is None:
            # The clock is not asked, so that a run can be repeated.
            most = _MOST_BYTES
            if minutes is not None:
                most = min(most, int(60 * minutes * _SHARE * _SPEED))
            sentences = int(np.searchsorted(np.cumsum(self._lengths[chosen]), most)) + 1
        self.learns_from_all = sentences >= len(chosen)
        found = _read(self._train, self._train_words, np.sort(chosen[:sentences]))
        weights = _learn(found)
        self.sentences = len(found.raw)
        notes = {_SENTENCES: self.sentences, _ALL: int(self.learns_from_all)}
        self._content = weights.serialize(notes)
        self.seconds = time.perf_counter() - started
        return self._words_f1(Splitter(weights))

    def _words_f1(self, splitter: Splitter) -> float:
        valid = _read(self._valid, self._valid_words, np.flatnonzero(self._valid.rows.lengths()))
        divided = splitter.divide([raw.text for raw in valid.raw])
        counts = RawTextCounts()
        for raw, words, found in zip(*valid, divided, strict=True):
            counts.add(placed_words(raw, words), placed_words(*found))
        return counts.words_f1

    def restore(self, content: bytes) -> None:
        """Continue with the model that `files` wrote."""
        notes = read_notes(content)
        self._content = content
        self.sentences, self.learns_from_all = notes.get(_SENTENCES, 0), bool(notes.get(_ALL))

    def files(self) -> dict[str, bytes]:
        """Return name and content of the file of the model."""
        return {SPLITTER: self._content} if self._content else {}

    def learn_from_validation_too(self) -> dict[str, bytes]:
        """Return the file of a model that was learned from the training and the validation
        sentences together."""
        train, valid = (
            _read(rows, words, np.flatnonzero(rows.rows.lengths()))
            for rows, words in (
                (self._train, self._train_words),
                (self._valid, self._valid_words),
            )
        )
        both = _Sentences(train.raw + valid.raw, train.words + valid.words)
        notes = {_SENTENCES: len(both.raw), _ALL: 1}
        return {SPLITTER: _learn(both).serialize(notes)}

    def seconds_to_learn_again(self) -> float:
        """Return how long this is expected to take."""
        return max(self.seconds, float(self._lengths.sum()) / _SPEED)


def _read(raw: TextRows, words: TextRows, chosen: Sequence[int] | np.ndarray) -> _Sentences:
    return _Sentences(
        [RawText.parse(text) for text in raw.read(chosen)],
        [split_joined_words(text) for text in words.read(chosen)],
    )


def _learn(sentences: _Sentences) -> SplitterWeights:
    with one_thread():
        return SplitterWeights(learn_characters(sentences.raw), learn_ranges(*sentences))


def unlike_raw_text(words_of_sentences: TextRows) -> str | None:
    """Return what a user should know who trains with words of which the data do not say how they
    are written: that the rule will not find them in raw text; None if it will."""
    sample = words_of_sentences.read(range(min(_SAMPLE, len(words_of_sentences.rows))))
    sentences = [split_joined_words(text) for text in sample]
    words = list(chain.from_iterable(sentences))
    spaced = sum(" " in word.strip() for word in words) / len(words)
    missed = 1 - sum(split_words(word) == [word] for word in words) / len(words)
    unspaced = sum(map(_is_unspaced, words)) / len(words)
    if unspaced > 0.5:
        reason = "their script has no spaces between words"
    elif spaced > _MOST_MISSED:
        reason = f"{spaced:.0%} of their words have spaces inside"
    elif missed > _MOST_MISSED:
        reason = f"it divides {missed:.0%} of their words"
    else:
        return None
    return (
        "the data do not say how their words are written in raw text, which `tag` will split by a "
        f"rule that does not find them ({reason}): learn from CoNLL-U with `# text`, or give words "
        "to `tag --pretokenized`"
    )


# Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana and ideographs.
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x9FFF))


def _is_unspaced(word: str) -> bool:
    return any(start <= ord(word[0]) <= stop for start, stop in _UNSPACED)
