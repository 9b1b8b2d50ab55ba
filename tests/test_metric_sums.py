"""Sums over answers: each equals the figure computed at once, in whatever parts they are added."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rnntext.metric_sums import THRESHOLDS, Calibration, LogLoss, Thresholds, rate

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
