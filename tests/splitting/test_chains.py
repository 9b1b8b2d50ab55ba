"""Which characters are in doubt, and the likeliest labels of chains of them."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from rnntext.splitting import chains
from rnntext.splitting.chains import (
    BOUNDARY,
    IN_DOUBT,
    INSIDE,
    decide_pairs,
    decode,
    fill_in,
    find_nodes,
)
from rnntext.splitting.features import CLASS_PAIRS, Characters


def all_in_doubt() -> np.ndarray:
    return np.full(CLASS_PAIRS, IN_DOUBT, np.uint32)


def test_a_pair_of_classes_decides_if_it_is_frequent_and_nearly_always_the_same() -> None:
    inside = np.concatenate([np.ones(60), np.zeros(60), np.ones(49), np.arange(60) == 0])
    pairs = np.repeat([3, 4, 5, 6], [60, 60, 49, 60])
    found = decide_pairs(pairs, inside)
    assert found[[3, 4, 5, 6, 7]].tolist() == [INSIDE, BOUNDARY, IN_DOUBT, IN_DOUBT, IN_DOUBT]
    # One in 20,000 may differ.
    many = np.arange(20_000) == 7
    assert decide_pairs(np.full(20_000, 9), many)[9] == BOUNDARY
    assert decide_pairs(np.full(20_000, 9), ~many)[9] == INSIDE


def test_the_first_character_begins_and_white_space_is_followed_by_what_it_is() -> None:
    characters = Characters(["ab  c", "", "d"])
    nodes = find_nodes(characters, all_in_doubt())
    assert nodes.places.tolist() == [1, 2]
    assert nodes.lengths.tolist() == [2]
    inside = fill_in(nodes, np.array([INSIDE, INSIDE]))
    assert inside.tolist() == [False, True, True, True, True, False]
    inside = fill_in(nodes, np.array([BOUNDARY, BOUNDARY]))
    assert inside.tolist() == [False, False, False, False, False, False]


def test_a_chain_ends_where_a_token_surely_does() -> None:
    characters = Characters(["ab,cd"])
    of_pair = all_in_doubt()
    of_pair[characters.pairs()[1]] = INSIDE  # two letters
    nodes = find_nodes(characters, of_pair)
    assert (nodes.places.tolist(), nodes.lengths.tolist()) == ([2, 3], [2])
    of_pair[characters.pairs()[2]] = BOUNDARY  # a comma after a letter
    nodes = find_nodes(characters, of_pair)
    assert (nodes.places.tolist(), nodes.lengths.tolist()) == ([3], [1])
    assert fill_in(nodes, np.array([BOUNDARY])).tolist() == [False, True, False, False, True]


def test_a_long_chain_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_LONGEST_CHAIN", 3)
    nodes = find_nodes(Characters(["abcdefgh", "ij"]), all_in_doubt())
    assert nodes.lengths.tolist() == [3, 3, 1, 1]


def test_the_best_path_is_that_of_brute_force() -> None:
    generator = np.random.default_rng(7)
    lengths = np.array([3, 1, 5, 5, 2])
    scores = generator.normal(size=lengths.sum())
    start, transitions = generator.normal(size=2), generator.normal(size=(2, 2))
    found = decode(scores, lengths, start, transitions)
    begin = 0
    for length in lengths.tolist():
        own = scores[begin : begin + length]

        def score(path: tuple[int, ...], own: np.ndarray = own) -> float:
            steps = sum(transitions[pair] for pair in pairwise(path))
            return float(start[path[0]] + steps + (own * path).sum())

        best = max(product((BOUNDARY, INSIDE), repeat=length), key=score)
        assert tuple(found[begin : begin + length].tolist()) == best
        begin += length
    assert decode(np.zeros(0), np.zeros(0, np.int64), start, transitions).tolist() == []
