"""Surprisal of lines and of words under a language model.

Knows: how to sum surprisal by line and by word, and how to carry the state from line to line. Does
not know: input, output or consoles.

The surprisal of a token is the negative logarithm of its probability given the tokens before it
(Shannon 1948), here in bits. The end of a line is a token too, and is scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext import metrics
from rnntext.runtime.language_model import LanguageModel
from rnntext.text.tokenizer import LineOfWords, Tokenizer

Array = npt.NDArray[Any]

# Stands for the end of a line in the list of its words.
LINE_END = "<eos>"

# Characters. A longer line is encoded and scored in parts, so that memory does not grow with it.
_LONG_LINE = 1 << 18


@dataclass(frozen=True, slots=True)
class WordScore:
    """The surprisal of one word and of the white space before it, in bits."""

    word: str
    bits: float


@dataclass(frozen=True, slots=True)
class LineScore:
    """The surprisal of one line, its end included."""

    text: str
    bits: float  # surprisal of all tokens
    tokens: int
    known_bits: float  # surprisal of the tokens that are not the unknown word
    unknown: int  # number of tokens that are the unknown word
    n_bytes: int | None  # of the line and its LF; None if the tokenizer loses part of the text
    words: list[WordScore] | None = None  # the last is the end of the line
    unknown_bytes: int = 0  # of `n_bytes`, of unknown characters

    @property
    def perplexity(self) -> float:
        return metrics.perplexity(self.bits * math.log(2), self.tokens)

    @property
    def perplexity_known(self) -> float:
        """Perplexity of the tokens that are not the unknown word."""
        return metrics.perplexity(self.known_bits * math.log(2), self.tokens - self.unknown)

    @property
    def bits_per_byte(self) -> float | None:
        """Unknown characters are charged 8 bits a byte more, see `metrics.bits_per_byte`."""
        if self.n_bytes is None:
            return None
        return metrics.bits_per_byte(self.bits * math.log(2), self.n_bytes, self.unknown_bytes)


class Scorer:
    """Scores lines, one batch after another.

    With `carry` the state is carried from line to line and from call to call, so a scorer is for
    one stream of text. Without it every line starts from a zero state, and a scorer is safe to
    share between threads.
    """

    def __init__(self, model: LanguageModel, *, carry: bool = False) -> None:
        self._model = model
        self._state = model.initial_state() if carry else None

    def restart(self) -> None:
        """Reset the carried state, before another text begins."""
        if self._state is not None:
            self._state = self._model.initial_state()

    @classmethod
    def load(cls, directory: Path, threads: int | None = None, *, carry: bool = False) -> Scorer:
        """Load a checkpoint. Raises CheckpointError if it is not an intact language model."""
        return cls(
            LanguageModel.load(directory, threads, intra_op=carry, samples=False), carry=carry
        )

    def bits_above(self, percent: float) -> float:
        """Return the bits a token that so many percent of the validation text's lines do not
        exceed, scored as this scorer does. Raises UsageError if the model does not record it."""
        from rnntext.runtime.line_bits import bits_above

        return bits_above(self._model.line_bits(), percent, carry=self._state is not None)

    def score(self, texts: Sequence[str], *, words: bool = False) -> list[LineScore]:
        """Score each line, in order; with `words` score the words of each line too. Memory does
        not grow with the length of a line, except with `words`."""
        if words:
            return self._score_words(texts)
        long = [text for text in texts if len(text) > _LONG_LINE]
        if not long:
            return self._score_whole(texts)
        if self._state is None:
            in_parts = self._model.map(self._score_in_parts, long)  # on other threads
            whole = iter(self._score_whole([text for text in texts if len(text) <= _LONG_LINE]))
            return [next(in_parts if len(text) > _LONG_LINE else whole) for text in texts]
        scores: list[LineScore] = []
        for is_long, group in groupby(texts, lambda text: len(text) > _LONG_LINE):
            lines = list(group)
            scores += map(self._score_in_parts, lines) if is_long else self._score_whole(lines)
        return scores

    def _score_whole(self, texts: Sequence[str]) -> list[LineScore]:
        lines = self._model.tokenizer.encode_lines(texts)
        scored = self._log_probabilities(lines)
        return [
            self._line_score(text, self._sums(ids, _bits(scores)))
            for text, ids, scores in zip(texts, lines, scored, strict=True)
        ]

    def _score_in_parts(self, text: str) -> LineScore:
        """Score a line of any length; the state is carried from part to part."""
        sums = _Sums()
        state, last = self._state, self._model.tokenizer.eos_id
        for ids in self._model.tokenizer.encode_in_parts(text):
            scores = np.empty(len(ids), np.float32)
            for chunk in self._model.score_documents([ids], state, last):
                scores[chunk.start : chunk.start + len(chunk.scores)] = chunk.scores
                state = chunk.state
            last = int(ids[-1])
            sums += self._sums(ids, _bits(scores))
        if self._state is not None:
            self._state = state
        return self._line_score(text, sums)

    def _score_words(self, texts: Sequence[str]) -> list[LineScore]:
        lines_of_words = [_encode_words(self._model.tokenizer, text) for text in texts]
        scored = self._log_probabilities([line.ids for line in lines_of_words])
        results = []
        for text, line, scores in zip(texts, lines_of_words, scored, strict=True):
            names, bits = [*line.words, LINE_END], _bits(scores)
            by_owner = np.bincount(line.owner, weights=bits, minlength=len(names))
            by_word = [WordScore(*pair) for pair in zip(names, by_owner.tolist(), strict=True)]
            results.append(self._line_score(text, self._sums(line.ids, bits), by_word))
        return results

    def _log_probabilities(self, lines: Sequence[Array]) -> list[Array]:
        if self._state is None:
            return self._model.score(lines)
        if not lines:
            return []
        scores = []
        # With a carried state the lines are one document, because each ends with `eos_id`.
        for chunk in self._model.score_documents([np.concatenate(lines)], self._state):
            scores.append(chunk.scores)
            self._state = chunk.state
        return np.split(np.concatenate(scores), np.cumsum([len(line) for line in lines])[:-1])

    def _sums(self, ids: Array, bits: Array) -> _Sums:
        unknown = self._model.tokenizer.unk_id
        known = ids != (-1 if unknown is None else unknown)
        tokenizer = self._model.tokenizer
        return _Sums(
            float(bits.sum()),
            len(ids),
            float(bits[known].sum()),
            len(ids) - int(known.sum()),
            0 if tokenizer.loses_text else tokenizer.known_bytes(ids),
        )

    def _line_score(
        self, text: str, sums: _Sums, words: list[WordScore] | None = None
    ) -> LineScore:
        n_bytes = None if self._model.tokenizer.loses_text else _bytes_of(text) + 1
        return LineScore(
            text,
            sums.bits,
            sums.tokens,
            sums.known_bits,
            sums.unknown,
            n_bytes,
            words,
            0 if n_bytes is None or not sums.unknown else n_bytes - sums.known_bytes,
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over tokens, as `LineScore` has them."""

    bits: float = 0.0
    tokens: int = 0
    known_bits: float = 0.0
    unknown: int = 0
    known_bytes: int = 0  # of the tokens that are not; 0 if the tokenizer loses text

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.bits + other.bits,
            self.tokens + other.tokens,
            self.known_bits + other.known_bits,
            self.unknown + other.unknown,
            self.known_bytes + other.known_bytes,
        )


def _bytes_of(text: str) -> int:
    """Return the number of bytes of a text in UTF-8, without a copy of all of it."""
    parts = (text[start : start + _LONG_LINE] for start in range(0, len(text), _LONG_LINE))
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)


def _encode_words(tokenizer: Tokenizer, text: str) -> LineOfWords:
    """Encode a record with the word that each token belongs to. If the record has several lines,
    the end of each but the last counts as a word."""
    lines = tokenizer.encode_lines_of_words(text.split("\n"))
    words: list[str] = []
    owners = []
    for line in lines:
        owners.append(line.owner + len(words))
        words += [*line.words, LINE_END]
    ids = np.concatenate([line.ids for line in lines])
    return LineOfWords(ids, words[:-1], np.concatenate(owners))


def _bits(log_probabilities: Array) -> Array:
    """Log-probabilities in nats -> surprisal in bits, in float64 because it is summed."""
    return np.asarray(log_probabilities.astype(np.float64) / -math.log(2))
