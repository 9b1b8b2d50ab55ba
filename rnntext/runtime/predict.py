"""Prediction of the next word of a text, with a language model of any tokenizer.

Knows: where the next word starts, and the search for the most probable words. Does not know: how
the model is run (`language_model.py`), what a token does to a word (`words.py`), input, output or
consoles.

Words
    With the tokenizer `word`, the words are those of the vocabulary, punctuation included. Each is
    one token, so there is nothing to search and nothing unexplored. With the other tokenizers a
    word is a run of letters, digits, combining marks and underscores, with apostrophes or hyphens
    in front of a letter or digit (don't, well-known); any other sign is a word by itself. So a
    comma ends the word `hello` as white space does. The end of a line and the unknown token are
    never words, and no word gets their probability.
    Scripts without spaces between words (Chinese, Japanese, Thai; see `text/scripts.py`) do not
    show where a word ends. What is predicted there is the next unit as the tokenizer has learned
    it: the letters of such a script, with their marks, that one token spells, or one character
    where a token is a part of one. Its probability is the sum over the tokens that spell it.

Where a word starts
    White space at the end of a text is read as one space. A text that ends in a word is read as if
    a space followed, because that word is taken to be complete. After any other sign (an opening
    bracket, a full stop) the next word may come with or without white space, and so it may after a
    letter of a script without spaces, and after another word that stands directly after one.
    When a word is to be completed, the letters at the end of the text are its beginning. The model
    then reads only the text before them and before their space, because the tokens of a word need
    not start with the tokens of its beginning. Probabilities are conditioned on the space and the
    beginning. A unit of a script without spaces has nothing to complete: the next one is predicted.

Search
    A word's probability is the sum over its spellings in tokens, each times the probability that
    the word ends there. The search is best first: the hypothesis (a prefix of a word, in tokens)
    with the largest mass, which is its joint probability, is read next. Hypotheses that are still
    shorter than the required beginning are read before the others, until they are negligible. The
    search ends when no hypothesis has more mass than the k-th best word, so that none of them
    alone could lead to a better word, or after a limited number of hypotheses. The mass of all
    unread hypotheses bounds the error.
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

from rnntext.arguments import TOP_K
from rnntext.probabilities import softmax
from rnntext.runtime.language_model import LanguageModel, State, select
from rnntext.runtime.words import (
    CHARACTER_CLASSES,
    CONTINUES,
    ENDS,
    ENDS_INSIDE,
    PrefixState,
    SubwordVocabulary,
    place_after,
    state_after,
    unfinished_word,
)
from rnntext.text.batches import buckets
from rnntext.text.tokenizer import Tokenizer, split_words

Array = npt.NDArray[Any]

# Limits of a batch of texts: rows, and tokens with padding.
_MAX_TEXTS = 64
_MAX_TOKENS = 1 << 14
# Hypotheses in one call of the model, of all texts and of one text. The latter is fixed, so that
# the search for one text does not depend on the rest of the batch.
_BATCH_SIZE = 128
_BATCH_SIZE_PER_TEXT = 4
# Hypotheses of one text that are read at most.
_MAX_HYPOTHESES = 256
# A hypothesis shorter than the required beginning is not read if its mass is below this fraction of
# the mass that has the beginning.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True, slots=True)
class WordPrediction:
    """A word and the probability that it is the next one."""

    word: str
    probability: float


@dataclass(frozen=True, slots=True)
class Predictions:
    """The most probable next words of a text, in descending order.

    `unexplored` is the probability of all hypotheses that the search did not read. The true
    probability of a listed word is at least the one given, and at most that plus `unexplored`. The
    probability of a word that was not found is at most `unexplored`.
    """

    text: str
    words: list[WordPrediction]
    unexplored: float


_Result = tuple[list[WordPrediction], float]  # the words, and the unexplored probability


class Predictor:
    """Predicts the next word with a language model. It is safe to share between threads."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._tokenizer = model.tokenizer

    @classmethod
    def load(cls, directory: Path, threads: int | None = None) -> Predictor:
        """Load a checkpoint. Raises CheckpointError if it is not an intact language model."""
        return cls(LanguageModel.load(directory, threads, samples=False))

    def predict(
        self, texts: Sequence[str], *, top_k: int = 5, complete: bool = False
    ) -> list[Predictions]:
        """Predict the `top_k` most probable next words of each text, in order.

        With `complete`, only words that begin with the letters at the end of the text. A result
        may have fewer words, if the search found no more, and does not depend on the other texts.
        Raises UsageError for a `top_k` that is out of its range.
        """
        TOP_K.check("--top-k", top_k)
        starts = [_word_start(text, self._tokenizer, complete) for text in texts]
        prompts = self._tokenizer.encode_prompts([start.context for start in starts])
        lengths = np.array([len(ids) for ids in prompts], np.int64)
        batches = list(buckets(lengths, max_rows=_MAX_TEXTS, max_tokens=_MAX_TOKENS))

        def predict_batch(batch: Array) -> list[_Result]:
            state = self._model.initial_state(len(batch))
            logits, state = self._model.read([prompts[i] for i in batch], state)
            return self._search([starts[i] for i in batch], logits, state, top_k)

        predictions: dict[int, Predictions] = {}
        for batch, results in zip(batches, self._model.map(predict_batch, batches), strict=True):
            for i, (words, unexplored) in zip(batch.tolist(), results, strict=True):
                predictions[i] = Predictions(texts[i], words, unexplored)
        return [predictions[i] for i in range(len(texts))]

    def predict_along(
        self, text: str, places: Sequence[int], *, top_k: int = 5
    ) -> list[list[WordPrediction]]:
        """Predict the word at several places of a text: what `predict` gives for `text[:place]`.
        With ascending places the text is read once. Raises UsageError for a `top_k` that is out of
        its range."""
        TOP_K.check("--top-k", top_k)
        starts = [_word_start(text[:place], self._tokenizer, False) for place in places]
        prompts = self._tokenizer.encode_prompts([start.context for start in starts])
        found: list[list[WordPrediction]] = []
        ids = np.zeros(0, np.int32)  # what has been read
        for first in range(0, len(starts), _MAX_TEXTS):
            read: list[tuple[Array, State]] = []
            for prompt in prompts[first : first + _MAX_TEXTS]:
                if not np.array_equal(prompt[: len(ids)], ids):
                    ids = ids[:0]
                if not len(ids):
                    state = self._model.initial_state()
                if len(prompt) > len(ids):
                    logits, state = self._model.read([prompt[len(ids) :]], state)
                ids = prompt
                read.append((logits, state))
            states = zip(*(state for _, state in read), strict=True)
            found += [
                words
                for words, _ in self._search(
                    starts[first : first + _MAX_TEXTS],
                    np.concatenate([logits for logits, _ in read]),
                    tuple(np.concatenate(parts, axis=1) for parts in states),
                    top_k,
                )
            ]
        return found

    def _search(
        self, starts: Sequence[_WordStart], logits: Array, state: State, top_k: int
    ) -> list[_Result]:
        """Search for the words at each start, given the logits (B, V) and the state there."""
        vocabulary = self._vocabulary
        if isinstance(vocabulary, _WordVocabulary):
            return [
                (vocabulary.most_probable(_float64_softmax(row), start.beginning, top_k), 0.0)
                for start, row in zip(starts, logits, strict=True)
            ]
        searches = [_Search(vocabulary, start, top_k) for start in starts]
        for row, search in enumerate(searches):
            search.expand(search.root, _float64_softmax(logits[row]), select(state, [row]))
        while pending := [each for search in searches for each in search.next_expansions()]:
            for first in range(0, len(pending), _BATCH_SIZE):
                self._read_batch(pending[first : first + _BATCH_SIZE])
        return [(search.words(), search.unexplored()) for search in searches]

    def _read_batch(self, expansions: Sequence[_Expansion]) -> None:
        """Read hypotheses in one call of the model, and expand each in its search."""
        tokens = np.array([each.token for each in expansions], np.int64)
        parts = zip(*(each.state for each in expansions), strict=True)
        before = tuple(np.concatenate(rows, axis=1) for rows in parts)  # (layers, B, H)
        logits, state = self._model.step(tokens, before)
        for row, each in enumerate(expansions):
            probabilities = _float64_softmax(logits[row])
            each.search.expand(each.hypothesis, probabilities, select(state, [row]))

    @cached_property
    def _vocabulary(self) -> _WordVocabulary | SubwordVocabulary:
        if self._tokenizer.config.kind == "word":
            return _WordVocabulary(self._tokenizer)
        return SubwordVocabulary(self._tokenizer)


@dataclass(frozen=True, slots=True)
class _WordStart:
    """The place in a text where the next word starts."""

    context: str  # the text that the model reads before
    required: bytes  # the bytes that must come next: a space, the beginning of the word
    beginning: str  # of the word, in the tokenizer's case
    place: str = ""  # what it comes directly after, see `place_after`


def _word_start(text: str, tokenizer: Tokenizer, complete: bool) -> _WordStart:
    kind = tokenizer.config.kind
    before, line_feed, line = text.rpartition("\n")
    typed = _typed_beginning(_last_chunk(line), tokenizer) if complete else ""
    ahead = line[: len(line) - len(typed)]
    stripped = ahead.rstrip()
    place = "" if typed or stripped != ahead else place_after(_last_chunk(stripped))
    needs_space = bool(stripped) and (
        stripped != ahead or (not place and unfinished_word(_last_chunk(stripped)) != "")
    )
    context = before + line_feed + stripped
    # The tokenizer lowercases each character by itself.
    beginning = "".join(map(str.lower, typed)) if tokenizer.config.lowercase else typed
    if kind == "word":
        return _WordStart(context, b"", beginning)
    if kind == "bpe":
        # In `bpe` the first word of a line has a space before it too.
        space = " " if needs_space or not stripped else ""
        return _WordStart(context, (space + beginning).encode(), beginning, place)
    # Characters and bytes have only one spelling, so the model can read them with the context.
    return _WordStart(context + (" " if needs_space else "") + typed, b"", beginning, place)


def _last_chunk(line: str) -> str:
    """The text after the last white space."""
    return line.rsplit(maxsplit=1)[-1] if line and not line[-1].isspace() else ""


def _typed_beginning(chunk: str, tokenizer: Tokenizer) -> str:
    """The end of a chunk that is the beginning of a word; empty after a sign that is no letter."""
    if tokenizer.config.presplit:
        return chunk
    if tokenizer.config.kind == "word":
        last = "".join(split_words(chunk)[-1:])
        return last if {"w", "u"} & set(last.translate(CHARACTER_CLASSES)) else ""
    return unfinished_word(chunk)


def _float64_softmax(logits: Array) -> Array:
    """Logits (V) -> probabilities (V), in float64 because masses are products of many of them."""
    return softmax(logits, np.float64)


@dataclass(slots=True)
class _Hypothesis:
    """A prefix of a word, in tokens."""

    mass: float  # joint probability of its tokens
    spelling: str  # its complete characters
    scanner: PrefixState
    required: bytes = b""  # bytes that must still come
    state: State = ()  # after its last token, once that has been read


@dataclass(frozen=True, slots=True)
class _Expansion:
    """A hypothesis that is to be read: its last token, and the model's state before that."""

    search: _Search
    hypothesis: _Hypothesis
    token: int
    state: State


class _Search:
    """Best-first search for the most probable words at one start.

    Masses are joint probabilities of spellings that agree with the required bytes so far. Only
    results are divided by the total mass of all spellings that have all required bytes.
    """

    def __init__(self, vocabulary: SubwordVocabulary, start: _WordStart, top_k: int) -> None:
        self._vocabulary = vocabulary
        self._beginning = start.beginning
        self._top_k = top_k
        if start.required:
            self.root = _Hypothesis(1.0, "", PrefixState(), start.required)
        else:
            scanner = state_after(start.beginning) if start.beginning else PrefixState(start.place)
            self.root = _Hypothesis(1.0, start.beginning, scanner)
        self._word_masses: dict[str, float] = {}
        self._kth_mass = 0.0  # the mass of the k-th best word so far
        # Unread hypotheses: those that still lack required bytes, and the others.
        self._incomplete = _PriorityQueue()
        self._open = _PriorityQueue()
        self._dropped_mass = 0.0  # of hypotheses that will never be read
        self._total_mass = 0.0 if start.required else 1.0  # of what has all required bytes
        self._read_count = 0

    def expand(self, hypothesis: _Hypothesis, probabilities: Array, state: State) -> None:
        """Add the mass of words that end after a hypothesis, and queue the hypotheses that are one
        token longer. `probabilities` (V) are those of the next token."""
        hypothesis.state = state
        masses = hypothesis.mass * probabilities
        effects = self._vocabulary.effects(hypothesis.scanner)
        ids = None
        if hypothesis.required:
            ids, incomplete = self._vocabulary.matching(hypothesis.required)
            self._total_mass += float(masses[ids].sum())
            self._incomplete.add(hypothesis, incomplete, masses[incomplete])
        spelling = hypothesis.spelling
        # An apostrophe or hyphen at the end is not part of a word that ends before the next token.
        word = spelling[:-1] if hypothesis.scanner.classes == "wc" else spelling
        self._add_word(word, float(masses[effects.with_effect(ENDS, ids)].sum()))
        ends_inside = effects.with_effect(ENDS_INSIDE, ids)
        sums = np.bincount(effects.ending[ends_inside], masses[ends_inside])
        for index in np.flatnonzero(sums).tolist():
            self._add_word(spelling + effects.endings[index], float(sums[index]))
        if len(self._word_masses) >= self._top_k:
            self._kth_mass = heapq.nlargest(self._top_k, self._word_masses.values())[-1]
        self._queue(hypothesis, effects.with_effect(CONTINUES, ids), masses)

    def next_expansions(self) -> list[_Expansion]:
        """The hypotheses to read next; none if the search is finished."""
        expansions: list[_Expansion] = []
        while len(expansions) < _BATCH_SIZE_PER_TEXT and self._read_count < _MAX_HYPOTHESES:
            if self._incomplete.largest > _NEGLIGIBLE * self._total_mass:
                parent, token, mass = self._incomplete.pop()
            elif self._open.largest > self._kth_mass:
                parent, token, mass = self._open.pop()
            else:
                break
            child = self._extend(parent, token, mass)
            expansions.append(_Expansion(self, child, token, parent.state))
            self._read_count += 1
        return expansions

    def _extend(self, parent: _Hypothesis, token: int, mass: float) -> _Hypothesis:
        text, scanner = self._vocabulary.advance(parent.scanner, token)
        spelling = (parent.spelling + text).lstrip()
        return _Hypothesis(mass, spelling, scanner, parent.required[self._vocabulary.size(token) :])

    def words(self) -> list[WordPrediction]:
        """The most probable words found; words of equal probability in the order of their
        characters."""
        total = self._total_mass + self._incomplete.mass()
        ranked = [(-mass, word) for word, mass in self._word_masses.items() if mass > 0]
        best = heapq.nsmallest(self._top_k, ranked)
        return [WordPrediction(word, -mass / total) for mass, word in best]

    def unexplored(self) -> float:
        """The probability of all unread hypotheses; 1 if the required bytes are so improbable that
        their mass is 0."""
        incomplete = self._incomplete.mass()
        total = self._total_mass + incomplete
        unread = self._dropped_mass + self._open.mass() + incomplete
        return min(unread / total, 1.0) if total else 1.0

    def _add_word(self, word: str, mass: float) -> None:
        # A text that ends in `don'` is not completed to `don`.
        if word and word.startswith(self._beginning):
            self._word_masses[word] = self._word_masses.get(word, 0.0) + mass

    def _queue(self, parent: _Hypothesis, ids: Array, masses: Array) -> None:
        """Queue a hypothesis for each token, except those that would never be read."""
        masses = masses[ids]
        best = np.flatnonzero(masses > self._kth_mass)
        surplus = len(best) - (_MAX_HYPOTHESES - self._read_count)
        if surplus > 0:
            best = best[np.argpartition(masses[best], surplus - 1)[surplus:]]
        self._open.add(parent, ids[best], masses[best])
        masses[best] = 0
        self._dropped_mass += float(masses.sum())


class _PriorityQueue:
    """Unread hypotheses, each as its parent and one more token; the largest mass comes first."""

    def __init__(self) -> None:
        # Only the best child of each parent is in the heap, and its siblings follow it:
        # (-mass, a number that breaks ties, parent, tokens, masses, index of the best child).
        self._heap: list[tuple[float, int, _Hypothesis, Array, Array, int]] = []
        self._numbers = count()

    @property
    def largest(self) -> float:
        """The largest mass; 0 if the queue is empty."""
        return -self._heap[0][0] if self._heap else 0.0

    def add(self, parent: _Hypothesis, tokens: Array, masses: Array) -> None:
        """Add the children of a hypothesis: tokens, and the mass of the child with each."""
        order = np.argsort(-masses, kind="stable")
        if len(order):
            self._push(parent, tokens[order], masses[order], 0)

    def pop(self) -> tuple[_Hypothesis, int, float]:
        """Remove the hypothesis with the largest mass. Return its parent, last token and mass."""
        negative, _, parent, tokens, masses, index = heapq.heappop(self._heap)
        if index + 1 < len(tokens):
            self._push(parent, tokens, masses, index + 1)
        return parent, int(tokens[index]), -negative

    def mass(self) -> float:
        """The total mass in the queue."""
        return sum(float(masses[index:].sum()) for *_, masses, index in self._heap)

    def _push(self, parent: _Hypothesis, tokens: Array, masses: Array, index: int) -> None:
        entry = (-float(masses[index]), next(self._numbers), parent, tokens, masses, index)
        heapq.heappush(self._heap, entry)


class _WordVocabulary:
    """A vocabulary of complete words, sorted by their characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        words = [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
        predicted = set(range(len(words))) - {tokenizer.eos_id, tokenizer.unk_id}
        self._ids = np.array(sorted(predicted, key=words.__getitem__), np.int64)
        self._words = [words[i] for i in self._ids]

    def most_probable(
        self, probabilities: Array, beginning: str, top_k: int
    ) -> list[WordPrediction]:
        """The most probable words with this beginning, given the probabilities (V) of all ids."""
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
