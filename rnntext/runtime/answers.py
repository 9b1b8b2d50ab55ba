"""The answers of an evaluation, one by one, and the worst mistakes among them.

Knows: what is kept of a record and its answer, and which mistakes are worse than others. Does not
know: how a model answers, or how answers are printed or written to a file.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line reads this module to show its help
    import numpy as np
    from numpy.typing import NDArray

Labels = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer: one label in place of another, a wrong set of labels, or a word's tag."""

    probability: float  # that the model gave to what is wrong
    gold: Labels
    predicted: Labels
    source: str
    line: int
    text: str
    # Of the gold label; 0 if the model does not know it, None where it is not computed.
    gold_probability: float | None = None
    label: str | None = None  # of several labels: the one that is wrong with this probability
    word: str | None = None  # of a tagger

    def as_object(self) -> dict[str, Any]:
        """Return the fields that it has, as JSON shows them."""
        values = ((name, getattr(self, name)) for name in _IN_JSON)
        return {
            name: [*value] if isinstance(value, tuple) else value
            for name, value in values
            if value is not None
        }


# The fields of a mistake in the order in which JSON shows them.
_IN_JSON = (
    "probability", "gold_probability", "gold", "predicted", "label", "word", "source", "line",
    "text",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A labelled record, what the model answered, and what is wrong with it."""

    source: str
    line: int
    columns: Mapping[str, object]  # the record's own, by name
    gold: Labels  # a label, or a set of labels, or a tag for each word
    predicted: Labels
    probability: float | tuple[float, ...]  # of each label in `predicted`
    mistakes: tuple[Mistake, ...] = ()
    # Of a classifier: the probability of each label of the model, [L].
    scores: NDArray[np.floating[Any]] | None = field(default=None, compare=False, repr=False)


# Is given the answers of an evaluation, in any number of parts, in the order of the records.
Watch = Callable[[Sequence[Answer]], None]


class WorstMistakes:
    """The `most` worst mistakes among any number of answers, in memory for that many.

    The worst is the one whose wrong label has the highest probability; of those whose wrong labels
    have the same, the one whose gold label has the lowest, and then the one that came first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._heap: list[tuple[float, float, int, Mistake]] = []  # the least bad one first

    def add(self, answers: Sequence[Answer]) -> None:
        """Add answers, of which each may have any number of mistakes."""
        for answer in answers:
            for mistake in answer.mistakes:
                self._count += 1
                # No two have the same number, so that mistakes are never compared.
                rank = (mistake.probability, -(mistake.gold_probability or 0.0), -self._count)
                if len(self._heap) < self._most:
                    heapq.heappush(self._heap, (*rank, mistake))
                elif rank > self._heap[0][:3]:
                    heapq.heapreplace(self._heap, (*rank, mistake))

    def ranked(self) -> list[Mistake]:
        """Return the mistakes, the worst one first."""
        return [mistake for *_, mistake in sorted(self._heap, key=lambda e: e[:3], reverse=True)]
