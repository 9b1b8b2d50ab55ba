"""Learning the weights of a linear model of words from tagged sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rnntext.config import FORBIDDEN_SCORE
from rnntext.training.linear import tagging
from rnntext.training.linear.chains import PathScores
from rnntext.training.linear.tagging import TagLearner, TagSet, most_words
from rnntext.word_features import Weights, WordModel

Array = NDArray[Any]

ROOTS = ("wal", "tal", "jum", "smil", "loo", "ba", "sho", "cla")


def free(tags: int) -> PathScores:
    return PathScores(torch.zeros(tags), torch.zeros(tags, tags), torch.zeros(tags))


def learn(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]], count: int = 2
) -> Weights:
    flat = np.concatenate([np.array(row, np.int32) for row in tags])
    return TagLearner(sentences, flat, TagSet(count, free(count))).fit()


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
    start, transitions, end = TagLearner(sentences, tags, TagSet(3, forbidden)).fit().paths
    assert transitions[0, 1] > transitions[0, 0]
    assert transitions[1, 0] > transitions[1, 1]
    assert start[0] > start[1]
    assert end[0] > end[1]
    assert not transitions[:, 2].any()
    assert start[2] == 0


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
    np.testing.assert_allclose(weights.paths[2], [1, 3] - counts.end.numpy(), atol=0.02)


def test_a_timed_run_learns_from_less() -> None:
    tags, twice = TagSet(16, free(16)), TagSet(32, free(32))
    assert most_words(None, tags) == tagging.MAX_SCORES // 16
    assert most_words(1e9, tags) == tagging.MAX_SCORES // 16
    tenth, fifth = most_words(0.1, tags), most_words(0.2, tags)
    assert 0 < tenth < tagging.MAX_SCORES // 16
    assert fifth == pytest.approx(2 * tenth, abs=1)
    assert most_words(0.1, twice) == pytest.approx(tenth / 2, abs=1)
    assert most_words(1e-9, tags) == 1
    # Without transitions a word is quicker, and parts take less memory than tags.
    assert most_words(0.1, TagSet(16, None)) > tenth
    parts = np.ones((4, 16), np.float32)
    assert most_words(None, TagSet(16, None, parts)) == tagging.MAX_SCORES // 4


# Of four tags, which parts they have: past, progressive, negated past, negated progressive.
PARTS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 1]], np.float32)


@pytest.mark.parametrize("parts", [PARTS, None])
def test_a_rare_bundle_is_told_by_its_parts(parts: Array | None) -> None:
    """Only words of other tags have shown what the beginning and the ending of the word mean."""
    words = [[root + "ked", root + "king", "un" + root + "ked"] for root in ROOTS]
    sentences = [[word] for row in words for word in row] + [["seldom"]] * 2
    gold = np.array([0, 1, 2] * len(ROOTS) + [3] * 2, np.int32)
    weights = TagLearner(sentences, gold, TagSet(4, None, parts)).fit()
    model = WordModel(weights, 4, parts)
    found = model.emissions([["seldom", "trekked", "trekking", "untrekked", "untrekking"]])
    assert found.argmax(1).tolist() == [3, 0, 1, 2, 1 if parts is None else 3]
    assert weights.paths == ()
    assert weights.weights.shape[1] == (4 if parts is None else 3)
