"""Sums over sparse rows, ratios of naive Bayes, and the weights of least loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rnntext.training.linear.logistic import Incidence, fit, log_count_ratios

ROWS, COLUMNS = np.array([2, 0, 2, 0, 2, 4]), np.array([1, 3, 1, 0, 2, 3])
DENSE = np.zeros((5, 4), np.float32)
np.add.at(DENSE, (ROWS, COLUMNS), 1)


def matrix() -> Incidence:
    return Incidence(ROWS, COLUMNS, (5, 4))


@pytest.mark.parametrize("width", [1, 3])
def test_products_are_those_of_the_dense_matrix(width: int) -> None:
    random = np.random.default_rng(0)
    weights, values = random.normal(size=(4, width)), random.normal(size=(5, width))
    one, two = (torch.tensor(array, dtype=torch.float32) for array in (weights, values))
    np.testing.assert_allclose(matrix().times(one), DENSE @ weights, rtol=1e-5)
    np.testing.assert_allclose(matrix().transposed_times(two), DENSE.T @ values, rtol=1e-5)


def test_the_gradient_of_a_product() -> None:
    weights = torch.randn(4, 2, requires_grad=True)
    factors = torch.arange(10.0).reshape(5, 2)
    (matrix().times(weights) * factors).sum().backward()
    assert weights.grad is not None
    np.testing.assert_allclose(weights.grad, DENSE.T @ factors.numpy())


def test_a_matrix_without_entries_gives_zeros() -> None:
    nothing = np.zeros(0, np.int64)
    empty = Incidence(nothing, nothing, (3, 2))
    assert empty.times(torch.ones(2, 1)).tolist() == [[0], [0], [0]]
    assert empty.transposed_times(torch.ones(3, 1)).tolist() == [[0], [0]]
    assert Incidence(nothing, nothing, (3, 0)).times(torch.ones(0, 1)).tolist() == [[0], [0], [0]]


def test_ratios_compare_smoothed_frequencies_inside_and_outside_a_class() -> None:
    counts, totals = torch.tensor([[3.0], [0.0]]), torch.tensor([[3.0], [4.0]])
    (first,), (second,) = log_count_ratios(counts, totals).tolist()
    # Inside 4 and 1 of 5, outside 1 and 5 of 6.
    assert first == pytest.approx(math.log((4 / 5) / (1 / 6)))
    assert second == pytest.approx(math.log((1 / 5) / (5 / 6)))


def test_ratios_of_fractions_of_texts() -> None:
    """A text that is of a class by half counts by half, on both sides."""
    counts, totals = torch.tensor([[1.5], [0.0]]), torch.tensor([[4.0], [2.0]])
    (first,), (second,) = log_count_ratios(counts, totals).tolist()
    # Inside 2.5 and 1 of 3.5, outside 3.5 and 3 of 6.5.
    assert first == pytest.approx(math.log((2.5 / 3.5) / (3.5 / 6.5)))
    assert second == pytest.approx(math.log((1 / 3.5) / (3 / 6.5)))


def test_the_weights_minimize_the_loss_and_half_of_their_squares() -> None:
    """Of (w - 3)^2 + (v + 1)^2 with the penalty the least is at two thirds of 3 and -1."""

    def loss(weights: list[torch.Tensor]) -> torch.Tensor:
        return (weights[0] - 3).square().sum() + (weights[1] + 1).square().sum()

    first, second = fit([(2, 1), (1,)], loss, 10, 60)
    np.testing.assert_allclose(first, [[2], [2]], rtol=1e-3)
    np.testing.assert_allclose(second, [-2 / 3], rtol=1e-3)
    assert not first.requires_grad


def test_a_logistic_regression_is_at_its_optimum() -> None:
    """The gradient of the whole objective is zero there, to the tolerance."""
    random = np.random.default_rng(1)
    features = torch.tensor(random.normal(size=(60, 5)), dtype=torch.float32)
    truth = torch.tensor(random.integers(0, 2, 60), dtype=torch.float32)

    def loss(weights: list[torch.Tensor]) -> torch.Tensor:
        logits = features @ weights[0]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="sum")

    (found,) = fit([(5,)], loss, 60, 60)
    found.requires_grad_()
    (loss([found]) + found.square().sum() / 2).backward()
    assert found.grad is not None
    assert float(found.grad.abs().max()) < 0.02
