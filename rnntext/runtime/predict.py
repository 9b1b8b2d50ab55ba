"""The next word of a text, from a language model of any tokenizer.

Knows: what a word is where tokens are smaller than words, and the search for the likeliest
words. Does not know: how the model is run (`language.py`), input, output or consoles.

Words
    For `word`, the words are those of the vocabulary, marks included; each is one token, so that
    there is nothing to search and nothing unexplored. For the other kinds a word is a run of
    letters, digits, combining marks and underscores, inside which an apostrophe or a hyphen may
    stand before a letter or digit (don't, well-known); any other sign is a word by itself. So a
    comma after `hello` ends the word `hello` as white space does. The line's end and what the
    vocabulary does not know are never words; their share goes to no word.

Where a word starts
    White space at the end of a text is read as one space, and a text that ends in a word as if
    a space followed, for that word is taken to be whole. After any other sign (an opening
    bracket, a full stop) the next word may come with or without white space.
    When a word is to be completed, the letters at the end of the text are its beginning. The
    model is taken back to before them and before their space, because it may spell the whole
    word in other tokens than its beginning alone. Probabilities are conditioned on the space
    and on the beginning.

Search
    A word's probability is the sum over its spellings in tokens, each times the probability
    that the word does not go on. Best first: of all prefixes of words, the one with the largest
    mass (the probability that the text goes on so) is read next. Prefixes that are still inside
    a given beginning are read before the others, until they are negligible. The search is over
    when no prefix left has more mass than the k-th word found, so that none by itself could lead
    to a better word, or after a bounded number of prefixes. The mass of all that was never read
    bounds what is missing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.errors import UsageError
from rnntext.runtime.language_model import LanguageModel, State, select
from rnntext.runtime.words import (
    ENDS,
    ENDS_INSIDE,
    GOES_ON,
    LETTERS,
    Mode,
    Pieces,
    mode_after,
    word_at_end,
)
from rnntext.text.batches import buckets
from rnntext.text.tokenizer import Tokenizer, split_words

Array = npt.NDArray[Any]

# Texts searched side by side, and their tokens with padding.
_TEXTS = 64
_MAX_TOKENS = 1 << 14
# Prefixes that go through the model at once, and those of one text among them. The latter is
# fixed, so that the search for one text does not depend on the others.
_ROWS = 128
_ROWS_OF_TEXT = 4
# Prefixes of one text that are read at most.
_LIMIT = 256
# Of the mass of a word's beginning, what a prefix inside it must have to be read.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class WordPrediction:
    """A word, and the probability that it comes next."""

    word: str
    probability: float


@dataclass(frozen=True, slots=True)
class Predictions:
    """The words that may follow a text, likeliest first.

    `unexplored` is the probability of all that the search did not look at. The true probability
    of a listed word is never lower than the one given, and higher by at most `unexplored`; that
    of a word that was not found is at most `unexplored`.
    """

    text: str
    words: list[WordPrediction]
    unexplored: float


_Answer = tuple[list[WordPrediction], float]  # the words, and what was not explored


class Predictor:
    """Predicts words with a language model; safe to share between threads."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._tokenizer = model.tokenizer

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Predictor:
        """Raises CheckpointError where the directory holds no sound language model."""
        return cls(LanguageModel.load(directory, threads))

    def predict(
        self, texts: Sequence[str], *, top_k: int = 5, complete: bool = False
    ) -> list[Predictions]:
        """The `top_k` likeliest next words of each text, in order; with `complete`, of those
        that begin with the letters in which the text ends. Fewer where no more were found.

        A text's answer does not depend on the others. Raises UsageError for a `top_k` below 1.
        """
        if top_k < 1:
            raise UsageError(f"--top-k must be at least 1, not {top_k}")
        places = [_place(text, self._tokenizer, complete) for text in texts]
        prompts = self._tokenizer.encode_prompts([place.context for place in places])
        lengths = np.array([len(ids) for ids in prompts], np.int64)
        batches = list(buckets(lengths, max_rows=_TEXTS, max_tokens=_MAX_TOKENS))

        def answers(batch: Array) -> list[_Answer]:
            start = self._model.initial_state(len(batch))
            logits, state = self._model.read([prompts[i] for i in batch], start)
            return self._answers([places[i] for i in batch], logits, state, top_k)

        results: dict[int, Predictions] = {}
        for batch, found in zip(batches, self._model.map(answers, batches), strict=True):
            for i, (words, unexplored) in zip(batch.tolist(), found, strict=True):
                results[i] = Predictions(texts[i], words, unexplored)
        return [results[i] for i in range(len(texts))]

    def _answers(
        self, places: Sequence[_Place], logits: Array, state: State, top_k: int
    ) -> list[_Answer]:
        """The words at some places, given the logits (B, V) and the state after each prompt."""
        vocabulary = self._vocabulary
        if isinstance(vocabulary, _Words):
            return [
                (vocabulary.likeliest(_softmax(row), place.beginning, top_k), 0.0)
                for place, row in zip(places, logits, strict=True)
            ]
        searches = [_Search(vocabulary, place, top_k) for place in places]
        for row, search in enumerate(searches):
            search.expand(search.root, _softmax(logits[row]), select(state, [row]))
        while steps := [step for search in searches for step in search.next_steps()]:
            for first in range(0, len(steps), _ROWS):
                self._take(steps[first : first + _ROWS])
        return [(search.words(), search.unexplored()) for search in searches]

    def _take(self, steps: Sequence[_Step]) -> None:
        """Read some prefixes through the model, and hand what may follow to their searches."""
        tokens = np.array([step.token for step in steps], np.int64)
        parts = zip(*(step.state for step in steps), strict=True)
        before = tuple(np.concatenate(rows, axis=1) for rows in parts)  # (layers, B, H)
        logits, state = self._model.step(tokens, before)
        for row, step in enumerate(steps):
            step.search.expand(step.prefix, _softmax(logits[row]), select(state, [row]))

    @cached_property
    def _vocabulary(self) -> _Words | Pieces:
        whole = self._tokenizer.config.kind == "word"
        return _Words(self._tokenizer) if whole else Pieces(self._tokenizer)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a text the next word starts."""

    context: str  # what is read before
    required: bytes  # what comes next in any case: a space, the beginning of the word
    beginning: str  # of the word, in the tokenizer's case


def _place(text: str, tokenizer: Tokenizer, complete: bool) -> _Place:
    kind = tokenizer.config.kind
    before, line_feed, line = text.rpartition("\n")
    given = _beginning(_last_chunk(line), tokenizer) if complete else ""
    ahead = line[: len(line) - len(given)]
    bare = ahead.rstrip()
    apart = bool(bare) and (bare != ahead or word_at_end(_last_chunk(bare)) != "")
    context = before + line_feed + bare
    # The tokenizer lowers each character by itself.
    beginning = "".join(map(str.lower, given)) if tokenizer.config.lowercase else given
    if kind == "word":
        return _Place(context, b"", beginning)
    if kind == "bpe":
        # There the first word of a line has a space before it too.
        space = " " if apart or not bare else ""
        return _Place(context, (space + beginning).encode(), beginning)
    # The letters have one spelling, so that they may as well be read with the context.
    return _Place(context + (" " if apart else "") + given, b"", beginning)


def _last_chunk(line: str) -> str:
    """What stands after the last white space."""
    return line.rsplit(maxsplit=1)[-1] if line and not line[-1].isspace() else ""


def _beginning(chunk: str, tokenizer: Tokenizer) -> str:
    """What of a chunk, at its end, is the beginning of a word; nothing where only a mark is."""
    if tokenizer.config.presplit:
        return chunk
    if tokenizer.config.kind == "word":
        last = "".join(split_words(chunk)[-1:])
        return last if "w" in last.translate(LETTERS) else ""
    return word_at_end(chunk)


def _softmax(logits: Array) -> Array:
    """Logits (V) -> probabilities (V), in float64 because masses of prefixes are products."""
    odds = np.exp(logits - logits.max()).astype(np.float64)
    return np.asarray(odds / odds.sum())


@dataclass(slots=True)
class _Prefix:
    """The beginning of a word in tokens."""

    mass: float
    spelling: str  # its whole characters
    mode: Mode
    required: bytes = b""  # what must still come
    state: State = ()  # after its last token, once that was read


@dataclass(frozen=True, slots=True)
class _Step:
    """A prefix to be read: its last token, and the state before that."""

    search: _Search
    prefix: _Prefix
    token: int
    state: State


class _Search:
    """The search for the likeliest words at one place.

    Masses are those of spellings that agree with what is required so far; only results are
    divided by the mass of all that agree with all of it.
    """

    def __init__(self, pieces: Pieces, place: _Place, top_k: int) -> None:
        self._pieces = pieces
        self._beginning = place.beginning
        self._top_k = top_k
        if place.required:
            self.root = _Prefix(1.0, "", Mode(), place.required)
        else:
            self.root = _Prefix(1.0, place.beginning, mode_after(place.beginning))
        self._found: dict[str, float] = {}
        self._least = 0.0  # the mass of the k-th word found
        # What was not read yet: prefixes that lack required bytes, and the others.
        self._inside = _Queue()
        self._open = _Queue()
        self._dropped = 0.0  # the mass of what will never be read
        self._agreeing = 0.0 if place.required else 1.0  # the mass that has all required bytes
        self._taken = 0

    def expand(self, prefix: _Prefix, probabilities: Array, state: State) -> None:
        """Take note of what follows a prefix, given the probabilities (V) of the next token."""
        prefix.state = state
        masses = prefix.mass * probabilities
        effects = self._pieces.effects(prefix.mode)
        ids = None
        if prefix.required:
            ids, inside = self._pieces.agreeing(prefix.required)
            self._agreeing += float(masses[ids].sum())
            self._inside.add(prefix, inside, masses[inside])
        whole = prefix.spelling[:-1] if prefix.mode.letters == "wc" else prefix.spelling
        self._credit(whole, float(masses[effects.having(ENDS, ids)].sum()))
        ends_inside = effects.having(ENDS_INSIDE, ids)
        sums = np.bincount(effects.ending[ends_inside], masses[ends_inside])
        for index in np.flatnonzero(sums).tolist():
            self._credit(prefix.spelling + effects.endings[index], float(sums[index]))
        if len(self._found) >= self._top_k:
            self._least = heapq.nlargest(self._top_k, self._found.values())[-1]
        self._queue(prefix, effects.having(GOES_ON, ids), masses)

    def next_steps(self) -> list[_Step]:
        """The prefixes to read next; none when the search is over."""
        steps: list[_Step] = []
        while len(steps) < _ROWS_OF_TEXT and self._taken < _LIMIT:
            if self._inside.largest > _NEGLIGIBLE * self._agreeing:
                parent, token, mass = self._inside.take()
            elif self._open.largest > self._least:
                parent, token, mass = self._open.take()
            else:
                break
            prefix = self._longer(parent, token, mass)
            steps.append(_Step(self, prefix, token, parent.state))
            self._taken += 1
        return steps

    def _longer(self, prefix: _Prefix, token: int, mass: float) -> _Prefix:
        text, mode = self._pieces.follow(prefix.mode, token)
        spelling = (prefix.spelling + text).lstrip()
        return _Prefix(mass, spelling, mode, prefix.required[self._pieces.size(token) :])

    def words(self) -> list[WordPrediction]:
        """The likeliest words found; equals in the order of their characters."""
        total = self._agreeing + self._inside.mass()
        found = [(-mass, word) for word, mass in self._found.items() if mass > 0]
        best = heapq.nsmallest(self._top_k, found)
        return [WordPrediction(word, -mass / total) for mass, word in best]

    def unexplored(self) -> float:
        """The probability of all that was not read; 1 where what is required is so improbable
        that its mass is 0."""
        inside = self._inside.mass()
        total = self._agreeing + inside
        return min((self._dropped + self._open.mass() + inside) / total, 1.0) if total else 1.0

    def _credit(self, word: str, mass: float) -> None:
        # A text that ends in `don'` is not completed to `don`.
        if word and word.startswith(self._beginning):
            self._found[word] = self._found.get(word, 0.0) + mass

    def _queue(self, prefix: _Prefix, ids: Array, masses: Array) -> None:
        """Queue what goes on a prefix, but for what would never have its turn."""
        masses = masses[ids]
        best = np.flatnonzero(masses > self._least)
        surplus = len(best) - (_LIMIT - self._taken)
        if surplus > 0:
            best = best[np.argpartition(masses[best], surplus - 1)[surplus:]]
        self._open.add(prefix, ids[best], masses[best])
        masses[best] = 0
        self._dropped += float(masses.sum())


class _Queue:
    """Prefixes that are one token longer than one that was read; the largest mass comes first."""

    def __init__(self) -> None:
        # Of what follows one prefix the likeliest alone is in the heap, the rest wait behind it:
        # (-mass, a number to settle ties, the prefix, tokens and masses, the place in these).
        self._heap: list[tuple[float, int, _Prefix, Array, Array, int]] = []
        self._number = count()

    @property
    def largest(self) -> float:
        """The mass of the first; 0 where there is none."""
        return -self._heap[0][0] if self._heap else 0.0

    def add(self, prefix: _Prefix, tokens: Array, masses: Array) -> None:
        """Add what follows a prefix: tokens, and the mass of the prefix with each."""
        order = np.argsort(-masses, kind="stable")
        if len(order):
            self._push(prefix, tokens[order], masses[order], 0)

    def take(self) -> tuple[_Prefix, int, float]:
        """The first: the prefix before, the token, and the mass with it."""
        negative, _, prefix, tokens, masses, place = heapq.heappop(self._heap)
        if place + 1 < len(tokens):
            self._push(prefix, tokens, masses, place + 1)
        return prefix, int(tokens[place]), -negative

    def mass(self) -> float:
        """The mass of all."""
        return sum(float(masses[place:].sum()) for *_, masses, place in self._heap)

    def _push(self, prefix: _Prefix, tokens: Array, masses: Array, place: int) -> None:
        number = next(self._number)
        entry = (-float(masses[place]), number, prefix, tokens, masses, place)
        heapq.heappush(self._heap, entry)


class _Words:
    """A vocabulary of whole words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        words = [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
        predicted = set(range(len(words))) - {tokenizer.eos_id, tokenizer.unk_id}
        self._ids = np.array(sorted(predicted, key=words.__getitem__), np.int64)
        self._words = [words[i] for i in self._ids]

    def likeliest(self, probabilities: Array, beginning: str, top_k: int) -> list[WordPrediction]:
        """The likeliest of the words with this beginning, given probabilities (V) of all ids."""
        size = len(beginning)
        first = bisect_left(self._words, beginning)
        last = bisect_right(self._words, beginning, key=lambda word: word[:size])
        masses = probabilities[self._ids[first:last]]
        total = float(masses.sum()) if beginning else 1.0
        order = np.argsort(-masses, kind="stable")[:top_k].tolist()
        return [
            WordPrediction(self._words[first + i], float(masses[i]) / total)
            for i in order
            if masses[i] > 0
        ]
