"""Learning the weights of an n-gram model from labelled texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnntext.ngrams import NgramModel, Tables
from rnntext.training.linear import ngrams
from rnntext.training.linear.ngrams import (
    NgramLearner,
    Strength,
    choose_texts,
    in_parts,
    largest_size,
    table_sizes,
)

STRONG = Strength(1.0, 1.0)
GOOD = ["good film", "a good one", "very good", "good and fine", "fine film"]
BAD = ["bad film", "a bad one", "very bad", "bad and poor", "poor film"]


def learn(
    texts: Sequence[str], labels: Sequence[int], strength: Strength = STRONG, parts: int = 3
) -> NgramModel:
    width = max(labels) + 1
    columns = 1 if width == 2 else width
    truth = functional.one_hot(torch.tensor(labels), width).float()[:, -columns:]

    def loss(scores: Tensor) -> Tensor:
        logits = torch.cat([-scores / 2, scores / 2], 1) if columns == 1 else scores
        return functional.cross_entropy(logits, torch.tensor(labels), reduction="sum")

    size = -(-len(texts) // parts)
    learner = NgramLearner([texts[n : n + size] for n in range(0, len(texts), size)], columns)
    return NgramModel(learner.fit(truth, loss, strength), width)


def test_words_decide() -> None:
    model = learn(GOOD + BAD, [1] * 5 + [0] * 5)
    assert model.logits(["so good", "so bad", "fine", "poor"]).argmax(1).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("parts", [1, 2, 10])
def test_texts_may_come_in_parts(parts: int) -> None:
    """Weights depend on the texts, not on how many are in memory together."""
    labels = [1] * 5 + [0] * 5
    one, two = (learn(GOOD + BAD, labels, parts=count) for count in (3, parts))
    for name in ("words", "pairs", "characters", "bias"):
        assert getattr(one.tables, name).tolist() == getattr(two.tables, name).tolist()


def test_the_order_of_words_decides_where_the_words_are_the_same() -> None:
    texts = ["dog bites man", "man bites dog"] * 4
    model = learn(texts, [0, 1] * 4)
    assert model.logits(texts[:2]).argmax(1).tolist() == [0, 1]


def test_an_unseen_word_is_judged_by_its_spelling() -> None:
    texts = ["walking", "talking", "singing", "running", "walked", "talked", "helped", "jumped"]
    model = learn(texts, [0] * 4 + [1] * 4)
    assert model.logits(["bringing", "kicked"]).argmax(1).tolist() == [0, 1]
    words_alone = learn(texts, [0] * 4 + [1] * 4, Strength(1.0, 0.0))
    assert not words_alone.tables.characters.any()
    first, second = words_alone.logits(["bringing", "qqq"]).tolist()
    assert first == pytest.approx(second)


def test_several_labels_have_a_column_each() -> None:
    texts = ["red apple", "red rose", "green leaf", "green grass", "blue sky", "blue sea"]
    model = learn(texts, [0, 0, 1, 1, 2, 2])
    assert model.tables.words.shape[1] == 3
    assert model.logits(["red", "green", "blue"]).argmax(1).tolist() == [0, 1, 2]


def test_the_weights_are_an_optimum() -> None:
    """Logits that the tables give are those at which no scaling of a table lowers the objective."""
    texts, labels = GOOD + BAD, [1] * 5 + [0] * 5
    model = learn(texts, labels, Strength(0.5, 0.5))
    sign = np.array(labels) * 2 - 1

    def loss(tables: Tables) -> float:
        logits = NgramModel(tables, 2).logits(texts)
        margin = sign * (logits[:, 1] - logits[:, 0])
        return float(np.log1p(np.exp(-margin)).sum())

    # The penalty pulls the weights towards zero, so larger ones fit better, and the bias, which is
    # penalized by its plain square, is small.
    tables = model.tables
    larger = Tables(tables.words * 2, tables.pairs * 2, tables.characters * 2, tables.bias)
    assert loss(larger) < loss(tables) < 10 * np.log(2)
    assert abs(float(tables.bias[0])) < 0.3


def test_stronger_priors_give_smaller_weights() -> None:
    labels = [1] * 5 + [0] * 5
    weak, strong = (learn(GOOD + BAD, labels, Strength(v, v)) for v in (0.01, 1.0))
    assert np.abs(weak.logits(GOOD)).mean() < np.abs(strong.logits(GOOD)).mean()


def test_one_column_is_as_strong_as_the_difference_of_two() -> None:
    labels = [1] * 5 + [0] * 5
    one = learn(GOOD + BAD, labels, Strength(0.1, 0.1)).logits(GOOD)
    # A third label that no text has leaves the two others as they are, but for its own share.
    three = learn([*GOOD, *BAD, "zzz"], [*labels, 2], Strength(0.1, 0.1)).logits(GOOD)
    np.testing.assert_allclose(
        one[:, 1] - one[:, 0], three[:, 1] - three[:, 0], rtol=0.2, atol=0.05
    )


def test_tables_have_rows_to_spare() -> None:
    assert table_sizes([5, 100, 1025], 1) == [32, 512, 8192]
    assert table_sizes([8, 128, 1024], 1) == [32, 512, 4096]
    assert table_sizes([0, 1, 4], 2) == [16, 16, 16]


def test_the_largest_table_is_halved_until_all_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "_MAX_WEIGHTS", 640)
    assert table_sizes([5, 100, 100], 1) == [32, 256, 256]
    assert table_sizes([8, 16, 16], 4) == [32, 64, 64]
    assert table_sizes([8, 16, 16], 99) == [16, 16, 16]


def test_texts_are_chosen_at_random_where_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ngrams, "_TEXT_SIZE", 3)
    lengths = np.full(100, 7)
    assert choose_texts(lengths, 1000, 100, 0).tolist() == list(range(100))
    some = choose_texts(lengths, 999, 100, 0).tolist()
    assert len(some) == 100
    some = choose_texts(lengths, 300, 100, 0).tolist()
    assert len(some) == 30
    assert some == sorted(set(some))
    assert some != list(range(30))
    assert some == choose_texts(lengths, 300, 100, 0).tolist()
    assert some != choose_texts(lengths, 300, 100, 1).tolist()
    assert len(choose_texts(np.array([50, 50]), 1, 100, 0)) == 1


def test_so_many_texts_are_those_that_a_size_chose() -> None:
    lengths = np.random.default_rng(0).integers(1, 999, size=50)
    by_size = choose_texts(lengths, 9000, 50, 3).tolist()
    assert 5 < len(by_size) < 45
    assert choose_texts(lengths, None, len(by_size), 3).tolist() == by_size
    assert choose_texts(lengths, 9000, 5, 3).tolist() == choose_texts(lengths, None, 5, 3).tolist()
    assert len(choose_texts(lengths, None, 5, 3)) == 5
    assert choose_texts(lengths, None, 50, 3).tolist() == list(range(50))


def test_labelled_texts_are_taken_before_others() -> None:
    lengths = np.full(100, 20)
    few = choose_texts(lengths, None, 10, 0, labelled=30).tolist()
    assert len(few) == 10
    assert max(few) < 30
    many = choose_texts(lengths, 300 * 50, 100, 0, labelled=30).tolist()
    assert len(many) == 50
    assert many[:30] == list(range(30))
    assert many != list(range(50))
    assert many == choose_texts(lengths, None, 50, 0, labelled=30).tolist()
    assert choose_texts(lengths, None, 100, 0, labelled=30).tolist() == list(range(100))


def test_texts_are_read_in_parts() -> None:
    parts = [part.tolist() for part in in_parts(np.arange(2049))]
    assert [len(part) for part in parts] == [1024, 1024, 1]
    assert np.concatenate(parts).tolist() == list(range(2049))


def test_a_time_budget_limits_the_text() -> None:
    assert largest_size(None) == largest_size(60) == 40_000_000
    assert largest_size(1) == 60 * 0.25 * 700_000
    assert largest_size(0.1) == largest_size(1) / 10
