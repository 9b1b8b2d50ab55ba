"""The weights of two models, compared with a search over a grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rnntext.mixture import fit_mixture

Array = NDArray[np.float64]
RANDOM = np.random.default_rng(5)


def examples(count: int, multi: bool, *noise: float) -> tuple[list[Array], Array]:
    """Return logits of a model for each amount of noise, and the truth."""
    if multi:
        truth = (RANDOM.random((count, 3)) < 0.4).astype(float)
    else:
        truth = np.eye(3)[RANDOM.integers(0, 3, count)]
    return [4 * (truth - 0.5) + amount * RANDOM.normal(size=truth.shape) for amount in noise], truth


def penalized_loss(
    weights: tuple[float, float], models: list[Array], truth: Array, multi: bool
) -> float:
    logits = sum(w * model for w, model in zip(weights, models, strict=True))
    if multi:
        nats = np.log1p(np.exp(logits)) - truth * logits
    else:
        nats = np.log(np.exp(logits).sum(1)) - (truth * logits).sum(1)
    return float(nats.sum() + 4 * sum((w - 0.6) ** 2 for w in weights))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
    ("noise", "count"), [((3, 3), 300), ((1, 6), 80), ((9, 2), 80), ((2, 2), 5)]
)
def test_no_other_weights_are_better(multi: bool, noise: tuple[float, float], count: int) -> None:
    models, truth = examples(count, multi, *noise)
    found = fit_mixture(*models, truth, multi)
    best = penalized_loss(found, models, truth, multi)
    for step in (0.1, 0.01, 0.001):
        for first in (-step, 0.0, step):
            for second in (-step, 0.0, step):
                moved = (max(1e-3, found.first + first), max(1e-3, found.second + second))
                assert penalized_loss(moved, models, truth, multi) >= best - 1e-9


def test_the_better_model_counts_more() -> None:
    (good, bad), truth = examples(400, False, 1.5, 8.0)
    weights = fit_mixture(good, bad, truth, False)
    assert weights.first > 3 * weights.second
    assert fit_mixture(bad, good, truth, False) == pytest.approx(weights[::-1])


def test_a_model_that_is_wrong_is_ignored_and_never_turned_around() -> None:
    (good, other), truth = examples(400, False, 1.5, 2.0)
    weights = fit_mixture(good, -other, truth, False)
    assert weights.second == 1e-3
    assert weights.first > 0.5
    both = fit_mixture(-good, -other, truth, False)
    assert both == (1e-3, 1e-3)


@pytest.mark.parametrize("multi", [False, True])
def test_without_examples_both_count_equally(multi: bool) -> None:
    nothing = np.zeros((0, 3))
    assert fit_mixture(nothing, nothing, nothing, multi) == (0.6, 0.6)


def test_large_logits_do_no_harm() -> None:
    truth = np.eye(2)[[0, 1, 1, 0]]
    weights = fit_mixture(1e4 * (truth - 0.5), 1e4 * (0.5 - truth), truth, False)
    assert np.isfinite(weights).all()
