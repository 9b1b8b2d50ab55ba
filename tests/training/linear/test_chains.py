"""The likelihood of tagged sentences, compared with that of the network's CRF."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rnntext.config import FORBIDDEN_SCORE
from rnntext.training.linear import chains
from rnntext.training.linear.chains import Chains, PathScores
from rnntext.training.networks.crf import ConditionalRandomField
from tests.training.models import Array

LENGTHS = [3, 1, 6, 2, 6, 1]
L = 4


def tags_of(lengths: list[int], seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(L, size=sum(lengths)).astype(np.int32)


def random_scores(words: int, size: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((words, L), (L,), (L, L), (L,))
    return [(size * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]


def one_by_one(scores: list[Tensor], lengths: list[int], tags: Array) -> Tensor:
    """The negative log-likelihood by the network's CRF, a sentence at a time."""
    emissions, *paths = scores
    crf = ConditionalRandomField(L).double()
    for name in PathScores._fields:
        delattr(crf, name)
    for name, score in zip(PathScores._fields, paths, strict=True):
        setattr(crf, name, score)
    total, start = torch.zeros(()), 0
    for length in lengths:
        part = slice(start, start + length)
        gold = torch.from_numpy(tags[part].astype(np.int64))
        found = crf.log_likelihood(emissions[part][None], gold[None], torch.tensor([length]))
        total, start = total - found.sum(), start + length
    return total


@pytest.mark.parametrize("together", [1 << 20, 4 * L])
@pytest.mark.parametrize("size", [1.0, 20.0])
def test_loss_and_gradients_are_those_of_the_networks_crf(
    monkeypatch: pytest.MonkeyPatch, together: int, size: float
) -> None:
    monkeypatch.setattr(chains, "_MAX_SCORES", together)
    tags = tags_of(LENGTHS)
    found, expected = random_scores(len(tags), size), random_scores(len(tags), size)
    loss = Chains(LENGTHS, tags, L).loss(found[0], PathScores(*found[1:]))
    other = one_by_one(expected, LENGTHS, tags)
    assert loss.item() == pytest.approx(other.item(), rel=1e-5)
    (2 * loss).backward()
    (2 * other).backward()
    for own, theirs in zip(found, expected, strict=True):
        assert own.grad is not None
        assert theirs.grad is not None
        np.testing.assert_allclose(own.grad, theirs.grad, atol=2e-4)


def test_a_forbidden_path_has_no_probability() -> None:
    tags = np.array([0, 1, 0], np.int32)
    emissions, start, transitions, end = random_scores(3)
    with torch.no_grad():
        transitions[2, :] = FORBIDDEN_SCORE
        transitions[:, 2] = FORBIDDEN_SCORE
        start[2] = FORBIDDEN_SCORE
    found = Chains([3], tags, L)
    _, marginals, counts = found.expectations(emissions, PathScores(start, transitions, end))
    assert marginals[:, 2].abs().max() == 0
    assert counts.transitions[2].sum() + counts.transitions[:, 2].sum() == 0
    loss = found.loss(emissions, PathScores(start, transitions, end))
    assert 0 < loss.item() < 100


def test_probabilities_sum_to_one_and_counts_to_the_words() -> None:
    tags = tags_of(LENGTHS)
    emissions, *paths = random_scores(len(tags), 5.0)
    _, marginals, counts = Chains(LENGTHS, tags, L).expectations(emissions, PathScores(*paths))
    np.testing.assert_allclose(marginals.detach().sum(1), np.ones(len(tags)), atol=1e-5)
    assert counts.start.sum().item() == pytest.approx(len(LENGTHS))
    assert counts.end.sum().item() == pytest.approx(len(LENGTHS))
    assert counts.transitions.sum().item() == pytest.approx(len(tags) - len(LENGTHS))


def test_scores_that_overflow_as_exponentials_have_a_finite_loss() -> None:
    tags = tags_of([50])
    emissions, *paths = random_scores(50)
    with torch.no_grad():
        emissions += 500 * torch.arange(50)[:, None]
        paths[0] += 900
        paths[1] += 800
        paths[2] -= 900
    plain = random_scores(50)
    expected = Chains([50], tags, L).loss(plain[0], PathScores(*plain[1:]))
    loss = Chains([50], tags, L).loss(emissions, PathScores(*paths))
    # The same is added to every path.
    assert loss.item() == pytest.approx(expected.item(), abs=0.5)
