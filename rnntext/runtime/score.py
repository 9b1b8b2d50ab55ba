"""How expected lines are: their surprisal under a language model, by line and by word.

Knows: lines and words as units of surprisal, and the state that may go on from line to line. Does
not know: input, output or consoles.

The surprisal of a token is the negative logarithm of its probability given what stands before it
(Shannon 1948), here in bits. A line's end is a token as well, and is scored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext import metrics
from rnntext.runtime.language_model import LanguageModel
from rnntext.text.tokenizer import LineOfWords, Tokenizer

Array = npt.NDArray[Any]

# How the end of a line is written among its words.
LINE_END = "<eos>"


@dataclass(frozen=True, slots=True)
class WordScore:
    """The surprisal of one word, the white space before it included, in bits."""

    word: str
    bits: float


@dataclass(frozen=True, slots=True)
class LineScore:
    """How expected a line is, its end included."""

    text: str
    bits: float  # surprisal of the line
    tokens: int
    known_bits: float  # of the tokens that are not the unknown word
    unknown: int  # tokens that are
    n_bytes: int | None  # of the line and its LF; None where the tokenizer lost some of it
    words: list[WordScore] | None = None  # the last is the line's end

    @property
    def perplexity(self) -> float:
        return metrics.perplexity(self.bits * math.log(2), self.tokens)

    @property
    def perplexity_known(self) -> float:
        """Perplexity of the tokens that are not the unknown word."""
        return metrics.perplexity(self.known_bits * math.log(2), self.tokens - self.unknown)

    @property
    def bits_per_byte(self) -> float | None:
        return None if self.n_bytes is None else self.bits / self.n_bytes


class Scorer:
    """Scores lines one batch after another. With `carry` the state goes on from line to line, so
    that one scorer is for one stream of text; without it every line starts afresh and a scorer is
    safe to share between threads."""

    def __init__(self, model: LanguageModel, *, carry: bool = False) -> None:
        self._model = model
        self._carried = model.start() if carry else None

    def restart(self) -> None:
        """Forget what was read: another text begins."""
        if self._carried is not None:
            self._carried = self._model.start()

    @classmethod
    def load(cls, directory: Path, threads: int | None = None, *, carry: bool = False) -> Scorer:
        """Raises CheckpointError where the directory holds no sound language model."""
        return cls(LanguageModel.load(directory, threads, intra_op=carry), carry=carry)

    def score(self, texts: Sequence[str], *, words: bool = False) -> list[LineScore]:
        """The scores of some lines, in order; with `words` those of their words as well."""
        tokenizer = self._model.tokenizer
        if not words:
            lines = tokenizer.encode_lines(texts)
            found = self._log_probabilities(lines)
            return [
                self._line(text, ids, scores)
                for text, ids, scores in zip(texts, lines, found, strict=True)
            ]
        of_words = [_of_words(tokenizer, text) for text in texts]
        found = self._log_probabilities([line.ids for line in of_words])
        results = []
        for text, line, scores in zip(texts, of_words, found, strict=True):
            bits = _bits(scores)
            names = [*line.words, LINE_END]
            sums = np.bincount(line.owner, weights=bits, minlength=len(names))
            by_word = [WordScore(*pair) for pair in zip(names, sums.tolist(), strict=True)]
            results.append(self._line(text, line.ids, scores, by_word))
        return results

    def _log_probabilities(self, lines: Sequence[Array]) -> list[Array]:
        if self._carried is None:
            return self._model.score(lines)
        if not lines:
            return []
        scores = []
        # Every line ends a line, so that they are one document that goes on.
        for piece in self._model.score_documents([np.concatenate(lines)], self._carried):
            scores.append(piece.scores)
            self._carried = piece.state
        return np.split(np.concatenate(scores), np.cumsum([len(line) for line in lines])[:-1])

    def _line(
        self, text: str, ids: Array, scores: Array, words: list[WordScore] | None = None
    ) -> LineScore:
        bits = _bits(scores)
        tokenizer = self._model.tokenizer
        known = ids != (-1 if tokenizer.unk_id is None else tokenizer.unk_id)
        unknown = len(ids) - int(known.sum())
        lost = tokenizer.loses_text or unknown
        return LineScore(
            text,
            float(bits.sum()),
            len(ids),
            float(bits[known].sum()),
            unknown,
            None if lost else len(text.encode("utf-8", "surrogatepass")) + 1,
            words,
        )


def _of_words(tokenizer: Tokenizer, text: str) -> LineOfWords:
    """A record's tokens and words; where it holds lines, the end of each but the last is a word
    among them."""
    lines = tokenizer.encode_lines_of_words(text.split("\n"))
    words: list[str] = []
    owners = []
    for line in lines:
        owners.append(line.owner + len(words))
        words += [*line.words, LINE_END]
    ids = np.concatenate([line.ids for line in lines])
    return LineOfWords(ids, words[:-1], np.concatenate(owners))


def _bits(log_probabilities: Array) -> Array:
    """Nats to bits of surprisal, in float64, in which they are summed."""
    return np.asarray(log_probabilities.astype(np.float64) / -math.log(2))
