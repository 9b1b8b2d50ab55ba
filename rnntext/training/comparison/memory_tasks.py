"""What tasks that need long memory have in common, and the simplest of them: recall.

Knows: examples of one distance as ids with their answers, and which of them are held out for the
test. Does not know: networks, or how they are trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

# One example in so many is a test example.
_HELD_OUT = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples of one distance: `ids` (B, T), and the answer after the last of them, (B)."""

    ids: Ids
    answers: Ids


class MemoryTask(Protocol):
    """A task whose answer lies `distance` tokens before the end of the input."""

    vocabulary: tuple[str, ...]  # a token for each id
    answers: tuple[str, ...]  # all as frequent: chance is one over their number
    least_distance: int

    def contexts(self, rng: np.random.Generator, distance: int, count: int) -> Ids:
        """Draw (count, T) ids in which the token that holds the answer is still that of answer 0.
        T is the same for all rows of a call, which may depend on `rng`."""

    def place(self, contexts: Ids, distance: int, answers: Ids) -> Ids:
        """Return the contexts with the tokens that hold these answers, (B)."""


def training_batch(task: MemoryTask, rng: np.random.Generator, distance: int, size: int) -> Batch:
    """Draw `size` examples that are not held out, with random answers."""
    contexts = _drawn(task, rng, distance, size, held_out=False)
    answers = rng.integers(0, len(task.answers), size)
    return Batch(task.place(contexts, distance, answers), answers)


def held_out_batch(task: MemoryTask, rng: np.random.Generator, distance: int, size: int) -> Batch:
    """Draw `size` held-out contexts, each with every answer, so that whoever does not see the token
    that holds the answer is right exactly as often as chance."""
    contexts = _drawn(task, rng, distance, size, held_out=True)
    count = len(task.answers)
    answers = np.tile(np.arange(count), size)  # (size * answers)
    return Batch(task.place(contexts.repeat(count, axis=0), distance, answers), answers)


def is_held_out(contexts: Ids) -> NDArray[np.bool_]:
    """Return for each context, (B, T) -> (B), whether it is one of the test. That depends on its
    tokens alone, without the answer, so that no test example occurs in training."""
    held_out: NDArray[np.bool_] = contexts.sum(axis=1) % _HELD_OUT == 0
    return held_out


def _drawn(
    task: MemoryTask, rng: np.random.Generator, distance: int, size: int, *, held_out: bool
) -> Ids:
    # Enough that one draw nearly always has as many rows as are wanted.
    count = (2 * _HELD_OUT if held_out else 2) * size
    while True:
        contexts = task.contexts(rng, distance, count)
        kept: Ids = contexts[is_held_out(contexts) == held_out]
        if len(kept) >= size:
            return kept[:size]


class Recall:
    """Name the letter after the mark, `distance` letters later (after Hochreiter and Schmidhuber
    1997, whose first experiments have such a lag).

    Up to 8 letters, the mark `!`, the letter to be named, `distance` more letters, and `?`.
    All letters are of one alphabet, so that a network has to keep one against all later ones.
    """

    answers: tuple[str, ...] = tuple("abcdefgh")
    vocabulary: tuple[str, ...] = (*answers, "!", "?")
    least_distance = 1
    _MOST_BEFORE = 8

    def contexts(self, rng: np.random.Generator, distance: int, count: int) -> Ids:
        letters = len(self.answers)
        before = int(rng.integers(0, self._MOST_BEFORE + 1))
        ids = rng.integers(0, letters, (count, before + distance + 3))
        ids[:, before] = self.vocabulary.index("!")
        ids[:, before + 1] = 0
        ids[:, -1] = self.vocabulary.index("?")
        return ids

    def place(self, contexts: Ids, distance: int, answers: Ids) -> Ids:
        ids = contexts.copy()
        ids[:, -distance - 2] = answers
        return ids
