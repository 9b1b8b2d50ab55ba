"""Curves that show how far the answers of a model can be trusted, from sums over them.

Knows: reliability, coverage against accuracy, precision against recall. Does not know: how a model
answers (`runtime/curve_sums.py` adds its answers), or how curves are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnntext.metric_sums import (
    THRESHOLDS,
    Calibration,
    CalibrationBin,
    LabelScores,
    Thresholds,
    curve_limits,
)

MOST_LABELS = 10  # that have curves

Array = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]


class Kind(Enum):
    """What an answer is, and what the bins are of."""

    LABEL = "label"  # of a text; the bins are of answers too
    SET = "set"  # any number of labels of a text; the bins are of texts and labels, each pair once
    TAG = (
        "tag"  # of a word; the bins are of answers too, and labels have curves of words given them
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the curve of coverage and accuracy, and its threshold."""

    threshold: float
    coverage: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class LabelCurve:
    """Precision against recall of one label, over the thresholds of its probability."""

    label: str
    support: int  # how often it is the gold label
    recall: Array  # [K], rising; never twice the same set of answers
    precision: Array  # [K]


@dataclass(frozen=True, slots=True)
class AnswerCurves:
    """What a picture of an evaluation shows."""

    kind: Kind
    answers: int
    bins: tuple[CalibrationBin, ...]  # that are not empty
    ece: float
    # If only answers of at least some confidence are given, rising coverage: the share that is
    # given, and the accuracy of those, [K] each.
    coverage: Array
    accuracy: Array
    marks: tuple[Mark, ...]  # of THRESHOLDS, where any answer is given
    labels: tuple[LabelCurve, ...]  # the most frequent ones of the data first
    left_out: int  # other labels of the model


class CurveSums:
    """Sums from which `AnswerCurves` follow. What they take grows with the labels, not with the
    answers."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._calibration = Calibration()
        self._limits = curve_limits(1)
        self._thresholds = Thresholds(self._limits)
        self._scores = LabelScores(len(labels), curve_limits(len(labels)))

    def add_statements(self, confidences: Scores, true: NDArray[np.bool_]) -> None:
        """Add statements whose confidence is to be calibrated, [N]: answers, or of several labels a
        text that it has a label."""
        self._calibration.add(confidences, true)

    def add_answers(self, confidences: Scores, right: NDArray[np.bool_]) -> None:
        """Add answers, [N]."""
        self._thresholds.add(confidences, right)

    def add_scores(
        self, columns: NDArray[np.int64], scores: Scores, right: NDArray[np.bool_]
    ) -> None:
        """Add probabilities of labels, [N], given by their columns, and whether each is right."""
        self._scores.add(columns, scores, right)

    def add_gold(self, columns: NDArray[np.int64]) -> None:
        """Add gold labels, [N], by their columns. One that no score was added for is missed."""
        self._scores.add_gold(columns)

    def curves(self, kind: Kind) -> AnswerCurves:
        """Return the curves of what was added so far, answers of this kind."""
        given, right = (counts[::-1] for counts in self._thresholds.counts())
        total = int(given[-1])  # the least threshold is 0
        new = _differs(given)
        table = {row["threshold"]: row for row in self._thresholds.table()}
        marks = (Mark(t, table[t]["coverage"], table[t]["precision"]) for t in THRESHOLDS)
        support = self._scores.support
        order = np.argsort(-support, kind="stable")[:MOST_LABELS]
        labels = tuple(self._label_curve(column) for column in order.tolist() if support[column])
        return AnswerCurves(
            kind,
            total,
            tuple(self._calibration.table()),
            self._calibration.error(),
            given[new] / max(1, total),
            right[new] / given[new],
            tuple(mark for mark in marks if mark.coverage),
            labels,
            len(self._labels) - len(labels),
        )

    def _label_curve(self, column: int) -> LabelCurve:
        found, right = (counts[::-1] for counts in self._scores.counts(column))
        new, support = _differs(found), int(self._scores.support[column])
        return LabelCurve(
            self._labels[column], support, right[new] / support, right[new] / found[new]
        )


def _differs(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where rising counts are more than before: where answers were added."""
    return np.diff(counts, prepend=0) > 0
