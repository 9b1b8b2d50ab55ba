"""Viterbi and marginals against enumeration of all paths; independence of batch and padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rnntext.config import FORBIDDEN_SCORE
from rnntext.runtime.crf import marginals, viterbi

Array = NDArray[np.float32]
Crf = tuple[Array, NDArray[np.int64], Array, Array, Array]


def random_crf(seed: int, batch: int = 5, width: int = 4, labels: int = 3) -> Crf:
    rng = np.random.default_rng(seed)
    emissions = rng.normal(scale=2, size=(batch, width, labels)).astype(np.float32)
    lengths = rng.integers(0, width + 1, size=batch)
    lengths[-1] = width
    start, end = rng.normal(scale=2, size=(2, labels)).astype(np.float32)
    transitions = rng.normal(scale=2, size=(labels, labels)).astype(np.float32)
    return emissions, lengths, start, transitions, end


def score(path: tuple[int, ...], sentence: Array, start: Array, hop: Array, end: Array) -> float:
    total = float(start[path[0]]) + float(end[path[-1]])
    total += sum(float(sentence[word, label]) for word, label in enumerate(path))
    return total + sum(float(hop[a, b]) for a, b in itertools.pairwise(path))


def by_enumeration(
    sentence: Array, start: Array, hop: Array, end: Array
) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """The best path and the marginals [W, L] of one sentence, by enumeration of all paths."""
    width, labels = sentence.shape
    paths = list(itertools.product(range(labels), repeat=width))
    scores = np.array([score(path, sentence, start, hop, end) for path in paths])
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    result = np.zeros((width, labels))
    for path, weight in zip(paths, weights, strict=True):
        result[np.arange(width), path] += weight
    return paths[int(scores.argmax())], result


def check_against_enumeration(crf: Crf, tolerance: float = 1e-6) -> None:
    emissions, lengths, start, transitions, end = crf
    paths, probabilities = viterbi(*crf), marginals(*crf)
    assert len(paths) == len(emissions)
    assert probabilities.shape == emissions.shape
    assert probabilities.dtype == np.float32
    for row, length in enumerate(lengths):
        assert not probabilities[row, length:].any()
        assert paths[row].shape == (length,)
        if length:
            path, expected = by_enumeration(emissions[row, :length], start, transitions, end)
            assert tuple(paths[row]) == path
            np.testing.assert_allclose(probabilities[row, :length], expected, atol=tolerance)


def test_two_labels_by_hand() -> None:
    # Paths of two words: 00 -> 1+2+0, 01 -> 1+0+1 (+3 end), 10 -> 2+5, 11 -> 3 end
    emissions = np.array([[[1, 0], [2, 0]]], np.float32)
    transitions = np.array([[0, 1], [5, 0]], np.float32)
    start, end = np.array([0, 0], np.float32), np.array([0, 3], np.float32)
    arguments = (emissions, np.array([2]), start, transitions, end)
    assert viterbi(*arguments)[0].tolist() == [1, 0]
    e = np.exp(np.array([3.0, 5.0, 7.0, 3.0]))  # of 00, 01, 10, 11
    expected = np.array([[e[0] + e[1], e[2] + e[3]], [e[0] + e[2], e[1] + e[3]]]) / e.sum()
    np.testing.assert_allclose(marginals(*arguments)[0], expected, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3) | st.just(5))
def test_equals_enumeration(seed: int, batch: int, width: int, labels: int) -> None:
    check_against_enumeration(random_crf(seed, batch, width, labels))


@pytest.mark.parametrize("seed", range(20))
def test_forbidden_transitions_equal_enumeration(seed: int) -> None:
    emissions, lengths, start, transitions, end = random_crf(seed)
    ruled_out = np.random.default_rng(seed + 100).random(transitions.shape) < 0.4
    transitions[ruled_out] = FORBIDDEN_SCORE
    start[seed % 3] = FORBIDDEN_SCORE
    check_against_enumeration((emissions, lengths, start, transitions, end))


def test_everything_forbidden_is_still_a_distribution() -> None:
    emissions, lengths, start, transitions, end = random_crf(0)
    transitions[:] = FORBIDDEN_SCORE
    start[:] = FORBIDDEN_SCORE
    check_against_enumeration((emissions, lengths, start, transitions, end))


def test_the_only_allowed_path_is_far_less_probable() -> None:
    """At the first word, the path that transitions allow is e^-2000 times the greedy one."""
    emissions = np.zeros((1, 2, 3), np.float32)
    emissions[0, 0] = [2000, 0, -1]
    transitions = np.full((3, 3), FORBIDDEN_SCORE, np.float32)
    transitions[1, 2] = 0
    zeros = np.zeros(3, np.float32)
    arguments = (emissions, np.array([2]), zeros, transitions, zeros)
    assert viterbi(*arguments)[0].tolist() == [1, 2]
    np.testing.assert_allclose(marginals(*arguments)[0], [[0, 1, 0], [0, 0, 1]], atol=1e-7)


def test_equal_scores_give_the_lowest_label() -> None:
    labels = 3
    zeros = np.zeros((2, 4, labels), np.float32)
    flat, square = np.zeros(labels, np.float32), np.zeros((labels, labels), np.float32)
    paths = viterbi(zeros, np.array([4, 2]), flat, square, flat)
    assert [path.tolist() for path in paths] == [[0, 0, 0, 0], [0, 0]]
    probabilities = marginals(zeros, np.array([4, 2]), flat, square, flat)
    np.testing.assert_allclose(probabilities[0], 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("filling", [0.0, 1e30, -np.inf, np.nan])
def test_padding_and_the_rest_of_the_batch_change_nothing(filling: float) -> None:
    batch, width, labels, padded = 7, 6, 16, 11
    emissions, lengths, start, transitions, end = random_crf(3, batch, width, labels)
    wide = np.full((batch, padded, labels), filling, np.float32)
    for row, length in enumerate(lengths):
        wide[row, :length] = emissions[row, :length]
    paths = viterbi(wide, lengths, start, transitions, end)
    probabilities = marginals(wide, lengths, start, transitions, end)
    for row, length in enumerate(lengths):
        alone = (emissions[row : row + 1, :length], lengths[row : row + 1])
        assert paths[row].tolist() == viterbi(*alone, start, transitions, end)[0].tolist()
        # Bit for bit: a result must not depend on the batch.
        expected = marginals(*alone, start, transitions, end)[0]
        np.testing.assert_array_equal(probabilities[row, :length], expected)
        assert not probabilities[row, length:].any()


def test_empty_batches_and_sentences() -> None:
    _, _, start, transitions, end = random_crf(0)
    none = np.zeros((0, 4, 3), np.float32)
    assert viterbi(none, np.zeros(0, np.int64), start, transitions, end) == []
    assert marginals(none, np.zeros(0, np.int64), start, transitions, end).shape == (0, 4, 3)
    empty = np.zeros((2, 0, 3), np.float32)
    assert [p.size for p in viterbi(empty, np.array([0, 0]), start, transitions, end)] == [0, 0]
    assert marginals(empty, np.array([0, 0]), start, transitions, end).shape == (2, 0, 3)


def test_long_sentences_stay_finite() -> None:
    emissions, _, start, transitions, end = random_crf(1, batch=2, width=3000, labels=5)
    probabilities = marginals(emissions, np.array([3000, 2999]), start, transitions, end)
    np.testing.assert_allclose(probabilities[0].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[1, :-1].sum(axis=1), 1, atol=1e-5)


def test_arguments_are_left_alone() -> None:
    crf = random_crf(2)
    before = [array.copy() for array in crf]
    viterbi(*crf)
    marginals(*crf)
    for array, copy in zip(crf, before, strict=True):
        np.testing.assert_array_equal(array, copy)
