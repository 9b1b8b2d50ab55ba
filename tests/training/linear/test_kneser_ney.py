"""Kneser-Ney n-grams against their definition, in dictionaries, and by hand."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from rnntext.training.linear.kneser_ney import KneserNey

VOCABULARY = 6
Gram = tuple[int, ...]


def defined(ids: list[int], length: int, context: Gram, target: int) -> float:
    """The probability by the definition."""
    grams = [
        Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))
        for n in range(1, length + 1)
    ]
    counts: list[dict[Gram, int]] = []
    for n in range(1, length):
        before: dict[Gram, set[int]] = defaultdict(set)
        for gram in grams[n]:
            before[gram[1:]].add(gram[0])
        counts.append({gram: max(1, len(before[gram])) for gram in grams[n - 1]})
    counts.append(dict(grams[length - 1]))
    probability = 1 / VOCABULARY
    for n, table in enumerate(counts):
        if n > len(context):
            break
        seen = context[len(context) - n :]
        following = {gram[-1]: count for gram, count in table.items() if gram[:-1] == seen}
        if not following:
            continue
        values = list(table.values())
        once, twice = values.count(1), values.count(2)
        discount = max(0.1, once / max(1, once + 2 * twice))
        total = sum(following.values())
        share = max(0.0, following.get(target, 0) - discount) / total
        probability = share + discount * len(following) / total * probability
    return probability


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_definition(length: int) -> None:
    generator = np.random.default_rng(length)
    ids = generator.integers(0, VOCABULARY - 1, 50)  # the last id is never seen
    model = KneserNey(ids, VOCABULARY, length)
    text = generator.integers(0, VOCABULARY, 40)
    expected = [
        defined(ids.tolist(), length, tuple(text[max(0, t - length + 1) : t].tolist()), text[t])
        for t in range(1, len(text))
    ]
    np.testing.assert_allclose(np.exp(model.log_probabilities(text)), expected, rtol=1e-12)


@pytest.mark.parametrize("context", [[0], [1, 2], [5, 5, 5], [0, 1, 5], [2, 0, 1]])
def test_the_probabilities_of_all_ids_sum_to_one(context: list[int]) -> None:
    ids = np.array([0, 1, 2, 0, 1, 3, 0, 1, 2, 4, 4, 0])
    model = KneserNey(ids, VOCABULARY, 3)
    found = [model.log_probabilities(np.array([*context, each]))[-1] for each in range(VOCABULARY)]
    assert np.exp(found).sum() == pytest.approx(1)


def test_bigrams_by_hand() -> None:
    # a b a b a c: a b twice, b a twice, a c once. Discounts: 1/5 of pairs; of single ids, which
    # follow 1 (a), 1 (b) and 1 (c) other, 1.
    model = KneserNey(np.array([0, 1, 0, 1, 0, 2]), 4, 2)
    after_a = np.exp(model.log_probabilities(np.array([0, 2])))[0]
    assert after_a == pytest.approx((1 - 0.2) / 3 + 0.2 * 2 / 3 * 0.25)
    after_c = np.exp(model.log_probabilities(np.array([2, 1])))[0]
    assert after_c == pytest.approx(0.25)
    assert model.ngrams == 3 + 3


def test_a_text_shorter_than_an_ngram() -> None:
    model = KneserNey(np.array([1]), 3, 4)
    assert np.isfinite(model.log_probabilities(np.array([1, 2]))).all()
    assert len(KneserNey(np.array([0, 1, 2]), 3, 4).log_probabilities(np.array([1]))) == 0
