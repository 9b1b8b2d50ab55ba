"""The curves of fixed answers, each point worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.answer_curves import MOST_LABELS, CurveSums, Kind, Mark


def array(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values, np.float64)


def flags(*values: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array(values, np.bool_)


def columns(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_coverage_and_accuracy() -> None:
    """Five answers, two of the same confidence."""
    sums = CurveSums(["a"])
    sums.add_answers(array(0.92, 0.55, 0.75), flags(1, 0, 0))
    sums.add_answers(array(0.75, 0.97), flags(1, 1))
    found = sums.curves(Kind.LABEL)
    assert (found.kind, found.answers) == (Kind.LABEL, 5)
    # From 0.97 on one answer, then two, four and all of them.
    assert found.coverage.tolist() == [1 / 5, 2 / 5, 4 / 5, 1]
    assert found.accuracy.tolist() == [1, 1, 3 / 4, 3 / 5]
    # No answer is as certain as 0.99.
    assert found.marks == (
        Mark(0.5, 1.0, 3 / 5),
        Mark(0.6, 4 / 5, 3 / 4),
        Mark(0.7, 4 / 5, 3 / 4),
        Mark(0.8, 2 / 5, 1.0),
        Mark(0.9, 2 / 5, 1.0),
        Mark(0.95, 1 / 5, 1.0),
    )


def test_reliability() -> None:
    """Of 15 bins; these statements are in the third and in the last."""
    sums = CurveSums(["a"])
    sums.add_statements(array(0.15, 0.95), flags(1, 1))
    sums.add_statements(array(0.99, 0.2), flags(0, 0))
    found = sums.curves(Kind.SET)
    low, high = found.bins
    assert (low.low, low.high, low.statements) == (2 / 15, 3 / 15, 2)
    assert (low.confidence, low.accuracy) == (pytest.approx(0.175), 0.5)
    assert (high.low, high.high, high.statements) == (14 / 15, 1.0, 2)
    assert (high.confidence, high.accuracy) == (pytest.approx(0.97), 0.5)
    assert found.ece == pytest.approx(0.5 * (0.5 - 0.175) + 0.5 * (0.97 - 0.5))


def test_precision_and_recall_of_each_label() -> None:
    """The most frequent label comes first; one that the data lack has no curve."""
    sums = CurveSums(["a", "b", "never"])
    sums.add_scores(columns(0, 0, 0, 0), array(0.9, 0.6, 0.6, 0.2), flags(1, 0, 1, 0))
    sums.add_scores(columns(1, 1, 1, 1), array(0.1, 0.4, 0.4, 0.8), flags(0, 1, 0, 1))
    # A third text has the label b, but no score.
    sums.add_gold(columns(0, 0, 1, 1, 1))
    first, second = sums.curves(Kind.LABEL).labels
    assert (first.label, first.support) == ("b", 3)
    assert first.recall.tolist() == [1 / 3, 2 / 3, 2 / 3]
    assert first.precision.tolist() == [1, 2 / 3, 2 / 4]
    assert (second.label, second.support) == ("a", 2)
    assert second.recall.tolist() == [1 / 2, 1, 1]
    assert second.precision.tolist() == [1, 2 / 3, 2 / 4]
    assert sums.curves(Kind.LABEL).left_out == 1


def test_of_many_labels_the_most_frequent_have_curves() -> None:
    names = [f"label {n}" for n in range(14)]
    sums = CurveSums(names)
    for n in range(14):
        # The last but one is the most frequent.
        count = 20 if n == 12 else max(1, n)
        sums.add_gold(np.full(count, n))
    found = sums.curves(Kind.LABEL)
    order = (12, 13, 11, 10, 9, 8, 7, 6, 5, 4)
    assert [each.label for each in found.labels] == [names[n] for n in order]
    assert len(found.labels) == MOST_LABELS
    assert found.left_out == 4


def test_without_answers_there_are_no_points() -> None:
    found = CurveSums(["a", "b"]).curves(Kind.TAG)
    assert (found.answers, found.bins, found.ece, found.marks) == (0, (), 0.0, ())
    assert (found.coverage.tolist(), found.accuracy.tolist()) == ([], [])
    assert (found.labels, found.left_out) == ((), 2)
