"""Learning the weights of a linear model of words from tagged sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from rnntext.config import FORBIDDEN_SCORE
from rnntext.training.linear import tagging
from rnntext.training.linear.chains import PathScores
from rnntext.training.linear.tagging import TagLearner, most_words
from rnntext.word_features import Weights, WordModel

ROOTS = ("wal", "tal", "jum", "smil", "loo", "ba", "sho", "cla")


def free(tags: int) -> PathScores:
    return PathScores(torch.zeros(tags), torch.zeros(tags, tags), torch.zeros(tags))


def learn(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], count: int = 2
) -> Weights:
    flat = np.concatenate([np.array(row, np.int32) for row in tags])
    return TagLearner(sentences, flat, free(count)).fit()


def tag_alone(weights: Weights, *words: str) -> list[int]:
    """The likeliest tag of each word by its own scores, without transitions."""
    model = WordModel(weights, len(weights.bias))
    found: list[int] = model.emissions([words]).argmax(1).tolist()
    return found


def test_the_ending_of_a_new_word_decides() -> None:
    words = [root + ending for root in ROOTS for ending in ("ked", "king")]
    weights = learn([[word] for word in words], [[n % 2] for n in range(len(words))])
    assert tag_alone(weights, "trekked") == [0]
    assert tag_alone(weights, "trekking") == [1]


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)])
def test_a_neighbour_decides(before: bool, after: bool) -> None:
    sentences, tags = [], []
    for root in ROOTS:
        for word, tag in (("to", 0), ("the", 1)):
            sentences.append([*[word] * before, root, *[word] * after])
            tags.append([*[1] * before, tag, *[1] * after])
    weights = learn(sentences, tags)
    row = ["wal"]
    place = 1 if before else 0
    for word, tag in (("to", 0), ("the", 1)):
        assert tag_alone(weights, *[word] * before, *row, *[word] * after)[place] == tag


def test_what_one_word_alone_has_gets_no_weight() -> None:
    repeated = learn([["ab"], ["ab"]], [[0], [1]])
    once = learn([["ab"], ["123"]], [[0], [1]])
    # What they share: two empty words on either side.
    shared = set(once.features.tolist())
    assert shared < set(repeated.features.tolist())
    assert len(shared) == len(repeated.features) - len(
        ["word", "lower", "shape", "p1", "p2", "s1", "s2", "pair before", "pair after"]
    )
    assert (np.diff(repeated.features.astype(np.int64)) > 0).all()


def test_the_number_of_weights_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [[word, *"xy"] for word in ROOTS] * 2
    tags = [[0, 1, 1]] * len(sentences)
    everything = learn(sentences, tags)
    monkeypatch.setattr(tagging, "_MAX_WEIGHTS", 100)
    some = learn(sentences, tags)
    assert len(some.features) <= 50 < len(everything.features)
    # The frequent ones are kept: those of "x" and "y", which every sentence has.
    assert tag_alone(some, "wal", "x", "y") == [0, 1, 1]


def test_transitions_are_learned_and_forbidden_ones_stay_at_zero() -> None:
    sentences = [["a", "a", "a"]] * 4
    tags = np.array([0, 1, 0] * 4, np.int32)
    forbidden = free(3)
    forbidden.start[2] = FORBIDDEN_SCORE
    forbidden.transitions[:, 2] = FORBIDDEN_SCORE
    weights = TagLearner(sentences, tags, forbidden).fit()
    assert weights.transitions[0, 1] > weights.transitions[0, 0]
    assert weights.transitions[1, 0] > weights.transitions[1, 1]
    assert weights.start[0] > weights.start[1]
    assert weights.end[0] > weights.end[1]
    assert not weights.transitions[:, 2].any()
    assert weights.start[2] == 0


def test_weights_are_where_the_penalized_loss_is_least() -> None:
    sentences = [["ab", "cd"], ["ab", "ef"], ["cd", "ab"], ["cd", "cd"]]
    tags = [[0, 1], [0, 1], [1, 0], [0, 1]]
    weights = learn(sentences, tags)
    # At the optimum a bias is the sum of what its tag has too often in the data.
    model = WordModel(weights, 2)
    flat = np.concatenate([np.array(row, np.int32) for row in tags])
    chains = tagging.Chains([2] * 4, flat, 2)
    paths = PathScores(*map(torch.from_numpy, model.path_scores()))
    emissions = torch.from_numpy(model.emissions(sentences))
    _, marginals, counts = chains.expectations(emissions, paths)
    missing = np.bincount(flat, minlength=2) - marginals.sum(0).numpy()
    np.testing.assert_allclose(weights.bias, missing, atol=0.02)
    np.testing.assert_allclose(weights.end, [1, 3] - counts.end.numpy(), atol=0.02)


def test_a_timed_run_learns_from_less() -> None:
    assert most_words(None, 16) == tagging.MAX_SCORES // 16
    assert most_words(1e9, 16) == tagging.MAX_SCORES // 16
    tenth, fifth = most_words(0.1, 16), most_words(0.2, 16)
    assert 0 < tenth < tagging.MAX_SCORES // 16
    assert fifth == pytest.approx(2 * tenth, abs=1)
    assert most_words(0.1, 32) == pytest.approx(tenth / 2, abs=1)
    assert most_words(1e-9, 16) == 1
