"""Sums over answers: each equals the figure computed at once, in whatever parts they are added."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnntext.metric_sums import (
    THRESHOLDS,
    Calibration,
    CalibrationBin,
    LabelScores,
    LogLoss,
    Thresholds,
    curve_limits,
    rate,
)

CONFIDENCES = np.array([0.2, 0.5, 0.55, 0.6, 0.85, 0.9, 0.99, 1.0])
CORRECT = np.array([False, True, False, True, True, False, True, True])


def parts(size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, len(CONFIDENCES), size)]


def test_a_rate_of_nothing_is_zero() -> None:
    assert rate(3, 4) == 0.75
    assert rate(0, 0) == 0.0


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_calibration_error_is_the_weighted_gap_of_each_bin(size: int) -> None:
    whole, split = Calibration(2), Calibration(2)
    whole.add(CONFIDENCES, CORRECT)
    for part in parts(size):
        split.add(CONFIDENCES[part], CORRECT[part])
    # Up to 0.5, and above: the sums of confidences less those of right answers, over all.
    low, high = abs(0.7 - 1), abs(0.55 + 0.6 + 0.85 + 0.9 + 0.99 + 1 - 4)
    assert whole.error() == pytest.approx((low + high) / 8)
    assert split.error() == whole.error()
    assert Calibration().error() == 0.0


def test_confidences_of_0_and_1_are_in_the_first_and_the_last_bin() -> None:
    sums = Calibration(2)
    sums.add(np.array([0.0, 1.0]), np.array([True, True]))
    assert sums.error() == 1 / 2


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_bins_of_calibration(size: int) -> None:
    sums = Calibration(4)
    for part in parts(size):
        sums.add(CONFIDENCES[part], CORRECT[part])
    first, *rest = sums.table()
    assert first == CalibrationBin(0.0, 0.25, 1, 0.2, 0.0)
    # 0.5 is in the bin that ends there.
    assert rest[0] == CalibrationBin(0.25, 0.5, 1, 0.5, 1.0)
    assert rest[1] == CalibrationBin(0.5, 0.75, 2, pytest.approx(0.575), 0.5)
    assert rest[2] == CalibrationBin(0.75, 1.0, 4, pytest.approx(3.74 / 4), 0.75)
    weighted = sum(each.statements * abs(each.accuracy - each.confidence) for each in sums.table())
    assert sums.error() == pytest.approx(weighted / 8)
    # A bin without statements has no accuracy.
    low = Calibration(2)
    low.add(np.array([0.25]), np.array([True]))
    assert low.table() == [CalibrationBin(0.0, 0.5, 1, 0.25, 1.0)]


@pytest.mark.parametrize("size", [1, 3, 8])
def test_thresholds(size: int) -> None:
    sums = Thresholds()
    for part in parts(size):
        sums.add(CONFIDENCES[part], CORRECT[part])
    table = {row["threshold"]: row for row in sums.table()}
    assert tuple(table) == THRESHOLDS
    for threshold, row in table.items():
        given = threshold <= CONFIDENCES
        assert row["coverage"] == given.sum() / 8
        assert row["recall"] == (CORRECT & given).sum() / 8
        assert row["precision"] == (CORRECT & given).sum() / given.sum()
    assert Thresholds().table()[0] == {
        "threshold": 0.5, "precision": 0.0, "recall": 0.0, "coverage": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 8])
def test_counts_from_other_thresholds_on(size: int) -> None:
    limits = (0.0, 0.55, 0.9, 1.0)
    sums = Thresholds(limits)
    for part in parts(size):
        sums.add(CONFIDENCES[part], CORRECT[part])
    answers, right = sums.counts()
    assert (answers.tolist(), right.tolist()) == ([8, 6, 3, 1], [5, 4, 2, 1])
    assert [row["threshold"] for row in sums.table()] == [*limits]


def test_scores_of_labels() -> None:
    """Two labels have scores at three thresholds; of a third there is none."""
    sums = LabelScores(3, np.array([0.0, 0.5, 0.9]))
    columns, scores = np.array([0, 2, 0, 2, 2]), np.array([0.9, 0.4, 0.1, 0.5, 1.0])
    right = np.array([True, False, False, True, True])
    for part in (slice(0, 2), slice(2, 5)):
        sums.add(columns[part], scores[part], right[part])
    sums.add_gold(np.array([0, 2, 1]))
    sums.add_gold(np.array([2, 2]))
    found = [[part.tolist() for part in sums.counts(label)] for label in range(3)]
    assert found == [[[2, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]], [[3, 2, 1], [2, 2, 1]]]
    assert sums.support.tolist() == [1, 1, 3]


def test_the_thresholds_of_a_curve() -> None:
    limits = curve_limits(1)
    assert limits[0] == 0
    assert (np.diff(limits) > 0).all()
    assert limits[-1] < 1
    assert set(THRESHOLDS) <= set(limits.tolist())
    # Close where probabilities are near 0 or 1, and nowhere far.
    assert ((limits > 0.999) & (limits < 0.9999)).sum() > 50
    assert ((limits > 0.0001) & (limits < 0.001)).sum() > 50
    assert np.diff(limits).max() < 0.01
    # Of many labels they are fewer, so that the counts of all take no more.
    for labels in (1, 2000, 20_000, 100_000):
        count = len(curve_limits(labels))
        assert count * labels <= max((1 << 21) + 8 * labels, 28 * labels)
        assert count >= 20


def test_a_confidence_in_float32_reaches_the_same_threshold() -> None:
    sums = Thresholds()
    sums.add(np.array([0.9, 0.95], np.float32), np.array([True, True]))
    reached = {row["threshold"]: row["coverage"] for row in sums.table()}
    assert (reached[0.9], reached[0.95], reached[0.99]) == (1.0, 0.5, 0.0)


def test_the_loss_is_the_mean_surprisal() -> None:
    whole, split = LogLoss(), LogLoss()
    probabilities = np.array([0.5, 0.25, 1.0, 0.0, 0.1])
    whole.add(probabilities)
    for start in range(5):
        split.add(probabilities[start : start + 1])
    nats = math.log(2) + math.log(4) + 0 - math.log(1e-15) + math.log(10)
    assert whole.mean() == pytest.approx(nats / 5)
    assert split.mean() == whole.mean()
    assert LogLoss().mean() == 0.0
