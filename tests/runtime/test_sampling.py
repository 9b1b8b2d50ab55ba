"""Filters on four-element arrays worked out by hand; choices compared with their distribution."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rnntext.errors import UsageError
from rnntext.runtime.sampling import (
    SamplingOptions,
    choose,
    min_p,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
)

NONE = -math.inf


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def log(*probabilities: float) -> list[float]:
    return [math.log(p) if p else NONE for p in probabilities]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return result


def kept(logits: NDArray[np.float32]) -> list[list[int]]:
    return [np.flatnonzero(row > NONE).tolist() for row in logits]


def test_temperature_raises_probabilities_to_a_power() -> None:
    logits = rows(log(0.1, 0.2, 0.3, 0.4), log(0.4, 0.4, 0.2, 0.0))
    squared = np.array([[1, 4, 9, 16], [16, 16, 4, 0]]) / [[30], [36]]
    np.testing.assert_allclose(softmax(temperature(logits, 0.5)), squared, atol=1e-6)


@pytest.mark.parametrize("value", [1e-320, 1e-30, 1e-3])
def test_a_low_temperature_stays_finite(value: float) -> None:
    cold = temperature(rows([90, 30, 91, -88], [5, 5, 1, 0]), value)
    expected = np.array([[0, 0, 1, 0], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(softmax(cold), expected, atol=1e-6)
    assert not np.isnan(cold).any()


def test_top_k_keeps_k_tokens_the_lower_ids_among_equals() -> None:
    logits = rows([1, 4, 3, 2], [7, 7, 7, 7], [0, 5, 0, 0])
    assert kept(top_k(logits, 1)) == [[1], [0], [1]]
    assert kept(top_k(logits, 2)) == [[1, 2], [0, 1], [0, 1]]
    assert kept(top_k(logits, 3)) == [[1, 2, 3], [0, 1, 2], [0, 1, 2]]
    assert kept(top_k(logits, 9)) == kept(top_k(logits, 0)) == [[0, 1, 2, 3]] * 3
    assert top_k(logits, 2)[0].tolist() == [NONE, 4, 3, NONE]


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    logits = rows(log(0.1, 0.5, 0.15, 0.25))
    assert kept(top_p(logits, 0.01)) == [[1]]
    assert kept(top_p(logits, 0.49)) == [[1]]
    assert kept(top_p(logits, 0.51)) == [[1, 3]]
    assert kept(top_p(logits, 0.74)) == [[1, 3]]
    assert kept(top_p(logits, 0.76)) == [[1, 2, 3]]
    assert kept(top_p(logits, 0.91)) == [[0, 1, 2, 3]]
    assert kept(top_p(logits, 1.0)) == [[0, 1, 2, 3]]


def test_top_p_reaches_p_exactly_and_of_equals_takes_the_lower_ids() -> None:
    flat = rows([3, 3, 3, 3])
    assert kept(top_p(flat, 0.5)) == [[0, 1]]
    assert kept(top_p(flat, 0.5 + 1e-9)) == [[0, 1, 2]]
    assert kept(top_p(flat, 1e-300)) == [[0]]


def test_top_p_counts_what_an_earlier_filter_left() -> None:
    filtered = top_k(rows(log(0.1, 0.4, 0.2, 0.3)), 2)  # 0.4 and 0.3: 4/7 and 3/7
    assert kept(top_p(filtered, 0.56)) == [[1]]
    assert kept(top_p(filtered, 0.6)) == [[1, 3]]
    assert kept(top_p(filtered, 0.9999999)) == [[1, 3]]


def test_min_p_is_relative_to_the_likeliest() -> None:
    logits = rows(log(0.5, 0.3, 0.15, 0.05), log(0.25, 0.25, 0.25, 0.25))
    assert kept(min_p(logits, 0.59)) == [[0, 1], [0, 1, 2, 3]]
    assert kept(min_p(logits, 0.2)) == [[0, 1, 2], [0, 1, 2, 3]]
    assert kept(min_p(logits, 1.0)) == [[0], [0, 1, 2, 3]]
    assert kept(min_p(logits, 0.0)) == [[0, 1, 2, 3]] * 2


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    logits = rows([2, -2, 4, 0], [1, 1, 1, -8], [3, 3, 3, 3])
    result = repetition_penalty(logits, [[0, 1, 0], np.array([3]), []], 2.0)
    assert result.tolist() == [[1, -4, 4, 0], [1, 1, 1, -16], [3, 3, 3, 3]]
    assert repetition_penalty(logits, [[0], [1], [2]], 1.0).tolist() == logits.tolist()


def test_filters_leave_their_argument_alone() -> None:
    logits = rows([1, 4, 3, 2], [4, -1, 2, 3])
    before = logits.copy()
    options = SamplingOptions(0.7, top_k=3, top_p=0.8, min_p=0.1, repetition_penalty=1.5)
    choose(logits, options, [[1], [0]], np.array([0.3, 0.6]))
    np.testing.assert_array_equal(logits, before)


def test_choose_inverts_the_cumulative_distribution() -> None:
    logits = rows(*[log(0.25, 0.0, 0.5, 0.25)] * 6)
    uniforms = np.array([0.0, 0.24, 0.26, 0.74, 0.76, np.nextafter(1.0, 0)])
    ids = choose(logits, SamplingOptions(), [[]] * 6, uniforms)
    assert ids.tolist() == [0, 0, 2, 2, 3, 3]
    assert ids.dtype == np.int64


@given(st.floats(1, 1e6))
def test_the_largest_uniform_number_stays_below_any_total(total: float) -> None:
    assert np.nextafter(1.0, 0) * total < total


def test_choose_never_picks_a_token_of_probability_0() -> None:
    logits = rows([NONE, 1, NONE], [1, NONE, NONE], [NONE, NONE, 1])
    for uniform in (0.0, 0.5, np.nextafter(1.0, 0)):
        ids = choose(logits, SamplingOptions(), [[]] * 3, np.full(3, uniform))
        assert ids.tolist() == [1, 0, 2]


def test_greedy_takes_the_first_maximum_after_the_penalty() -> None:
    logits = rows([1, 3, 3, 2], [9, 8, 1, 0])
    uniforms = np.array([0.99, 0.99])
    assert choose(logits, SamplingOptions(temperature=0), [[], []], uniforms).tolist() == [1, 0]
    penalised = SamplingOptions(temperature=0, repetition_penalty=2)
    assert choose(logits, penalised, [[1], [0]], uniforms).tolist() == [2, 1]


def test_the_penalty_comes_before_the_temperature() -> None:
    # 4 / 2 = 2 against 2: equal probabilities. The temperature shifts the largest logit to 0, which
    # a penalty applied after it would not change.
    options = SamplingOptions(temperature=0.5, repetition_penalty=2)
    logits = np.repeat(rows([4, 2]), 2, axis=0)
    ids = choose(logits, options, [[0], [0]], np.array([0.49, 0.51]))
    assert ids.tolist() == [0, 1]


OPTIONS = [
    SamplingOptions(),
    SamplingOptions(temperature=0.6),
    SamplingOptions(temperature=1.7, top_k=3),
    SamplingOptions(top_p=0.8),
    SamplingOptions(min_p=0.3),
    SamplingOptions(repetition_penalty=1.8),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_choices_follow_the_distribution(options: SamplingOptions) -> None:
    """Pearson's chi-squared test: 25 at up to 4 degrees of freedom has a p-value of 1 / 20,000."""
    draws, history = 20_000, [0, 3]
    probabilities = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    # From the definitions, in float64 and independent of the code under test.
    logits = np.log(probabilities) + 2.0
    for token in history:
        factor = options.repetition_penalty
        logits[token] = logits[token] / factor if logits[token] > 0 else logits[token] * factor
    expected = np.exp(logits / options.temperature)
    expected /= expected.sum()
    order = np.argsort(-expected)
    reached = np.cumsum(expected[order]) - expected[order] >= options.top_p
    expected[order[reached]] = 0
    if options.top_k:
        expected[order[options.top_k :]] = 0
    expected[expected < options.min_p * expected.max()] = 0
    expected /= expected.sum()

    given_logits = np.tile((np.log(probabilities) + 2.0).astype(np.float32), (draws, 1))
    uniforms = np.random.default_rng(20).random(draws)
    counts = np.bincount(choose(given_logits, options, [history] * draws, uniforms), minlength=5)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    mean = draws * expected[possible]
    assert ((counts[possible] - mean) ** 2 / mean).sum() < 25


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    batch=st.integers(2, 9),
    vocabulary=st.integers(1, 70),
    warmth=st.sampled_from([0, 0.3, 1, 2.5]),
    k=st.integers(0, 8),
    p=st.floats(0.001, 1),
    least=st.floats(0, 1),
    penalty=st.floats(0.5, 3),
)
def test_a_row_does_not_depend_on_the_others(
    seed: int,
    batch: int,
    vocabulary: int,
    warmth: float,
    k: int,
    p: float,
    least: float,
    penalty: float,
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(batch, vocabulary)).round(1).astype(np.float32)  # with ties
    histories = [rng.integers(0, vocabulary, size=rng.integers(0, 5)) for _ in range(batch)]
    uniforms = rng.random(batch)
    options = SamplingOptions(warmth, k, p, least, penalty)
    together = choose(logits, options, histories, uniforms)
    for row in range(batch):
        one = slice(row, row + 1)
        assert choose(logits[one], options, histories[one], uniforms[one])[0] == together[row]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=30),
    st.floats(0, 1, exclude_min=True),
    st.integers(1, 40),
)
def test_filters_keep_the_likeliest_and_at_least_one(values: list[int], p: float, k: int) -> None:
    logits = rows([value / 8 for value in values])
    for filtered in (top_k(logits, k), top_p(logits, p), min_p(logits, p)):
        keep = filtered[0] > NONE
        assert keep[logits[0].argmax()]
        np.testing.assert_array_equal(filtered[0][keep], logits[0][keep])
        assert logits[0][keep].min() >= logits[0][~keep].max(initial=NONE)
    assert (top_k(logits, k)[0] > NONE).sum() == min(k, len(values))
    chosen = top_p(logits, p)[0] > NONE
    probabilities = softmax(logits)[0]
    assert probabilities[chosen].sum() >= p - 1e-9
    assert probabilities[chosen].sum() - probabilities[chosen].min() < p + 1e-9


@pytest.mark.parametrize(
    ("flag", "field", "values"),
    [
        ("--temperature", "temperature", [-0.1, math.nan, math.inf, 1e308]),
        ("--top-k", "top_k", [-1, 10**30]),
        ("--top-p", "top_p", [0, -0.5, 1.01, math.nan]),
        ("--min-p", "min_p", [-0.01, 1.5, math.nan]),
        ("--repetition-penalty", "repetition_penalty", [0, -1, math.nan, math.inf, 1e-320]),
    ],
)
def test_a_value_out_of_range_names_its_flag(flag: str, field: str, values: list[float]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=rf"^{flag} must be .*not {re.escape(str(value))}$"):
            SamplingOptions(**{field: value})  # type: ignore[arg-type]


def test_the_ends_of_the_ranges_are_allowed() -> None:
    SamplingOptions(temperature=0, top_k=0, top_p=1, min_p=0, repetition_penalty=0.1)
    SamplingOptions(temperature=100, top_k=10**6, top_p=1e-9, min_p=1, repetition_penalty=50)
