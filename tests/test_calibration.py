"""The temperature of a model and the weights of two, compared with others near them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rnntext import calibration
from rnntext.calibration import Weights, fit_mixture, fit_temperature, temperature_sample
from rnntext.metrics import ece
from rnntext.probabilities import label_probabilities

Array = NDArray[np.float64]


def examples(count: int, multi: bool, *noise: float) -> tuple[list[Array], Array]:
    """Return logits of a model for each amount of noise, and the truth."""
    random = np.random.default_rng(5)
    if multi:
        truth = (random.random((count, 3)) < 0.4).astype(float)
    else:
        truth = np.eye(3)[random.integers(0, 3, count)]
    return [4 * (truth - 0.5) + amount * random.normal(size=truth.shape) for amount in noise], truth


def penalized_loss(
    weights: tuple[float, float], models: list[Array], truth: Array, multi: bool
) -> float:
    logits = sum(w * model for w, model in zip(weights, models, strict=True))
    if multi:
        nats = np.log1p(np.exp(logits)) - truth * logits
    else:
        nats = np.log(np.exp(logits).sum(1)) - (truth * logits).sum(1)
    return float(nats.sum() + 4 * sum((w - 0.5) ** 2 for w in weights))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
    ("noise", "count"), [((3, 3), 300), ((1, 6), 80), ((9, 2), 80), ((2, 2), 5)]
)
def test_no_other_weights_are_better(multi: bool, noise: tuple[float, float], count: int) -> None:
    models, truth = examples(count, multi, *noise)
    temperatures = [fit_temperature(model, truth, multi) for model in models]
    weights = fit_mixture(*models, truth, multi)
    models = [model / t for model, t in zip(models, temperatures, strict=True)]
    found = Weights(*(w * t for w, t in zip(weights, temperatures, strict=True)))
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
    assert 0 < weights.second < 1e-3
    assert weights.first > 0.5
    both = fit_mixture(-good, -other, truth, False)
    assert 0 < both.first < 1e-3
    assert 0 < both.second < 1e-3


@pytest.mark.parametrize("multi", [False, True])
def test_without_examples_both_count_equally(multi: bool) -> None:
    nothing = np.zeros((0, 3))
    assert fit_mixture(nothing, nothing, nothing, multi) == pytest.approx((0.5, 0.5), rel=1e-4)


def test_a_model_that_is_too_certain_counts_as_much_as_one_that_is_not() -> None:
    """Few examples: the prior is about models that are calibrated."""
    (one, other), truth = examples(20, False, 3.0, 3.0)
    plain, certain = (fit_mixture(one, factor * other, truth, False) for factor in (1, 5))
    assert 5 * certain.second == pytest.approx(plain.second, rel=0.25)
    assert certain.first == pytest.approx(plain.first, rel=0.25)


def test_large_logits_do_no_harm() -> None:
    truth = np.eye(2)[[0, 1, 1, 0]]
    weights = fit_mixture(1e4 * (truth - 0.5), 1e4 * (0.5 - truth), truth, False)
    assert np.isfinite(weights).all()


def test_a_temperature_is_fitted_on_as_many_documents_as_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "MAX_TEMPERATURE_LOGITS", 60)
    assert temperature_sample(20, 3).tolist() == list(range(20))
    sample = temperature_sample(21, 3).tolist()
    assert sample == sorted(set(sample))
    assert len(sample) == 20
    assert temperature_sample(21, 3).tolist() == sample
    # Not the first: data may be sorted.
    assert max(temperature_sample(1000, 6)) > 500
    assert len(temperature_sample(9, 100)) == 1
    assert len(temperature_sample(0, 3)) == 0


def sample_labels(probabilities: Array, multi_label: bool, random: np.random.Generator) -> Array:
    """Sample labels (N, L) of 0 and 1 from their probabilities (N, L)."""
    if multi_label:
        return (random.random(probabilities.shape) < probabilities).astype(np.float32)
    below = probabilities.cumsum(axis=1) < random.random((len(probabilities), 1))
    chosen = np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
    return np.eye(probabilities.shape[1], dtype=np.float32)[chosen]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_fit_temperature_recovers_the_temperature_of_sampled_labels(
    temperature: float, multi_label: bool
) -> None:
    random = np.random.default_rng(4)
    logits = random.normal(0.3, 2, (20_000, 3))
    truth = sample_labels(
        label_probabilities(logits / temperature, multi_label), multi_label, random
    )
    found = fit_temperature(logits.astype(np.float32), truth, multi_label)
    assert found == pytest.approx(temperature, rel=0.04)


@pytest.mark.parametrize("multi_label", [False, True])
def test_calibration_lowers_the_calibration_error(multi_label: bool) -> None:
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (20_000, 4))
    truth = sample_labels(label_probabilities(logits / 3, multi_label), multi_label, random)

    def error(scores: Array) -> float:
        said = label_probabilities(scores, multi_label)
        return ece(said.ravel(), truth.ravel() == 1)

    assert error(logits) > 0.08
    assert error(logits / fit_temperature(logits, truth, multi_label)) < 0.01


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_few_right_answers_do_not_make_a_model_certain(multi_label: bool) -> None:
    logits = np.array([[2.0, -2.0, -2.0], [-2.0, 2.0, -2.0], [-2.0, -2.0, 2.0]])
    few = fit_temperature(logits, np.eye(3), multi_label)
    assert 0.7 < few < 1
    # Many right answers do, and wrong answers raise the temperature.
    many = fit_temperature(np.tile(logits, (2_000, 1)), np.tile(np.eye(3), (2_000, 1)), multi_label)
    assert many < 0.5
    assert fit_temperature(logits, np.eye(3)[[1, 2, 0]], multi_label) > 1.3


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_temperature_is_one_where_the_logits_say_nothing(multi_label: bool) -> None:
    for rows in (0, 1, 7):
        truth = np.eye(2)[np.arange(rows) % 2]
        assert fit_temperature(np.zeros((rows, 2)), truth, multi_label) == pytest.approx(
            1, abs=1e-4
        )


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_temperature_stays_between_an_eighth_and_eight(multi_label: bool) -> None:
    truth = np.tile([1.0, 0.0], (9_000, 1))
    timid, bold = (np.tile([logit, -logit], (9_000, 1)) for logit in (0.02, -50.0))
    assert fit_temperature(timid, truth, multi_label) == pytest.approx(1 / 8, rel=1e-4)
    assert fit_temperature(bold, truth, multi_label) == pytest.approx(8, rel=1e-4)


# So few rows have a loss with a single minimum, whatever their logits.
LOGITS = st.integers(1, 4).flatmap(
    lambda rows: st.lists(
        st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3),
        min_size=rows,
        max_size=rows,
    )
)


@given(LOGITS, st.booleans(), st.integers(0, 7))
def test_fit_temperature_minimizes_the_loss(
    rows: list[list[float]], multi_label: bool, seed: int
) -> None:
    """The loss, computed by its definition, is not smaller at other temperatures, and the
    predicted labels stay."""
    logits = np.array(rows)
    random = np.random.default_rng(seed)
    if multi_label:
        truth = random.integers(2, size=logits.shape).astype(float)
    else:
        truth = np.eye(3)[random.integers(3, size=len(logits))]
    found = fit_temperature(logits, truth, multi_label)

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        if multi_label:
            nats = np.logaddexp(0, np.where(truth == 1, -scaled, scaled)).sum()
        else:
            nats = (np.logaddexp.reduce(scaled, axis=1) - scaled[truth == 1]).sum()
        return float(nats) + math.log(temperature) ** 2 / (2 * 0.5**2)

    assert 1 / 8 <= found <= 8
    for beside in (found * 1.01, found / 1.01, 1.0, 1 / 8, 8.0):
        if 1 / 8 <= beside <= 8:
            assert loss(found) <= loss(beside) + 1e-3
    np.testing.assert_array_equal((logits / found).argmax(axis=1), logits.argmax(axis=1))


def test_a_temperature_is_searched_once_for_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Arrays with other numbers are others, also where one was changed in place; the least
    recently asked for is forgotten."""
    monkeypatch.setattr(calibration, "_kept", {})
    monkeypatch.setattr(calibration, "_KEPT", 2)
    searched: list[float] = []
    search = calibration._search_temperature

    def counted(*given: Any) -> float:
        searched.append(search(*given))
        return searched[-1]

    monkeypatch.setattr(calibration, "_search_temperature", counted)
    (logits, other), truth = examples(50, False, 1.5, 4.0)
    first = fit_temperature(logits, truth, False)
    assert fit_temperature(logits.copy(), truth.astype(np.float32), False) == first
    assert searched == [first]
    second = fit_temperature(other, truth, False)
    assert fit_temperature(logits, truth, False) == first
    assert len(searched) == 2
    # A third one takes the place of the second.
    logits[7] = -logits[7]
    assert fit_temperature(logits, truth, False) != first
    logits[7] = -logits[7]
    assert fit_temperature(logits, truth, False) == first
    assert len(searched) == 3
    assert fit_temperature(other, truth, False) == second
    assert len(searched) == 4
    # Each of these asks something else.
    for question in (
        (other, truth, True),
        (other, truth[::-1], False),
        (other, truth, False, logits),
        (other.reshape(75, 2), truth.reshape(75, 2), True),
    ):
        fit_temperature(*question)
    assert len(searched) == 8
