"""The answers of a classifier in an evaluation, with what is wrong about them.

Knows: which labels follow from probabilities, and how sure a model was of a wrong one. Does not
know: where the probabilities come from, or what becomes of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.runtime.answers import Answer, Labels, Mistake
from rnntext.text.labelled import Labelled

Array = npt.NDArray[Any]

# From this probability on a label is one of those that a text has, in multi-label classification;
# the same as in `metrics.classification_tally`.
THRESHOLD = 0.5


def label_answers(
    labels: Sequence[str], multi_label: bool
) -> Callable[[Sequence[Labelled], Array], list[Answer]]:
    """Return a function that makes an answer of each example and its row of the probabilities
    (N, labels), columns in the order of `labels`."""
    return _SeveralLabels(labels) if multi_label else _OneLabel(labels)


class _OneLabel:
    """What an evaluation tells of texts of which each has one label: the likeliest."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._column = {label: position for position, label in enumerate(self._labels)}

    def __call__(self, examples: Sequence[Labelled], probabilities: Array) -> list[Answer]:
        """Return an answer for each example; probabilities: (N, labels)."""
        best, likely = probabilities.argmax(axis=1).tolist(), probabilities.max(axis=1).tolist()
        return [
            self._answer(example, self._labels[label], probability, row)
            for example, label, probability, row in zip(
                examples, best, likely, probabilities, strict=True
            )
        ]

    def _answer(self, example: Labelled, label: str, probability: float, row: Array) -> Answer:
        (gold,) = example.labels
        mistakes: tuple[Mistake, ...] = ()
        if gold != label:
            column = self._column.get(gold)
            of_gold = 0.0 if column is None else float(row[column])
            mistakes = (_mistake(example, probability, gold, label, gold_probability=of_gold),)
        return _answer(example, gold, label, probability, mistakes, row)


class _SeveralLabels:
    """What an evaluation tells of texts with any number of labels. A wrong set is one mistake: that
    of the label of which the model was surest."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._column = {label: position for position, label in enumerate(self._labels)}

    def __call__(self, examples: Sequence[Labelled], probabilities: Array) -> list[Answer]:
        """Return an answer for each example; probabilities: (N, labels). Predicted labels are
        those from THRESHOLD on, the likeliest first."""
        return [self._answer(e, row) for e, row in zip(examples, probabilities, strict=True)]

    def _answer(self, example: Labelled, row: Array) -> Answer:
        guess = row >= THRESHOLD  # (labels)
        chosen = np.flatnonzero(guess)
        chosen = chosen[np.argsort(-row[chosen], kind="stable")]
        predicted = tuple(self._labels[i] for i in chosen.tolist())
        likely = tuple(row[chosen].tolist())
        gold = example.labels
        if set(gold) == set(predicted):
            return _answer(example, gold, predicted, likely, (), row)
        truth = np.zeros(len(row), np.bool_)
        truth[[self._column[label] for label in gold if label in self._column]] = True
        # The probability that was given to what is wrong: to having a label, or to lacking it.
        of_wrong = np.where(truth == guess, -1.0, np.where(guess, row, 1 - row))
        worst = int(of_wrong.argmax())
        probability, label = float(of_wrong[worst]), self._labels[worst]
        if unknown := [label for label in gold if label not in self._column]:
            probability, label = 1.0, unknown[0]
        mistake = _mistake(example, probability, gold, predicted, label=label)
        return _answer(example, gold, predicted, likely, (mistake,), row)


def _mistake(
    example: Labelled, probability: float, gold: Labels, predicted: Labels, **more: Any
) -> Mistake:
    where = (example.source, example.line, example.text)
    return Mistake(probability, gold, predicted, *where, **more)


def _answer(
    example: Labelled,
    gold: Labels,
    predicted: Labels,
    probability: float | tuple[float, ...],
    mistakes: tuple[Mistake, ...],
    scores: Array,
) -> Answer:
    columns = {"text": example.text} if example.row is None else example.row
    where = (example.source, example.line)
    return Answer(*where, columns, gold, predicted, probability, mistakes, scores)
