"""Adds the answers of an evaluation to the sums of its curves.

Knows: how certain an answer of labels or tags is, and whether it is right. Does not know: which
curves follow from the sums, or how they are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnntext.answer_curves import AnswerCurves, CurveSums, Kind
from rnntext.runtime.answers import Answer

Array = npt.NDArray[Any]


class AnswerSums:
    """The sums of the answers of a classifier or tagger; `add` is a `Watch`.

    An answer of several labels is as certain as the least certain decision about a label of the
    model, and right if the whole set is. A tagger has an answer for each word, and the probability
    of no other tag: its labels have curves of the words that were given them.
    """

    def __init__(self, labels: Sequence[str], multi_label: bool) -> None:
        self._sums = CurveSums(labels)
        self._column = {label: number for number, label in enumerate(labels)}
        self._kind = Kind.SET if multi_label else Kind.LABEL

    def add(self, answers: Sequence[Answer]) -> None:
        """Add answers: all with the probabilities of every label, or all of a tagger."""
        scores = [answer.scores for answer in answers if answer.scores is not None]
        if not scores:
            self._kind = Kind.TAG
            self._add_tags(answers)
        elif self._kind is Kind.SET:
            self._add_sets(answers, np.stack(scores))
        else:
            self._add_labels(answers, np.stack(scores))

    def curves(self) -> AnswerCurves:
        """Return the curves of the answers so far."""
        return self._sums.curves(self._kind)

    def _add_labels(self, answers: Sequence[Answer], scores: Array) -> None:
        right = np.array([a.gold == a.predicted for a in answers], np.bool_)
        confidences = scores.max(axis=1)
        known = self._are_known([(str(a.gold),) for a in answers])
        self._sums.add_statements(confidences[known], right[known])
        self._sums.add_answers(confidences, right)
        self._add_scores(scores, self._truth([(str(a.gold),) for a in answers]))

    def _add_sets(self, answers: Sequence[Answer], scores: Array) -> None:
        truth = self._truth([a.gold for a in answers])
        right = np.array([set(a.gold) == set(a.predicted) for a in answers], np.bool_)
        known = self._are_known([a.gold for a in answers])
        self._sums.add_statements(scores[known].ravel(), truth[known].ravel())
        self._sums.add_answers(np.maximum(scores, 1 - scores).min(axis=1), right)
        self._add_scores(scores, truth)

    def _truth(self, gold: Sequence[Sequence[str]]) -> Array:
        """Which labels of the model each text has, (N, labels)."""
        truth = np.zeros((len(gold), len(self._column)), np.bool_)
        for row, labels in zip(truth, gold, strict=True):
            row[[self._column[label] for label in labels if label in self._column]] = True
        return truth

    def _are_known(self, gold: Sequence[Sequence[str]]) -> Array:
        """Which texts have only labels of the model, (N): a calibration leaves out the others."""
        return np.array([all(label in self._column for label in each) for each in gold], np.bool_)

    def _add_scores(self, scores: Array, truth: Array) -> None:
        columns = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
        self._sums.add_scores(columns.ravel(), scores.ravel(), truth.ravel())
        self._sums.add_gold(truth.nonzero()[1])

    def _add_tags(self, answers: Sequence[Answer]) -> None:
        gold = [tag for answer in answers for tag in answer.gold]
        predicted = [tag for answer in answers for tag in answer.predicted]
        confidences = np.array([p for a in answers for p in _of_each_word(a)], np.float64)
        right = np.array([g == p for g, p in zip(gold, predicted, strict=True)], np.bool_)
        self._sums.add_statements(confidences, right)
        self._sums.add_answers(confidences, right)
        self._sums.add_scores(self._columns(predicted), confidences, right)
        self._sums.add_gold(self._columns(gold))

    def _columns(self, tags: Sequence[str]) -> npt.NDArray[np.int64]:
        """The columns of those tags that the model knows."""
        known = [self._column[tag] for tag in tags if tag in self._column]
        return np.array(known, np.int64)


def _of_each_word(answer: Answer) -> tuple[float, ...]:
    probability = answer.probability
    return probability if isinstance(probability, tuple) else (probability,)
