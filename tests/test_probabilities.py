"""Softmax and sigmoid against values worked out by hand, and at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest

from rnntext.probabilities import label_probabilities, sigmoid, softmax


def test_softmax_by_hand() -> None:
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
    expected = [[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-12)
    np.testing.assert_allclose(softmax(logits[0]), expected[0], rtol=1e-12)
    np.testing.assert_allclose(softmax(logits - 1e4), expected, rtol=1e-9)


def test_softmax_stays_finite() -> None:
    assert softmax(np.array([1e30, 0.0, -1e30])).tolist() == [1, 0, 0]
    assert softmax(np.array([-np.inf, 3.0, 3.0])).tolist() == [0, 0.5, 0.5]
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_keeps_its_dtype_unless_told_another(dtype: type) -> None:
    logits = np.random.default_rng(0).normal(size=(2, 50)).astype(dtype)
    assert softmax(logits).dtype == dtype
    wide = softmax(logits, np.float64)
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(wide, softmax(logits), rtol=1e-5)


def test_sigmoid_by_hand_and_at_the_ends() -> None:
    odds = np.array([0.25, 1.0, 3.0])
    np.testing.assert_allclose(sigmoid(np.log(odds)), [0.2, 0.5, 0.75], rtol=1e-12)
    assert sigmoid(np.array([-1e4, 1e4])).tolist() == [0, 1]
    assert sigmoid(np.array([-200, 200], np.float32)).tolist() == [0, 1]


def test_labels_exclude_each_other_or_not() -> None:
    logits = np.array([[0.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(label_probabilities(logits, False), softmax(logits))
    np.testing.assert_array_equal(label_probabilities(logits, True), sigmoid(logits))
