"""The conditional random field compared with brute-force enumeration of all tag sequences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rnntext.config import FORBIDDEN_SCORE
from rnntext.runtime.crf import viterbi
from rnntext.training.networks.crf import (
    ConditionalRandomField,
    IndependentTags,
    forbid_broken_spans,
)

torch.set_num_threads(1)

B, W, L = 5, 4, 3  # sentences, words, labels
LENGTHS = torch.tensor([4, 1, 3, 2, 4])


def random_crf(seed: int, labels: int = L) -> ConditionalRandomField:
    generator = torch.Generator().manual_seed(seed)
    crf = ConditionalRandomField(labels).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.normal_(0, 1.5, generator=generator)
    return crf


def random_emissions(seed: int, labels: int = L) -> Tensor:
    values = np.random.default_rng(seed).normal(scale=2, size=(B, W, labels))
    return torch.from_numpy(values)


def path_score(crf: ConditionalRandomField, emissions: Tensor, path: tuple[int, ...]) -> float:
    """The score of one sentence's tag path, added up term by term."""
    start, transitions, end = (p.detach() for p in (crf.start, crf.transitions, crf.end))
    total = float(start[path[0]]) + float(end[path[-1]])
    total += sum(float(emissions[word, tag]) for word, tag in enumerate(path))
    return total + sum(float(transitions[a, b]) for a, b in itertools.pairwise(path))


def all_scores(
    crf: ConditionalRandomField, emissions: Tensor, length: int
) -> dict[tuple[int, ...], float]:
    labels = emissions.shape[1]
    paths = itertools.product(range(labels), repeat=length)
    return {path: path_score(crf, emissions, path) for path in paths}


@pytest.mark.parametrize("seed", range(4))
def test_everything_equals_enumeration(seed: int) -> None:
    crf, emissions = random_crf(seed), random_emissions(seed)
    tags = torch.from_numpy(np.random.default_rng(seed).integers(L, size=(B, W)))
    scores = crf.score(emissions, tags, LENGTHS).detach()
    partitions = crf.log_partition(emissions, LENGTHS).detach()
    likelihoods = crf.log_likelihood(emissions, tags, LENGTHS).detach()
    decoded = crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = all_scores(crf, emissions[row], length)
        path = tuple(tags[row, :length].tolist())
        partition = math.log(math.fsum(map(math.exp, every.values())))
        assert float(scores[row]) == pytest.approx(every[path], rel=1e-9)
        assert float(partitions[row]) == pytest.approx(partition, rel=1e-9)
        assert float(likelihoods[row]) == pytest.approx(every[path] - partition, rel=1e-9)
        assert tuple(decoded[row, :length].tolist()) == max(every, key=lambda p: every[p])


def test_probabilities_of_all_sequences_sum_to_one() -> None:
    crf, emissions = random_crf(1), random_emissions(1)[:1, :3]
    tags = torch.tensor(list(itertools.product(range(L), repeat=3)))
    likelihoods = crf.log_likelihood(
        emissions.expand(len(tags), -1, -1), tags, torch.full((len(tags),), 3)
    )
    assert float(likelihoods.detach().exp().sum()) == pytest.approx(1, rel=1e-9)


def test_padding_has_no_effect() -> None:
    crf, emissions = random_crf(2), random_emissions(2)
    tags = torch.from_numpy(np.random.default_rng(2).integers(L, size=(B, W)))
    padding = torch.arange(W) >= LENGTHS[:, None]
    other = emissions.masked_fill(padding[..., None], 50.0)
    other_tags = torch.where(padding, (tags + 1) % L, tags)
    expected = crf.log_likelihood(emissions, tags, LENGTHS)
    assert torch.equal(crf.log_likelihood(other, other_tags, LENGTHS), expected)
    decoded = crf.decode(emissions, LENGTHS)
    assert torch.equal(crf.decode(other, LENGTHS)[~padding], decoded[~padding])


@pytest.mark.parametrize("seed", range(8))
def test_decoding_agrees_with_the_runtimes(seed: int) -> None:
    labels = 6
    crf, emissions = random_crf(seed, labels), random_emissions(seed, labels)
    if seed % 2:
        forbid_broken_spans(crf, ["B-x", "B-y", "I-x", "I-y", "O", "B-z"])
    found = crf.decode(emissions, LENGTHS)
    scores = [p.detach().numpy() for p in (crf.start, crf.transitions, crf.end)]
    expected = viterbi(emissions.numpy(), LENGTHS.numpy(), *scores)
    for row, path in enumerate(expected):
        assert found[row, : len(path)].tolist() == path.tolist()


def test_gradients_equal_finite_differences() -> None:
    crf, emissions = random_crf(3), random_emissions(3)[:3, :3].clone()
    tags = torch.from_numpy(np.random.default_rng(3).integers(L, size=(3, 3)))
    inputs = (emissions.requires_grad_(), crf.start, crf.transitions, crf.end)
    lengths, rows = torch.tensor([2, 3, 1]), torch.tensor([1.0, 2.0, 3.0])

    def loss() -> Tensor:
        return (crf.log_likelihood(emissions, tags, lengths) * rows).sum()

    grads = torch.autograd.grad(loss(), inputs)
    step = 1e-5
    for tensor, grad in zip(inputs, grads, strict=True):
        numeric = torch.zeros_like(tensor)
        with torch.no_grad():
            for place in np.ndindex(*tensor.shape):
                kept = float(tensor[place])
                tensor[place] = kept + step
                above = float(loss())
                tensor[place] = kept - step
                numeric[place] = (above - float(loss())) / (2 * step)
                tensor[place] = kept
        torch.testing.assert_close(grad, numeric, rtol=1e-6, atol=1e-7)


SPAN_LABELS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]


def is_legal(tags: list[str]) -> bool:
    return all(
        not tag.startswith("I-") or before in ("B-" + tag[2:], tag)
        for before, tag in itertools.pairwise(["", *tags])
    )


def test_a_broken_span_is_never_decoded() -> None:
    """Even if the emissions strongly favour broken spans."""
    crf = ConditionalRandomField(len(SPAN_LABELS))
    forbid_broken_spans(crf, SPAN_LABELS)
    rng = np.random.default_rng(4)
    emissions = torch.from_numpy(rng.normal(scale=30, size=(200, 7, 5)).astype(np.float32))
    emissions[..., 2:4] += 60
    lengths = torch.from_numpy(rng.integers(1, 8, size=200))
    paths = crf.decode(emissions, lengths)
    greedy = emissions.argmax(2)
    broken = 0
    for path, wanted, length in zip(paths, greedy, lengths, strict=True):
        assert is_legal([SPAN_LABELS[tag] for tag in path[:length]])
        broken += not is_legal([SPAN_LABELS[tag] for tag in wanted[:length]])
    assert broken > 150


def test_broken_spans_have_probability_zero_and_valid_ones_are_renormalized() -> None:
    crf = ConditionalRandomField(len(SPAN_LABELS))
    forbid_broken_spans(crf, SPAN_LABELS)
    paths = list(itertools.product(range(5), repeat=3))
    tags = torch.tensor(paths)
    emissions = torch.from_numpy(np.random.default_rng(5).normal(size=(3, 5)))
    legal = torch.tensor([is_legal([SPAN_LABELS[tag] for tag in path]) for path in paths])
    likelihoods = crf.log_likelihood(
        emissions.float().expand(len(paths), -1, -1), tags, torch.full((len(paths),), 3)
    ).detach()
    assert (likelihoods[~legal] < FORBIDDEN_SCORE / 2).all()
    alone = torch.tensor([path_score(crf, emissions, path) for path in paths])[legal]
    torch.testing.assert_close(likelihoods[legal].exp(), alone.softmax(0), rtol=1e-3, atol=1e-6)


def test_a_span_without_a_type_begins_with_b() -> None:
    labels = ["B", "I", "O"]
    crf = ConditionalRandomField(3)
    forbid_broken_spans(crf, labels)
    forbidden = [(0, 0, 0), (0, 0, 0), (0, 1, 0)]  # from each label to each: I after O
    assert crf.transitions.eq(FORBIDDEN_SCORE).int().tolist() == list(map(list, forbidden))
    assert crf.start.eq(FORBIDDEN_SCORE).tolist() == [False, True, False]


def test_without_spans_nothing_is_forbidden() -> None:
    crf = ConditionalRandomField(3)
    forbid_broken_spans(crf, ["ADJ", "B-x", "O"])
    assert all(not bool(parameter.any()) for parameter in crf.parameters())


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        (["O", "B-x", "I-x", "B-y", "I-y"], {"I-x": {"B-x", "I-x"}, "I-y": {"B-y", "I-y"}}),
        (["O", "B", "I"], {"I": {"B", "I"}}),
    ],
)
def test_the_inside_of_a_span_follows_its_own_span_alone(
    labels: list[str], allowed: dict[str, set[str]]
) -> None:
    crf = ConditionalRandomField(len(labels))
    forbid_broken_spans(crf, labels)
    transitions, start = crf.transitions.tolist(), crf.start.tolist()
    for to, label in enumerate(labels):
        before = {labels[i] for i, row in enumerate(transitions) if row[to] == 0}
        assert before == allowed.get(label, {*labels})
        assert (start[to] == 0) == (label not in allowed)


def test_independent_tags_are_a_field_whose_paths_all_score_the_same() -> None:
    crf, emissions = ConditionalRandomField(L).double(), random_emissions(3)
    tags = torch.from_numpy(np.random.default_rng(3).integers(L, size=(B, W)))
    found = IndependentTags()
    assert list(found.parameters()) == []
    assert found.paths() == ()
    wanted = crf.log_likelihood(emissions, tags, LENGTHS).detach()
    assert torch.allclose(found.log_likelihood(emissions, tags, LENGTHS), wanted)
    paths, expected = found.decode(emissions, LENGTHS), crf.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(paths[row, :length], expected[row, :length])
